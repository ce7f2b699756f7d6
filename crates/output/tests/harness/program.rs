//! Programs written by others, which a test starts.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longest wait for the start of one.
const SOON: Duration = Duration::from_secs(120);

/// A program of the test's, which ends when the test does, however that ends.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts a program, and waits until it has said where it listens.
    pub(crate) fn start(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]).args(args).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut all = String::new();
            for line in out.lines().map_while(Result::ok) {
                if let Some((_, at)) = line.split_once("listening on http://") {
                    let at = at.trim_end_matches(|letter: char| !letter.is_ascii_digit());
                    drop(sender.send(at.parse::<SocketAddr>().map_err(|error| error.to_string())));
                }
                all.push_str(&line);
                all.push('\n');
            }
            drop(sender.send(Err(all)));
        });
        let told = receiver.recv_timeout(SOON);
        let mut program = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        program.address = told.unwrap().unwrap_or_else(|all| panic!("does not listen: {all}"));
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}
