//! The address of the UI and the API, encrypted: Sawyer's own clients and other Sawyers reach it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::harness::{SOON, Sawyer, binary, pause, text};

fn pem(name: &str) -> PathBuf {
    sawyer_testkit::repository().join("crates/delivery/src/http/tests").join(name)
}

/// What the command line says, asking over TLS; it trusts this authority.
fn query(server: &str, query: &str, trusted: &Path) -> (bool, String) {
    let mut command = binary();
    command.args(["query", query, "--server", server, "--since", "10000d"]).env("SSL_CERT_FILE", trusted);
    let out = command.env_remove("SSL_CERT_DIR").stdin(Stdio::null()).output().unwrap();
    (out.status.success(), text(&out.stdout) + &text(&out.stderr))
}

#[test]
fn the_command_line_and_agents_reach_an_encrypted_server() {
    let folder = tempfile::tempdir().unwrap();
    let tls = format!(
        "tls: {{cert_file: {}, key_file: {}}}",
        pem("server.pem").display(),
        pem("server.key.pem").display()
    );
    let mut server =
        Sawyer::up_with(folder.path(), &format!("{tls}\ninputs: {{sawyer: }}\noutputs: {{store: }}\n"));
    let url = format!("https://{}", server.address);
    assert!(server.log().contains(&format!("\"url\":\"{url}\"")), "{}", server.log());
    let lines = folder.path().join("app.log");
    std::fs::write(&lines, "one\ntwo\nthree\n").unwrap();
    let config = folder.path().join("agent.yaml");
    let agent_text = format!(
        "inputs: {{app: {{type: files, include: ['{}']}}}}\noutputs: {{sawyer: {{endpoint: '{url}', tls: {{ca_file: {}}}}}}}\n",
        lines.display(),
        pem("ca.pem").display()
    );
    std::fs::write(&config, agent_text).unwrap();
    let data = folder.path().join("agent-data");
    let args = ["--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut agent = Sawyer::start("agent", &args);
    let deadline = Instant::now() + SOON;
    loop {
        let (good, told) = query(&url, "source: *app.log", &pem("ca.pem"));
        assert!(good, "{told}");
        if ["one", "two", "three"].iter().all(|line| told.contains(line)) {
            break;
        }
        assert!(Instant::now() < deadline, "{told}\n{}\n{}", server.log(), agent.log());
        pause();
    }
    let (good, told) = query(&url, "*", &pem("expired.pem"));
    assert!(!good && told.contains("certificate"), "nobody vouches for it: {told}");
    let (good, told) = query(&url.replace("https", "http"), "*", &pem("ca.pem"));
    assert!(!good, "it is not spoken to in the clear: {told}");
}

#[test]
fn a_certificate_that_cannot_be_read_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    std::fs::write(&config, "tls: {cert_file: /nowhere/tls.crt, key_file: /nowhere/tls.key}\n").unwrap();
    let data = folder.path().join("data");
    let args = ["--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let log = Sawyer::try_start("server", &args).err().unwrap();
    assert!(log.contains("read the key in /nowhere/tls.key"), "{log}");
}
