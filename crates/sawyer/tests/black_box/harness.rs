//! Starts the binary, asks it, stops it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything that is to happen soon; far more than it takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Every line is a record of its own, as it was written.
#[allow(dead_code, reason = "not every test crate with this harness needs it")]
pub(crate) const AS_WRITTEN: &str = "pipelines: {main: {multiline: off, mask: off}}\n";

pub(crate) struct Sawyer {
    child: Child,
    pub(crate) address: SocketAddr,
    log: mpsc::Receiver<String>,
    seen: Vec<String>,
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sawyer"));
    for name in ["SAWYER_CONFIG", "SAWYER_DATA", "SAWYER_LISTEN", "SAWYER_HOST_ROOT", "SAWYER_SERVER"] {
        command.env_remove(name);
    }
    command
}

impl Sawyer {
    /// Starts a role on a free port and waits until it is ready.
    pub(crate) fn start(role: &str, args: &[&str]) -> Self {
        Self::try_start(role, args).unwrap_or_else(|log| panic!("it did not start:\n{log}"))
    }

    /// The whole of an empty machine, with its data in `folder/data` and its files below `folder/host`.
    pub(crate) fn up(folder: &Path) -> Self {
        let (data, host) = (folder.join("data"), folder.join("host"));
        std::fs::create_dir_all(&host).unwrap();
        Self::start("up", &["--data", data.to_str().unwrap(), "--host-root", host.to_str().unwrap()])
    }

    /// As [`Sawyer::up`], with a configuration.
    #[allow(dead_code, reason = "not every test crate with this harness needs it")]
    pub(crate) fn up_with(folder: &Path, yaml: &str) -> Self {
        let (data, host, config) = (folder.join("data"), folder.join("host"), folder.join("sawyer.yaml"));
        std::fs::create_dir_all(&host).unwrap();
        std::fs::write(&config, yaml).unwrap();
        let [data, host, config] = [&data, &host, &config].map(|path| path.to_str().unwrap());
        Self::start("up", &["--data", data, "--host-root", host, "--config", config])
    }

    /// As [`Sawyer::start`]; gives back what it said if it ended instead.
    pub(crate) fn try_start(role: &str, args: &[&str]) -> Result<Self, String> {
        Self::try_start_at("127.0.0.1:0", role, args)
    }

    /// The same at a certain address.
    pub(crate) fn try_start_at(listen: &str, role: &str, args: &[&str]) -> Result<Self, String> {
        let mut command = binary();
        command.arg(role).args(["--listen", listen]).args(args).stdout(Stdio::null());
        Self::launch(command)
    }

    /// Starts a command that says where its standard output goes.
    pub(crate) fn launch(mut command: Command) -> Result<Self, String> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut seen = Vec::new();
        let deadline = Instant::now() + SOON;
        while let Ok(line) = log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let ready: Option<SocketAddr> = serde_json::from_str::<Value>(&line).ok().and_then(|event| {
                (event["message"] == "ready").then(|| event["address"].as_str().unwrap().parse().unwrap())
            });
            seen.push(line);
            if let Some(address) = ready {
                return Ok(Self { child, address, log, seen });
            }
        }
        drop((child.kill(), child.wait()));
        Err(seen.join("\n"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    pub(crate) fn log(&mut self) -> String {
        self.seen.extend(self.log.try_iter());
        self.seen.join("\n")
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C; gives back how long it took and how it ended.
    pub(crate) fn stop(self) -> (Duration, ExitStatus, String) {
        self.end("INT")
    }

    /// SIGTERM, as the kubelet sends it.
    #[allow(dead_code, reason = "not every test crate with this harness needs it")]
    pub(crate) fn terminate(self) -> (Duration, ExitStatus, String) {
        self.end("TERM")
    }

    fn end(mut self, signal: &str) -> (Duration, ExitStatus, String) {
        let start = Instant::now();
        self.signal(signal);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < SOON, "it does not stop:\n{}", self.log());
            thread::yield_now();
        };
        let took = start.elapsed();
        // What it said last may still be on its way: the thread that reads ends with the pipe.
        while let Ok(line) = self.log.recv_timeout(SOON.saturating_sub(start.elapsed())) {
            self.seen.push(line);
        }
        (took, status, self.log())
    }

    pub(crate) fn get(&self, path: &str, params: &[(&str, &str)]) -> (u16, Value) {
        let query: Vec<String> =
            params.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let (status, body) = self.request("GET", &format!("{path}?{}", query.join("&")), &[], b"");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> (u16, Value) {
        let (status, body) = self.request("POST", path, &[], body);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an HTTP answer");
        let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = &answer[split + 4..];
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
        (status, String::from_utf8(body).unwrap())
    }

    /// How many records match, of all time.
    pub(crate) fn count(&self, query: &str) -> u64 {
        let (status, answer) = self.get("/api/v1/count", &[("query", query), ("start", "0"), ("end", FAR)]);
        assert_eq!(status, 200, "{answer}");
        answer["count"].as_u64().unwrap()
    }

    /// Every record that matches, of all time, oldest first.
    pub(crate) fn all(&self, query: &str) -> Vec<Value> {
        let (mut records, mut cursor) = (Vec::new(), String::new());
        loop {
            let params = [
                ("query", query),
                ("start", "0"),
                ("end", FAR),
                ("order", "asc"),
                ("limit", "5000"),
                ("cursor", &cursor),
            ];
            let (status, mut page) = self.get("/api/v1/search", &params);
            assert_eq!(status, 200, "{page}");
            let Value::Array(some) = page["records"].take() else { panic!("{page}") };
            records.extend(some);
            match page["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return records,
            }
        }
    }

    /// Waits until this many records match, and makes sure that no more come a moment later.
    pub(crate) fn wait_for_count(&mut self, query: &str, wanted: u64) {
        let deadline = Instant::now() + SOON;
        loop {
            let count = self.count(query);
            if count == wanted {
                break;
            }
            assert!(count < wanted, "{count} records match `{query}`, and only {wanted} should");
            if Instant::now() > deadline {
                panic!("{count} of {wanted} records match `{query}`; the log:\n{}", self.log());
            }
            pause();
        }
    }

    #[allow(dead_code, reason = "not every test crate with this harness needs it")]
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let deadline = Instant::now() + SOON;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` is not in the log:\n{}", self.log());
            pause();
        }
    }
}

impl Drop for Sawyer {
    fn drop(&mut self) {
        // It may have ended already.
        drop((self.child.kill(), self.child.wait()));
    }
}

/// Later than any record.
pub(crate) const FAR: &str = "2261-01-01T00:00:00Z";

/// Between two looks at something that takes a while.
pub(crate) fn pause() {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(20));
}

/// Runs the binary to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    binary().args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn encode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
    }
}
