//! The `sawyer` binary: one program, several roles, and the client for them.
//!
//! Owns: the command line. Does not own: anything that a role or an answer consists of.

mod args;
mod buffers;
#[cfg(feature = "client")]
mod client;
mod data;
#[cfg(feature = "server")]
mod demo;
mod roles;
mod sidecar;
#[cfg(feature = "server")]
mod stored;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        #[cfg(feature = "server")]
        Command::Up { common, demo } => roles::run(roles::Role::Up { demo }, &common),
        #[cfg(feature = "server")]
        Command::Server { common } => roles::run(roles::Role::Server, &common),
        #[cfg(feature = "server")]
        Command::Gateway { common } => roles::run(roles::Role::Gateway, &common),
        Command::Agent { common } => roles::run(roles::Role::Agent, &common),
        Command::Sidecar(args) => sidecar::sidecar(args),
        Command::Check { role, config } => roles::check(role, &config),
        #[cfg(feature = "server")]
        Command::Store(args) => stored::run(&args),
        Command::Reference => roles::reference(),
        Command::Buffer { action } => buffers::buffer(action),
        Command::DeadLetter { action } => buffers::dead_letter(action),
        #[cfg(feature = "client")]
        Command::Query(query) => client::run(client::query(query)),
        #[cfg(feature = "client")]
        Command::Export(export) => client::run(client::export(export)),
        #[cfg(feature = "client")]
        Command::Logs(logs) => client::run(client::logs(logs)),
        #[cfg(feature = "client")]
        Command::Tail(tail) => client::run(client::tail(tail)),
        #[cfg(feature = "client")]
        Command::Alerts(alerts) => client::run(client::alerts(alerts)),
        #[cfg(feature = "client")]
        Command::Status(status) => client::run(client::status(status)),
        #[cfg(feature = "client")]
        Command::Context { action } => client::contexts::run(action),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where a command says what went wrong")]
fn report(error: &anyhow::Error) {
    eprintln!("sawyer: {error:#}");
}
