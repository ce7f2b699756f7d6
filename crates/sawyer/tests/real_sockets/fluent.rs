//! docker's driver `fluentd`, and the loggers for Python and Node.js.

use std::fs;
use std::process::Command;

use crate::daemon::{bounded, have_programs, output};
use crate::engine::Engine;
use crate::{busybox, found, packages, port, sawyer};

#[test]
fn what_docker_sends_to_fluentd_arrives_with_its_stream() {
    let programs = ["dockerd", "docker", "containerd", "busybox", "unshare", "setpriv"];
    if !sawyer_testkit::may_use_root("a docker engine of its own") || !have_programs(&programs) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("host/fluentd.sock");
    let mut sawyer = sawyer(folder.path(), "{forward: {listen: null, unix: /fluentd.sock}}");
    sawyer.wait_for_log("receiving");
    let engine = Engine::start(folder.path());
    let address = format!("fluentd-address=unix://{}", local.display());
    let common = ["--log-driver", "fluentd", "--log-opt", &address, "--log-opt", "tag=docker.{{.Name}}"];
    let precise = ["--log-opt", "fluentd-sub-second-precision=true"];
    engine.container("cart", &[&common[..], &precise].concat(), busybox::EVERYTHING);
    // With two streams at once the driver mixes up their answers, and the whole engine ends by it (fluent-logger-golang:
    // each stream reads from the one connection), whoever answers.
    let asks = ["--log-opt", "fluentd-request-ack=true"];
    engine.container("asks", &[&common[..], &asks].concat(), "for i in $(seq 1 100); do echo acked $i; done");
    sawyer.wait_for_count("tag: docker.asks and message: acked and stream: stdout", 100);
    sawyer.wait_for_count("tag: docker.cart and message: out", 300);
    sawyer.wait_for_count("tag: docker.cart and message: err and stream: stderr", 300);
    // Lines of 100 KB, which the driver cuts, come whole.
    sawyer.wait_for_count("tag: docker.cart and message: long", 3);
    for record in sawyer.all("tag: docker.cart and message: long") {
        let message = record["message"].as_str().unwrap();
        assert!(
            message.len() > 102_400 && message.contains(" end of "),
            "{} bytes: {message:.20}",
            message.len()
        );
    }
    assert_eq!(sawyer.count("partial_message: *"), 0);
    sawyer.wait_for_count("tag: docker.cart and http.status: 503 and level: warn", 1);
    let trace = "tag: docker.cart and message: \"java.lang.IllegalStateException: no stock\"";
    sawyer.wait_for_count(trace, 1);
    assert_eq!(found(&sawyer, trace, &["stream", "container"]), ["stderr|cart"]);
    assert_eq!(sawyer.count("sawyer.mark: *"), 0);
    sawyer.stop();
}

const PYTHON: &str = r#"
import sys
from fluent import sender
logger = sender.FluentSender('py', host='127.0.0.1', port=int(sys.argv[1]), nanosecond_precision=True)
for number in range(500):
    assert logger.emit('app', {'message': 'line %d' % number, 'level': 'warn', 'user': {'id': number}})
logger.close()
"#;

#[test]
fn what_pythons_logger_sends_arrives() {
    if !sawyer_testkit::may_use_root("programs") {
        return;
    }
    let Some(library) = packages("python-packages", &["fluent-logger==0.11.1", "msgpack==1.1.2"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut sawyer = sawyer(folder.path(), "{forward: {listen: '127.0.0.1:0'}}");
    let port = port(&mut sawyer, "forward", "receiving");
    output(bounded("python3").args(["-c", PYTHON, &port]).env("PYTHONPATH", library));
    sawyer.wait_for_count("tag: py.app and level: warn", 500);
    assert_eq!(found(&sawyer, "user.id: 499", &["message"]), ["line 499"]);
}

const NODE: &str = r#"
const { FluentClient } = require('@fluent-org/logger');
const logger = new FluentClient('js', {
    socket: { host: '127.0.0.1', port: Number(process.argv[2]), timeout: 30000 },
    security: { clientHostname: 'client', sharedKey: 's3cret' },
    ack: { ackTimeout: 30000 },
    eventMode: process.argv[3],
});
(async () => {
    await logger.connect();
    const sent = [];
    for (let number = 0; number < 500; number += 1) {
        sent.push(logger.emit('app', { message: 'line ' + number, mode: process.argv[3] }));
    }
    await Promise.all(sent);
    await logger.disconnect();
    console.log('acknowledged ' + sent.length);
})().catch((error) => { console.error(error); process.exit(1); });
"#;

#[test]
fn what_nodes_logger_sends_is_answered_once_it_is_stored() {
    if !sawyer_testkit::may_use_root("programs") {
        return;
    }
    let Some(library) = packages("node-packages", &["@fluent-org/logger@1.0.10"]) else { return };
    let Some(node) = packages("node", &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = "{forward: {listen: '127.0.0.1:0', clients: {shop: {token: s3cret, namespaces: [shop]}}}}";
    let mut sawyer = sawyer(folder.path(), config);
    let port = port(&mut sawyer, "forward", "receiving");
    let script = folder.path().join("send.js");
    fs::write(&script, NODE).unwrap();
    for mode in ["Message", "Forward", "PackedForward", "CompressedPackedForward"] {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", &format!("{node}/node")]).arg(&script).args([&port, mode]);
        let said = output(command.env("NODE_PATH", &library));
        assert_eq!(String::from_utf8_lossy(&said).trim(), "acknowledged 500", "{mode}");
        // What is answered is durable, so it is there.
        assert_eq!(sawyer.count(&format!("tag: js.app and mode: {mode} and namespace: shop")), 500, "{mode}");
    }
    assert_eq!(sawyer.count("identity: claimed"), 0);
}
