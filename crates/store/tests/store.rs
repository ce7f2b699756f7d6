//! The store through its public interface, on the simulated and on a real disk.

#[path = "store/backup.rs"]
mod backup;
#[path = "store/common.rs"]
mod common;
#[path = "store/conformance.rs"]
mod conformance;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/late.rs"]
mod late;
#[path = "store/life.rs"]
mod life;
#[path = "store/model.rs"]
mod model;
#[path = "store/names.rs"]
mod names;
#[path = "store/pages.rs"]
mod pages;
#[path = "store/policies.rs"]
mod policies;
#[path = "store/power.rs"]
mod power;
#[path = "store/restore.rs"]
mod restore;
#[path = "store/works.rs"]
mod works;
