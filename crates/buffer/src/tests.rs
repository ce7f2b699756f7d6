mod common;
mod faults;
mod golden;
mod model;
mod past;
mod power;
