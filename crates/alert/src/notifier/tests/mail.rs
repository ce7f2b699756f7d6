//! E-mail to a real server: aiosmtpd, with encryption and a login.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use super::*;

struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(mode: &str) -> Option<Self> {
        let mut python = python("smtp_server.py", &[SLACK_SDK, AIOSMTPD])?;
        python.arg(mode).arg(pem("server.pem")).arg(pem("server.key.pem"));
        let mut child = python.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Some(Self { child, lines, port: port.trim().parse().unwrap() })
    }

    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn notifier(&self, encryption: &str, more: &str) -> Box<dyn Notify> {
        open(&format!(
            "{{type: email, host: 127.0.0.1, port: {}, encryption: {encryption}, ca_file: {}, user: sawyer, \
             from: 'Sawyer <sawyer@example.com>', {more}}}",
            self.port,
            pem("ca.pem").display()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

const LOGIN: &str = "password: correct horse, to: [a@example.com, 'B <b@example.com>']";

#[tokio::test]
async fn a_mail_goes_encrypted_with_a_login() {
    for mode in ["starttls", "tls"] {
        let Some(mut server) = Server::start(mode) else { return };
        let email = server.notifier(mode, LOGIN);
        assert_eq!(email.notify(&notification(vec![told(true, 1), told(false, 100)])).await, Answer::done(1));
        let mail = server.mail();
        assert_eq!(mail["to"], json!(["a@example.com", "b@example.com"]));
        assert_eq!(
            (mail["user"].as_str(), mail["encrypted"].as_bool()),
            (Some("sawyer"), Some(true)),
            "{mode}"
        );
        let headers = &mail["headers"];
        assert_eq!(headers["Subject"], "FIRING: 12 errors <in> 5m & more (and 1 more)");
        assert_eq!(headers["Message-ID"], "<sawyer-18f-7@example.com>");
        assert_eq!(headers["Auto-Submitted"], "auto-generated");
        assert!(headers["Date"].as_str().unwrap().contains("20 Nov 2026 12:00:05"), "{headers}");
        let (text, html) =
            (mail["parts"]["text/plain"].as_str().unwrap(), mail["parts"]["text/html"].as_str().unwrap());
        for part in [
            "결제 <failed>",
            "Threshold: >= 10",
            "https://sawyer.example/?q=a",
            "https://wiki.example/errors?a=b&c=d",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            html.contains("결제 &lt;failed&gt;") && !html.contains("<failed>") && !html.contains("<b>bad"),
            "{html}"
        );
        assert!(mail["longest_line"].as_u64().unwrap() <= 1000, "RFC 5321: lines of 1000 octets at most");
    }
}

#[tokio::test]
async fn what_the_answers_of_a_server_mean() {
    let Some(server) = Server::start("starttls") else { return };
    let one = notification(vec![told(true, 1)]);
    let answer = async |more: &str| server.notifier("starttls", more).notify(&one).await;
    let wrong = answer("password: battery staple, to: a@example.com").await;
    assert!(matches!(&wrong, Answer::Failed(trouble) if trouble.reason == "unauthorized"), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("staple"));
    let refused = answer("password: correct horse, to: nobody@example.com").await;
    assert!(matches!(&refused, Answer::Refused(reason) if reason.contains("no such mailbox")), "{refused:?}");
    let busy = answer("password: correct horse, to: busy@example.com").await;
    assert!(matches!(&busy, Answer::Failed(trouble) if trouble.reason == "busy"), "{busy:?}");
    // The authority is another one.
    let stranger = open(&format!(
        "{{type: email, host: 127.0.0.1, port: {}, from: a@b.c, to: a@b.c, ca_file: {}}}",
        server.port,
        pem("expired.pem").display()
    ));
    let stranger = stranger.notify(&one).await;
    assert!(
        matches!(&stranger, Answer::Failed(trouble) if trouble.detail.contains("certificate")),
        "{stranger:?}"
    );
    let gone = open("{type: email, host: 127.0.0.1, port: 1, from: a@b.c, to: a@b.c, encryption: none}");
    let gone = gone.notify(&one).await;
    assert!(matches!(&gone, Answer::Failed(trouble) if trouble.reason == "unreachable"), "{gone:?}");
}
