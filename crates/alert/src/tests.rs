//! Alerts over a real store on a simulated disk, with a clock that tests turn.

mod files;
mod replace;
mod rules;
mod world;
