//! Each kind of notifier in each kind of trouble: it is told once, clearly and without a secret, it shows in a metric and
//! in the state, nothing is lost or taken for delivered, the others get what is theirs, and what is mended gets it all.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sawyer_telemetry::Metrics;
use tokio::sync::mpsc;

use super::*;
use crate::dispatch::Dispatch;
use crate::state::Fate;

#[path = "../../../../output/tests/harness/told.rs"]
mod told_of;

use told_of::Told as Heard;

const SOON: Duration = Duration::from_secs(60);
const WARNING: &str = "cannot deliver now; it is tried again, and nothing is lost";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Stranger,
    Silent,
    Nowhere,
    Expired,
}

/// A kind of notifier: its settings, what it says to a stranger, what is told of that, and what it says if all is well.
struct Receiver {
    name: &'static str,
    settings: &'static str,
    stranger: (u16, &'static str),
    told: &'static str,
    good: (u16, &'static str),
}

const RECEIVERS: [Receiver; 4] = [
    Receiver {
        name: "slack-webhook",
        settings: "type: slack, url: 'URL/services/T0/B0/sesame'",
        stranger: (403, "invalid_token"),
        told: "status 403 (are the credentials right?): invalid_token",
        good: (200, "ok"),
    },
    Receiver {
        name: "slack-token",
        settings: "type: slack, token: sesame, channel: '#ops', api_url: 'URL/api/chat.postMessage'",
        stranger: (200, r#"{"ok":false,"error":"invalid_auth"}"#),
        told: "invalid_auth",
        good: (200, r#"{"ok":true,"ts":"1"}"#),
    },
    Receiver {
        name: "pagerduty",
        settings: "type: pagerduty, routing_key: sesame, url: 'URL/v2/enqueue'",
        stranger: (403, "no such key"),
        told: "status 403",
        good: (202, "{}"),
    },
    Receiver {
        name: "webhook",
        settings: "type: webhook, url: 'URL/hook', headers: {X-Token: sesame}",
        stranger: (401, "who is this?"),
        told: "status 401 (are the credentials right?)",
        good: (200, ""),
    },
];

/// A peer whose certificate has expired.
fn expired() -> Peer {
    tls_peer_as("expired.pem", |_| Reply::new(200, "ok"))
}

/// What is started of one case, and what became of it.
struct World {
    name: String,
    dispatch: Dispatch,
    settled: mpsc::UnboundedReceiver<(String, Fate)>,
    metrics: Metrics,
    heard: Heard,
}

impl World {
    /// Hands something over to the one in trouble, and something to another.
    async fn start(heard: &Heard, name: &str, settings: &str, others: &Peer) -> Self {
        let (metrics, (sender, settled)) = (Metrics::new(), mpsc::unbounded_channel());
        let good = open(&format!("{{type: webhook, url: '{}'}}", others.url()));
        let all = [(name.to_owned(), open(&format!("{{{settings}}}"))), ("others".to_owned(), good)];
        let mut dispatch = Dispatch::start(all.into(), &Clock::system(), &metrics, sender);
        let to = |notifier: &str| Notification {
            id: format!("to {notifier}"),
            notifier: notifier.to_owned(),
            ..notification(vec![told(true, 1)])
        };
        dispatch.send(&[to(name), to("others")]).await;
        Self { name: name.to_owned(), dispatch, settled, metrics, heard: heard.clone() }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool + Send) {
        let deadline = Instant::now() + SOON;
        while !holds(self) {
            let statuses = self.dispatch.statuses();
            assert!(Instant::now() < deadline, "{}: waited too long until {what}: {statuses:?}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// It goes wrong again and again.
    async fn is_told_once(&mut self, expected: &str) {
        self.until("the others are told", |world| {
            world.settled.try_recv().is_ok_and(|told| told == ("to others".to_owned(), Fate::Delivered))
        })
        .await;
        self.until("it failed some times", |world| world.dispatch.statuses()[&world.name].failures >= 3)
            .await;
        let name = &self.name;
        let mut warnings = self.heard.of(WARNING);
        warnings.retain(|warning| warning.starts_with(&format!("\"{name}\"")));
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{name}: {warnings:?}");
        let shown = format!("{warnings:?} {:?}", self.dispatch.statuses());
        assert!(!shown.contains("sesame"), "{name}: a secret is told: {shown}");
        let retried = self.metrics.numbers("sawyer_delivery_retried_items");
        assert!(retried.iter().map(|(_, count)| count).sum::<i64>() >= 3, "{name}: {retried:?}");
        assert!(self.settled.try_recv().is_err(), "{name}: nothing is taken for delivered, nor for lost");
    }

    async fn ends_delivered(mut self) {
        self.until("all is delivered", |world| {
            world.settled.try_recv().is_ok_and(|told| told == (format!("to {}", world.name), Fate::Delivered))
        })
        .await;
        assert_eq!(self.dispatch.statuses()[&self.name].failures, 0);
        self.dispatch.stop(Duration::from_secs(1)).await;
    }
}

async fn is_told_once(heard: Heard, receiver: &'static Receiver, wrong: Wrong, others: Arc<Peer>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let reply = |(status, body): (u16, &str)| Play::Answer(Reply::new(status, body));
    let peer = match wrong {
        Wrong::Expired => expired(),
        _ => Peer::start(move |_, _| match wrong {
            _ if is_mended.load(Ordering::Acquire) => reply(receiver.good),
            Wrong::Silent => Play::Silence,
            _ => reply(receiver.stranger),
        }),
    };
    let (url, expected) = match wrong {
        Wrong::Stranger => (peer.url(), receiver.told),
        Wrong::Silent => (peer.url(), "no answer within 300ms"),
        Wrong::Nowhere => ("http://logs.invalid".to_owned(), "logs.invalid"),
        Wrong::Expired => (format!("https://{}", peer.address()), "certificate expired"),
    };
    let (name, ca) = (format!("{}-{wrong:?}", receiver.name), pem("ca.pem"));
    // Where somebody answers, there is time for that.
    let timeout = if matches!(wrong, Wrong::Silent) { "300ms" } else { "60s" };
    let settings = format!(
        "{}, http: {{answer_timeout: {timeout}, tls: {{ca_file: {}}}}}",
        receiver.settings.replace("URL", &url),
        ca.display()
    );
    let mut world = World::start(&heard, &name, &settings, &others).await;
    world.is_told_once(expected).await;
    if matches!(wrong, Wrong::Stranger | Wrong::Silent) {
        mended.store(true, Ordering::Release);
        world.ends_delivered().await;
    }
}

/// E-mail that gets no further; `mail` has what a server says to a stranger.
async fn mail_is_told_once(heard: Heard, wrong: Wrong, others: Arc<Peer>) {
    let (expired, silent) = (expired(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (host, port, expected) = match wrong {
        Wrong::Nowhere => ("logs.invalid".to_owned(), 25, "logs.invalid"),
        Wrong::Silent => {
            ("127.0.0.1".to_owned(), silent.local_addr().unwrap().port(), "no answer within 300ms")
        }
        _ => ("127.0.0.1".to_owned(), expired.address().port(), "certificate expired"),
    };
    let name = format!("email-{wrong:?}");
    let timeout = if matches!(wrong, Wrong::Silent) { "300ms" } else { "60s" };
    let settings = format!(
        "type: email, host: {host}, port: {port}, encryption: tls, user: sawyer, password: sesame, from: a@b.c, \
         to: a@b.c, timeout: {timeout}, ca_file: {}",
        pem("ca.pem").display()
    );
    World::start(&heard, &name, &settings, &others).await.is_told_once(expected).await;
}

#[tokio::test]
async fn every_kind_in_every_trouble_tells_once_and_loses_nothing() {
    let heard = Heard::default();
    let _listening = tracing::subscriber::set_default(heard.clone());
    let others = Arc::new(Peer::start(|_, _| Play::Answer(Reply::new(200, ""))));
    let mut all = tokio::task::JoinSet::new();
    for wrong in [Wrong::Stranger, Wrong::Silent, Wrong::Nowhere, Wrong::Expired] {
        for receiver in &RECEIVERS {
            all.spawn(is_told_once(heard.clone(), receiver, wrong, Arc::clone(&others)));
        }
        if wrong != Wrong::Stranger {
            all.spawn(mail_is_told_once(heard.clone(), wrong, Arc::clone(&others)));
        }
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}
