mod common;
mod faults;
mod golden;
mod model;
mod power;
