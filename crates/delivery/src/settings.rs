//! What can be set about a delivery, whatever the target.

use std::time::Duration;

use sawyer_config::{ByteSize, settings};

use crate::target::Limits;

settings! {
    /// How records are gathered into requests, and how long they are tried.
    pub struct DeliverySettings {
        /// Most bytes of records in one request, before compression. Larger requests cost the target less, and hold
        /// more memory here.
        #[range(ByteSize::kib(1)..=ByteSize::mib(100))]
        pub batch_max: ByteSize = ByteSize::mib(4),
        /// Most records in one request.
        #[range(1..=1_000_000)]
        pub batch_records_max: u32 = 50_000,
        /// Longest wait for further records before a request is sent. A longer wait makes fewer and larger requests.
        #[range(Duration::from_millis(1)..=Duration::from_secs(300))]
        pub batch_age_max: Duration = Duration::from_secs(1),
        /// Most requests under way at once, and with more than one of them one beside for urgent records. Fewer are sent while the target is slow or says that it is overloaded.
        #[range(1..=256)]
        pub requests_max: u32 = 8,
        /// Most bytes of records that wait for the target or are on their way, counted in both their forms, here and
        /// there. Beyond it whatever comes before this output waits.
        #[range(ByteSize::mib(1)..=ByteSize::gib(4))]
        pub memory_max: ByteSize = ByteSize::mib(8),
        /// How long a record is tried before it is rejected as undeliverable. Without it, as long as it takes.
        pub retry_for: Option<Duration>,
        /// Longest pause before something is tried again.
        #[range(Duration::from_millis(100)..=Duration::from_secs(3600))]
        pub retry_pause_max: Duration = Duration::from_secs(30),
    }
}

impl DeliverySettings {
    /// The limits that follow, for a target that takes items of this many bytes at most.
    #[must_use]
    pub fn limits(&self, item_bytes_max: usize) -> Limits {
        let bytes = |size: ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        Limits {
            request_bytes_max: bytes(self.batch_max),
            request_items_max: self.batch_records_max as usize,
            item_bytes_max,
            age_max: self.batch_age_max,
            requests_max: self.requests_max as usize,
            held_bytes_max: bytes(self.memory_max),
            retry_time_max: self.retry_for,
            retry_pause_max: self.retry_pause_max,
            ordered: false,
        }
    }
}
