//! A server that answers as it is told, request by request, in the form in which Kubernetes' servers do.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) authorization: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    parts: Vec<String>,
    /// Whether it has no end.
    open: bool,
}

impl Answer {
    pub(super) fn whole(status: u16, body: &str) -> Self {
        Self { status, parts: vec![body.to_owned()], open: false }
    }

    /// Chunks, and then the end.
    pub(super) fn parts(parts: Vec<String>) -> Self {
        Self { status: 200, parts, open: false }
    }

    /// Nothing, and no end.
    pub(super) fn open() -> Self {
        Self { status: 200, parts: Vec::new(), open: true }
    }
}

pub(super) struct Server {
    url: String,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
}

type Token = Box<dyn Fn() -> String + Send>;

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request>>,
    tokens: Mutex<HashMap<usize, Token>>,
}

impl Server {
    pub(super) fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "old\n").unwrap();
        let shared = Arc::new(Shared::default());
        *shared.answers.lock() = answers.into();
        let (path, serving) = (folder.path().join("token"), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let (path, serving) = (path.clone(), Arc::clone(&serving));
                thread::spawn(move || serving.serve(stream, &path));
            }
        });
        Self { url, folder, shared }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Writes another token before the answer in front of this request is given.
    pub(super) fn before(&self, request: usize, token: impl Fn() -> String + Send + 'static) {
        self.shared.tokens.lock().insert(request, Box::new(token));
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }
}

impl Shared {
    /// Answers the requests of one connection, as long as there are answers.
    fn serve(&self, stream: TcpStream, token_file: &Path) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            let mut answers = self.answers.lock();
            let Some(answer) = answers.pop_front() else { break };
            let number = {
                let mut requests = self.requests.lock();
                requests.push(request);
                requests.len()
            };
            if let Some(token) = self.tokens.lock().get(&number) {
                std::fs::write(token_file, token()).unwrap();
            }
            drop(answers);
            write(reader.get_mut(), &answer);
        }
        // What is open stays open until the test has ended.
        std::mem::forget(reader);
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let (mut path, mut authorization) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some(Request { path, authorization });
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if let Some(("authorization", value)) = line
            .split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value))
            .as_ref()
            .map(|(n, v)| (n.as_str(), *v))
        {
            authorization = value.to_owned();
        }
    }
}

fn write(stream: &mut TcpStream, answer: &Answer) {
    let mut text = format!(
        "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        answer.status
    );
    for part in &answer.parts {
        // Whoever heard enough may have gone.
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
        text = format!("{:x}\r\n{part}\r\n", part.len());
    }
    if !answer.open {
        text.push_str("0\r\n\r\n");
    }
    let _ = stream.write_all(text.as_bytes());
}
