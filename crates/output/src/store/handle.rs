//! The place of a store that is opened later.

use std::sync::{Arc, OnceLock};

use sawyer_store::Store;

/// Where the store will be: configurations are read before it is opened. Clones share one place.
#[derive(Clone, Debug, Default)]
pub struct StoreHandle(Arc<OnceLock<Arc<Store>>>);

impl StoreHandle {
    /// A place without a store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the store in its place, before outputs are opened. There is one store in a process; another one later is
    /// given back.
    ///
    /// # Errors
    /// The store, if there is one already.
    pub fn set(&self, store: Arc<Store>) -> Result<(), Arc<Store>> {
        self.0.set(store)
    }

    /// The store, if it is there.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Store>> {
        self.0.get().cloned()
    }
}
