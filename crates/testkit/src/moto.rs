//! Amazon's services as moto plays them, asked by boto3.
//!
//! Owns: which versions there are, starting and ending it. Does not own: what a test asks.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: [&str; 4] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "werkzeug==3.1.9"];

/// How long it may take until it listens.
const SOON: Duration = Duration::from_secs(120);

/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(50);

/// A server of Amazon's services. It ends when this is dropped.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    packages: String,
    /// Where it is, `http://127.1.2.3:4567`.
    pub url: String,
}

impl Moto {
    /// Starts one. None, and the test is skipped, if its packages cannot be had.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start() -> Option<Self> {
        let packages = crate::packages("python-packages", &PACKAGES, "no Python packages: moto")?;
        let address = crate::free_address();
        let (host, port) = (address.ip(), address.port());
        let main = format!("from moto.server import main; main(['-H', '{host}', '-p', '{port}'])");
        let mut python = Command::new("python3");
        python.args(["-c", &main]).env("PYTHONPATH", &packages).stdout(Stdio::null()).stderr(Stdio::null());
        let child = python.spawn().expect("start Python");
        let moto = Self { child, packages, url: format!("http://{address}") };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < SOON, "moto does not listen");
            std::thread::park_timeout(PAUSE);
        }
        Some(moto)
    }

    /// Runs a script in Python and gives what it prints. It has `boto3`, `json`, `time`, and clients `logs` and `kinesis`.
    ///
    /// # Panics
    /// If the script fails.
    pub fn run(&self, script: &str) -> Vec<u8> {
        let head = format!(
            "import boto3, json, time\nbase = dict(endpoint_url='{}', region_name='eu-west-1', \
             aws_access_key_id='a', aws_secret_access_key='b')\nlogs = boto3.client('logs', **base)\n\
             kinesis = boto3.client('kinesis', **base)\n",
            self.url
        );
        let mut python = Command::new("python3");
        python.args(["-c", &format!("{head}{script}")]).env("PYTHONPATH", &self.packages);
        let out = python.output().expect("run Python");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}
