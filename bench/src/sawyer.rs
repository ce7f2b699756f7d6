//! Runs the program that is measured, and asks it how far it is.
//!
//! Owns: starting and stopping `sawyer`, reading its metrics.
//! Does not own: what it costs ([`Cost`]).
//! Invariant: the program that runs is ended with the measurement, however that ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::Cost;

/// Longest wait for a start or a stop.
const SOON: Duration = Duration::from_secs(60);

/// A role that runs.
#[derive(Debug)]
pub struct Sawyer {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// The program that was built beside this one, or `$SAWYER_BIN`.
///
/// # Errors
/// If there is none.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SAWYER_BIN") {
        return Ok(path.into());
    }
    let beside = std::env::current_exe().context("find this program")?.with_file_name("sawyer");
    ensure!(
        beside.is_file(),
        "{} is not there: build it with `cargo build --release -p sawyer`",
        beside.display()
    );
    Ok(beside)
}

/// The program in the environment that its image gives it, but for what is set here already.
#[must_use]
pub fn as_in_image(program: &Path) -> Command {
    let mut command = Command::new(program);
    let settings = include_str!("../../Dockerfile").lines().filter_map(|line| line.strip_prefix("ENV "));
    for (name, value) in settings.filter_map(|setting| setting.split_once('=')) {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command
}

impl Sawyer {
    /// Starts a role with this configuration; its configuration, data and log are kept in `folder`.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(role: &str, configuration: &str, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("make a folder")?;
        let (file, log) = (folder.join("sawyer.yaml"), folder.join("log"));
        fs::write(&file, configuration).context("write the configuration")?;
        let address = free_address()?;
        let mut command = as_in_image(&program()?);
        command.arg(role).arg("--config").arg(&file).arg("--data").arg(folder.join("data"));
        command.args(["--listen", &address.to_string()]).stdin(Stdio::null());
        let output = File::options().create(true).append(true).open(&log).context("make a log")?;
        command.stdout(output.try_clone().context("make a log")?).stderr(output);
        let child = command.spawn().context("start sawyer")?;
        let mut sawyer = Self { child, address, log };
        let deadline = Instant::now() + SOON;
        while sawyer.get("/readyz").is_err() {
            if let Some(status) = sawyer.child.try_wait().context("look after sawyer")? {
                bail!("sawyer ended with {status}:\n{}", sawyer.log());
            }
            ensure!(Instant::now() < deadline, "sawyer does not become ready:\n{}", sawyer.log());
            pause(Duration::from_millis(20));
        }
        Ok(sawyer)
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// If it ended.
    pub fn cost(&self) -> Result<Cost> {
        Cost::of(self.child.id())
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The sum of a metric over all its labels; 0 if there is none.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metric(&self, name: &str) -> Result<i64> {
        let text = self.get("/metrics")?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labelled) => labelled.rsplit_once("} ")?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.parse::<i64>().ok()
        });
        Ok(values.fold(0, i64::wrapping_add))
    }

    /// Waits until a metric has reached a value.
    ///
    /// # Errors
    /// If that takes longer than `patience`.
    pub fn wait_for(&self, metric: &str, wanted: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let now = self.metric(metric)?;
            if now.cast_unsigned() >= wanted {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{metric} is {now}, not {wanted}:\n{}", self.log());
            pause(Duration::from_millis(100));
        }
    }

    /// Ends it at once, as SIGKILL does.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill sawyer")?;
        self.child.wait().context("wait for sawyer")?;
        Ok(())
    }

    /// Asks it to stop, and waits until it did.
    ///
    /// # Errors
    /// If it does not.
    pub fn stop(&mut self) -> Result<()> {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().context("run kill")?;
        ensure!(sent.success(), "kill ended with {sent}");
        let deadline = Instant::now() + SOON;
        while self.child.try_wait().context("wait for sawyer")?.is_none() {
            ensure!(Instant::now() < deadline, "sawyer does not stop:\n{}", self.log());
            pause(Duration::from_millis(20));
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).context("connect")?;
        stream.set_read_timeout(Some(SOON)).context("connect")?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: sawyer\r\nconnection: close\r\n\r\n").context("ask")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("read an answer")?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{path} answers {}", answer.lines().next().unwrap_or(""));
        Ok(answer)
    }
}

impl Drop for Sawyer {
    fn drop(&mut self) {
        // It may have ended already.
        drop((self.child.kill(), self.child.wait()));
    }
}

/// A port that was free a moment ago.
///
/// # Errors
/// If there is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("find a free port")
}

/// Waits. Measurements go by the machine's clock.
#[allow(
    clippy::disallowed_methods,
    reason = "a measurement waits for a program that runs, and lasts a set time"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
