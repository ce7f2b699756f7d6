//! What can be set about the output `store`.

use sawyer_config::settings;

settings! {
    /// Keeps records in the store of this process, where they can be searched. What it keeps and for how long is set
    /// in the section `store`. When the disk is full, records wait (and with them their sources) until there is
    /// space.
    pub struct StoreOutputSettings {}
}
