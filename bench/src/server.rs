//! The real binary as a process, and asking it over HTTP.
//!
//! Owns: starting `sawyer server` on a folder and a free port, stopping it, one connection that stays open.
//! Does not own: what is asked.
//! Invariant: the process is stopped when its [`Server`] goes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Cost;
use crate::sawyer::as_in_image;

/// A server that runs.
pub struct Server {
    child: Child,
    address: String,
    connection: Connection,
}

/// A connection to a server that stays open.
pub struct Connection(BufReader<TcpStream>);

impl Server {
    /// Starts `binary server` with its data in `folder` and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it is ready.
    pub fn start(binary: &Path, folder: &Path, args: &[String]) -> Result<Self> {
        Self::start_as("server", binary, folder, args)
    }

    /// The same in another role.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it is ready.
    pub fn start_as(role: &str, binary: &Path, folder: &Path, args: &[String]) -> Result<Self> {
        let mut command = as_in_image(binary);
        command.arg(role).args(["--listen", "127.0.0.1:0", "--data"]).arg(folder).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", binary.display()))?;
        let mut log = BufReader::new(child.stderr.take().context("read what the server says")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if log.read_line(&mut line)? == 0 {
                bail!("the server ended before it was ready");
            }
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "ready" {
                break event["address"].as_str().context("the server says no address")?.to_owned();
            }
            if event["level"] == "ERROR" {
                eprint_line(&line);
            }
        };
        // What it says later is shown too; else the pipe would fill.
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| eprint_line(&line)));
        let connection = Connection::open(&address)?;
        Ok(Self { child, address, connection })
    }

    /// Another connection, for another thread.
    ///
    /// # Errors
    /// If it takes none.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address)
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the connection to it is gone.
    pub fn address(&self) -> Result<SocketAddr> {
        self.connection.0.get_ref().peer_addr().context("ask for an address")
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cost(&self) -> Result<Cost> {
        Cost::of(self.pid())
    }

    /// Sends a body.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.connection.post(path, body)
    }

    /// Asks for a path with parameters.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub fn get(&mut self, path: &str, params: &[(&str, &str)]) -> Result<Vec<u8>> {
        self.connection.get(path, params)
    }

    /// The sum of the numbers of a metric, whatever their labels; 0 if there is none.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metric_sum(&mut self, name: &str) -> Result<f64> {
        let text = String::from_utf8(self.get("/metrics", &[])?)?;
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let number =
                if rest.starts_with('{') { rest.rsplit_once("} ")?.1 } else { rest.strip_prefix(' ')? };
            number.trim().parse::<f64>().ok()
        };
        Ok(text.lines().filter_map(of).sum())
    }

    /// The number of a metric that has no labels.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn metric(&mut self, name: &str) -> Result<f64> {
        let text = String::from_utf8(self.get("/metrics", &[])?)?;
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start_matches("{}").trim().parse().ok());
        found.with_context(|| format!("find the metric {name}"))
    }

    /// Stops it, and waits for its end.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.pid().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Connection {
    fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a body.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let stream = self.0.get_mut();
        write!(stream, "POST {path} HTTP/1.1\r\nhost: sawyer\r\ncontent-length: {}\r\n\r\n", body.len())?;
        stream.write_all(body)?;
        self.answer(path)
    }

    /// Asks for a path with parameters.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub fn get(&mut self, path: &str, params: &[(&str, &str)]) -> Result<Vec<u8>> {
        let query: Vec<String> =
            params.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        let stream = self.0.get_mut();
        let request = format!("GET {path}?{} HTTP/1.1\r\nhost: sawyer\r\n\r\n", query.join("&"));
        stream.write_all(request.as_bytes())?;
        self.answer(path)
    }

    fn answer(&mut self, path: &str) -> Result<Vec<u8>> {
        let connection = &mut self.0;
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let ok = line.split(' ').nth(1) == Some("200");
        let (mut len, mut chunked) = (0, false);
        loop {
            line.clear();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => len = value.trim().parse()?,
                "transfer-encoding" => chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        loop {
            if chunked {
                line.clear();
                connection.read_line(&mut line)?;
                len = usize::from_str_radix(line.trim_end(), 16)?;
            }
            let start = body.len();
            body.resize(start + len, 0);
            connection.read_exact(&mut body[start..])?;
            if !chunked {
                break;
            }
            connection.read_line(&mut line)?;
            if len == 0 {
                break;
            }
        }
        if !ok {
            bail!("{path}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a measurement shows what its server complains about")]
fn eprint_line(line: &str) {
    if line.contains("\"ERROR\"") || line.contains("\"WARN\"") {
        eprintln!("{}", line.trim_end());
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encoded).collect()
}
