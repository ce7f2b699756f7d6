//! `logger`, rsyslog, docker's driver, and the kernel.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::daemon::{Daemon, Own, bounded, have_programs, output};
use crate::engine::Engine;
use crate::harness::Sawyer;
use crate::{found, port, sawyer};

const PARTS: [&str; 6] = ["message", "level", "syslog.facility", "service", "pid", "sd.test@1.key"];

#[test]
fn logger_is_understood_in_every_way_it_can_send() {
    if !sawyer_testkit::may_use_root("programs") || !have_programs(&["logger"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("host/log");
    let config = "{syslog: {udp: '127.0.0.1:0', tcp: '127.0.0.1:0', unix: /log}}";
    let mut sawyer = sawyer(folder.path(), config);
    let udp = port(&mut sawyer, "syslog", "receiving datagrams");
    let tcp = port(&mut sawyer, "syslog", "receiving");
    let common = ["--priority", "local3.warning", "--tag", "prog", "--id=77"];
    let log = |args: &[&str]| drop(output(bounded("logger").args(common).args(args)));
    let data = ["--rfc5424", "--sd-id", "test@1", "--sd-param", "key=\"a b\""];
    log(&["--server", "127.0.0.1", "--udp", "--port", &udp, "--rfc3164", "udp old"]);
    log(&[&["--server", "127.0.0.1", "--udp", "--port", &udp][..], &data, &["udp new"]].concat());
    log(&["--server", "127.0.0.1", "--tcp", "--port", &tcp, "--rfc3164", "tcp old"]);
    log(&[&["--server", "127.0.0.1", "--tcp", "--port", &tcp][..], &data, &["tcp new"]].concat());
    log(&["--server", "127.0.0.1", "--tcp", "--port", &tcp, "--octet-count", "tcp counted"]);
    log(&["--socket", local.to_str().unwrap(), "over a path"]);
    sawyer.wait_for_count("*", 6);
    assert_eq!(
        found(&sawyer, "*", &PARTS),
        [
            "over a path|warn|local3|prog|77|-",
            "tcp counted|warn|local3|prog|77|-",
            "tcp new|warn|local3|prog|77|a b",
            "tcp old|warn|local3|prog|77|-",
            "udp new|warn|local3|prog|77|a b",
            "udp old|warn|local3|prog|77|-",
        ]
    );
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    assert_eq!(sawyer.count(&format!("node: \"{host}\"")), 6);
    assert_eq!(sawyer.count("identity: claimed"), 5, "a path is of this machine");
    assert_eq!(sawyer.count("sawyer.mark: *"), 0);
}

/// A Sawyer that takes connections without and with TLS: their ports, and the file with its certificate.
fn plain_and_safe(folder: &Path) -> (Sawyer, [String; 2], String) {
    let (cert, key) = certificate(folder);
    let config = format!(
        "{{plain: {{type: syslog, udp: null, tcp: '127.0.0.1:0'}}, \
          safe: {{type: syslog, udp: null, tcp: '127.0.0.1:0', tls: {{cert_file: '{cert}', key_file: '{key}'}}}}}}"
    );
    let mut sawyer = sawyer(folder, &config);
    let ports = ["plain", "safe"].map(|input| port(&mut sawyer, input, "receiving"));
    (sawyer, ports, cert)
}

#[test]
fn what_rsyslog_passes_on_arrives_in_both_framings_and_over_tls() {
    if !sawyer_testkit::may_use_root("programs") || !have_programs(&["rsyslogd", "openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (mut sawyer, [plain, safe], cert) = plain_and_safe(folder.path());
    let rsyslog = format!(
        r#"global(workDirectory="{work}" defaultNetstreamDriverCAFile="{cert}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{input}" RateLimit.Interval="0")
action(type="omfwd" target="127.0.0.1" port="{plain}" protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format")
action(type="omfwd" target="127.0.0.1" port="{plain}" protocol="tcp" template="RSYSLOG_ForwardFormat")
action(type="omfwd" target="localhost" port="{safe}" protocol="tcp" template="RSYSLOG_TraditionalForwardFormat" StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost")
"#,
        work = folder.path().display(),
        input = path("in"),
    );
    fs::write(path("rsyslog.conf"), rsyslog).unwrap();
    let script = "exec rsyslogd -n -f rsyslog.conf -iNONE";
    let mut daemon = Daemon::start(folder.path(), Own::Files, script);
    daemon.wait_for("its socket", || fs::metadata(path("in")).ok());
    let lines: String = (0..500).map(|number| format!("line {number} of many\n")).collect();
    fs::write(path("lines"), lines).unwrap();
    let logger =
        ["--socket", &path("in"), "--tag", "many", "--priority", "user.err", "--file", &path("lines")];
    output(bounded("logger").args(logger));
    sawyer.wait_for_count("service: many and level: error", 1500);
    let mut messages = found(&sawyer, "source: \"syslog:safe\"", &["message"]);
    messages.dedup();
    assert_eq!(messages.len(), 500);
    assert_eq!(sawyer.count("sawyer.mark: *"), 0);
}

/// Its output module for Elasticsearch asks for the health first, and reads the items of answers.
#[test]
fn what_rsyslog_writes_to_elasticsearch_arrives() {
    if !sawyer_testkit::may_use_root("programs") || !have_programs(&["rsyslogd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let clients = "clients: {shop: {token: s3cret, namespaces: [shop]}}";
    let mut sawyer =
        sawyer(folder.path(), &format!("{{elasticsearch: {{listen: '127.0.0.1:0', {clients}}}}}"));
    let port = port(&mut sawyer, "elasticsearch", "receiving");
    let rsyslog = format!(
        r#"global(workDirectory="{work}")
module(load="imuxsock" SysSock.Use="off")
module(load="omelasticsearch")
template(name="document" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="log.level" name="syslogseverity-text" format="jsonf")
  property(outname="service.name" name="programname" format="jsonf")
  property(outname="message" name="msg" position.from="2" format="jsonf")
}}
input(type="imuxsock" Socket="{input}" RateLimit.Interval="0")
action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" uid="any" pwd="s3cret" searchIndex="logs-rsyslog"
  searchType="" template="document" bulkmode="on" errorfile="{errors}" action.resumeRetryCount="-1"
  queue.type="linkedlist" queue.dequeueBatchSize="100")
"#,
        work = folder.path().display(),
        input = path("in"),
        errors = path("errors"),
    );
    fs::write(path("rsyslog.conf"), rsyslog).unwrap();
    let mut daemon = Daemon::start(folder.path(), Own::Files, "exec rsyslogd -n -f rsyslog.conf -iNONE");
    daemon.wait_for("its socket", || fs::metadata(path("in")).ok());
    let lines: String = (0..500).map(|number| format!("line {number} of many\n")).collect();
    fs::write(path("lines"), lines).unwrap();
    let logger =
        ["--socket", &path("in"), "--tag", "many", "--priority", "user.err", "--file", &path("lines")];
    output(bounded("logger").args(logger));
    let query = "namespace: shop and service: many and level: error and elasticsearch.index: logs-rsyslog";
    sawyer.wait_for_count(query, 500);
    let mut messages = found(&sawyer, query, &["message"]);
    messages.dedup();
    assert_eq!(messages.len(), 500);
    assert_eq!(fs::read_to_string(path("errors")).unwrap_or_default(), "");
}

/// Paths of a certificate for `localhost` that vouches for itself, and of its key.
fn certificate(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let make =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", &key, "-out", &cert];
    output(bounded("openssl").args(make).args(subject));
    (cert, key)
}

const DOCKER: [&str; 7] = ["dockerd", "docker", "containerd", "busybox", "unshare", "setpriv", "openssl"];

/// Runs a container for each of these, by its name, whose driver has these options; what it says has to arrive.
fn docker_says(engine: &Engine, sawyer: &mut Sawyer, containers: &[(&str, Vec<String>)]) {
    for (name, options) in containers {
        let mut all = vec!["--log-driver", "syslog", "--log-opt", "tag={{.Name}}"];
        options.iter().for_each(|option| all.extend(["--log-opt", option]));
        engine.container(name, &all, "for i in 1 2 3; do echo out $i; echo err $i >&2; done");
    }
    for (name, _) in containers {
        sawyer.wait_for_count(&format!("service: {name}"), 6);
        assert_eq!(
            found(sawyer, &format!("service: {name}"), &["message", "level"]),
            ["err 1|error", "err 2|error", "err 3|error", "out 1|info", "out 2|info", "out 3|info"]
        );
    }
}

#[test]
fn what_docker_sends_as_syslog_arrives() {
    if !sawyer_testkit::may_use_root("a docker engine of its own") || !have_programs(&DOCKER) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("host/log");
    let mut sawyer = sawyer(folder.path(), "{syslog: {udp: null, tcp: null, unix: /log}}");
    sawyer.wait_for_log("receiving datagrams");
    let engine = Engine::start(folder.path());
    let options = |format: &str| {
        vec![format!("syslog-address=unixgram://{}", local.display()), format!("syslog-format={format}")]
    };
    docker_says(&engine, &mut sawyer, &[("old", options("rfc3164")), ("new", options("rfc5424micro"))]);
}

/// Has ports of this machine in the network of a process, too, where only the process itself is: relay.py PID PORT…
const RELAY: &str = r#"
import ctypes, fcntl, os, socket, struct, sys, threading
here = os.open('/proc/self/ns/net', os.O_RDONLY)
def enter(network):
    if ctypes.CDLL(None).setns(network, 0):
        raise OSError('setns')
enter(os.open(f'/proc/{sys.argv[1]}/ns/net', os.O_RDONLY))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
    fcntl.ioctl(device, 0x8914, struct.pack('16sh14x', b'lo', 1))
listeners = [socket.create_server(('127.0.0.1', int(port))) for port in sys.argv[2:]]
enter(here)
def pass_on(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
def serve(listener):
    while True:
        inner, _ = listener.accept()
        outer = socket.create_connection(listener.getsockname())
        for ends in (inner, outer), (outer, inner):
            threading.Thread(target=pass_on, args=ends).start()
for listener in listeners:
    threading.Thread(target=serve, args=(listener,)).start()
open('ready', 'w').close()
"#;

#[test]
fn what_docker_sends_as_syslog_over_tcp_and_tls_arrives() {
    if !sawyer_testkit::may_use_root("a docker engine of its own")
        || !have_programs(&DOCKER)
        || !have_programs(&["python3"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, [plain, safe], cert) = plain_and_safe(folder.path());
    let engine = Engine::start(folder.path());
    // The engine has a network of its own.
    let beside = folder.path().join("relay");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("relay.py"), RELAY).unwrap();
    let script = format!("exec python3 relay.py {} {plain} {safe}", engine.pid());
    let mut relay = Daemon::start(&beside, Own::Files, &script);
    relay.wait_for("its ports", || fs::metadata(beside.join("ready")).ok());
    let over_tcp = |format: &str| {
        vec![format!("syslog-address=tcp://127.0.0.1:{plain}"), format!("syslog-format={format}")]
    };
    let over_tls = |format: &str| {
        let address = format!("syslog-address=tcp+tls://localhost:{safe}");
        vec![address, format!("syslog-tls-ca-cert={cert}"), format!("syslog-format={format}")]
    };
    let containers = [
        ("tcp-old", over_tcp("rfc3164")),
        ("tcp-new", over_tcp("rfc5424micro")),
        ("tls-old", over_tls("rfc3164")),
        ("tls-new", over_tls("rfc5424micro")),
    ];
    docker_says(&engine, &mut sawyer, &containers);
    assert_eq!(sawyer.count("source: \"syslog:plain\""), 12);
    assert_eq!(sawyer.count("source: \"syslog:safe\""), 12);
    assert_eq!(sawyer.count("sawyer.mark: *"), 0);
}

#[test]
fn what_the_kernel_says_is_read_once_over_restarts() {
    if !sawyer_testkit::may_use_root("writes to the kernel's log") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let word = format!("sawyer{}", std::process::id());
    let say = |number: u32| {
        let mut kernel = fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
        // The kernel holds a line back that does not end: more of it may follow.
        kernel.write_all(format!("<12>test: {word} says {number}\n").as_bytes()).unwrap();
    };
    say(1);
    let mut first = sawyer(folder.path(), "{kmsg: }");
    first.wait_for_count(&format!("message: {word}"), 1);
    say(2);
    first.wait_for_count(&format!("message: {word}"), 2);
    first.kill();
    say(3);
    let mut second = sawyer(folder.path(), "{kmsg: }");
    second.wait_for_count(&format!("message: {word}"), 3);
    let wanted: Vec<String> =
        (1..=3).map(|number| format!("test: {word} says {number}|warn|kernel")).collect();
    assert_eq!(found(&second, &format!("message: {word}"), &["message", "level", "source"]), wanted);
    second.stop();
}
