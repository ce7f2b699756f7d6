//! The runtime interface of Kubernetes (CRI v1), as much of it as the tests need: gRPC by way of `curl`.
//!
//! Field numbers are those of `api.proto` in k8s.io/cri-api, `pkg/apis/runtime/v1`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::daemon::bounded;

/// A field of a message, encoded.
pub(crate) type Field = Vec<u8>;

pub(crate) fn text(number: u8, value: &str) -> Field {
    bytes(number, value.as_bytes())
}

pub(crate) fn message(number: u8, fields: &[Field]) -> Field {
    bytes(number, &fields.concat())
}

pub(crate) fn integer(number: u8, value: u64) -> Field {
    let mut field = vec![number << 3];
    varint(value, &mut field);
    field
}

fn bytes(number: u8, value: &[u8]) -> Field {
    let mut field = vec![number << 3 | 2];
    varint(value.len() as u64, &mut field);
    field.extend_from_slice(value);
    field
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// The first field of an answer, where it is a short text.
fn first_text(answer: &[u8]) -> String {
    match answer {
        [0x0a, length, rest @ ..] if usize::from(*length) < 0x80 && rest.len() >= usize::from(*length) => {
            String::from_utf8(rest[..usize::from(*length)].to_vec()).unwrap()
        }
        _ => String::new(),
    }
}

pub(crate) struct Runtime {
    socket: PathBuf,
}

impl Runtime {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Calls a method of the runtime service; gives back the first field of the answer.
    pub(crate) fn call(&self, method: &str, fields: &[Field]) -> String {
        self.try_call(method, fields).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) fn try_call(&self, method: &str, fields: &[Field]) -> Result<String, String> {
        let body = fields.concat();
        let mut frame = vec![0];
        frame.extend((body.len() as u32).to_be_bytes());
        frame.extend(body);
        let head = self.socket.with_extension("headers");
        let mut curl = bounded("curl");
        curl.args(["--silent", "--show-error", "--http2-prior-knowledge", "--data-binary", "@-"]);
        curl.args(["--header", "content-type: application/grpc", "--header", "te: trailers"]);
        curl.arg("--unix-socket").arg(&self.socket).arg("--dump-header").arg(&head);
        curl.arg(format!("http://localhost/runtime.v1.RuntimeService/{method}"));
        let mut curl =
            curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        curl.stdin.take().unwrap().write_all(&frame).unwrap();
        let answer = curl.wait_with_output().unwrap();
        let head = fs::read_to_string(&head).unwrap_or_default();
        if !answer.status.success() || !head.lines().any(|line| line.trim() == "grpc-status: 0") {
            return Err(head + &String::from_utf8_lossy(&answer.stderr));
        }
        Ok(first_text(answer.stdout.get(5..).unwrap_or_default()))
    }
}

/// A pod that runs in the network of the daemon, so that it needs none of its own.
pub(crate) struct Pod<'a> {
    runtime: &'a Runtime,
    config: Vec<Field>,
    sandbox: String,
}

impl<'a> Pod<'a> {
    pub(crate) fn run(runtime: &'a Runtime, logs: &Path, cgroup: &str) -> Self {
        let name = logs.file_name().unwrap().to_str().unwrap().to_owned();
        let [namespace, pod, uid] = name.splitn(3, '_').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let node_network = message(2, &[message(1, &[integer(1, 2)])]);
        let config = vec![
            message(1, &[text(1, pod), text(2, uid), text(3, namespace)]),
            text(3, logs.to_str().unwrap()),
            message(8, &[text(1, &format!("/{cgroup}")), node_network]),
        ];
        let sandbox = runtime.call("RunPodSandbox", &[message(1, &config)]);
        Self { runtime, config, sandbox }
    }

    /// Starts a container that runs a script and logs to `<name>/<attempt>.log`; gives back its id.
    pub(crate) fn container(
        &self,
        name: &str,
        attempt: u32,
        script: &str,
        mounts: &[(&str, &Path)],
    ) -> String {
        let mut config = vec![
            message(1, &[text(1, name), integer(2, attempt.into())]),
            message(2, &[text(1, crate::IMAGE)]),
            text(3, "/bin/sh"),
            text(4, "-c"),
            text(4, script),
            text(11, &format!("{name}/{attempt}.log")),
        ];
        for (inside, outside) in mounts {
            config.push(message(7, &[text(1, inside), text(2, outside.to_str().unwrap())]));
        }
        let request = [text(1, &self.sandbox), message(2, &config), message(3, &self.config)];
        let id = self.runtime.call("CreateContainer", &request);
        self.runtime.call("StartContainer", &[text(1, &id)]);
        id
    }

    /// Stops and removes the pod with all that is in it.
    pub(crate) fn remove(self) {
        drop(self);
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            if let Err(error) = self.runtime.try_call(method, &[text(1, &self.sandbox)])
                && !std::thread::panicking()
            {
                panic!("{method}: {error}");
            }
        }
    }
}
