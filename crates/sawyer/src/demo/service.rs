//! What the services of the demo's shop say.

use std::fmt::Write as _;

use sawyer_model::Timestamp;

/// A service: where it runs and how it speaks.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) namespace: &'static str,
    pub(super) container: &'static str,
    pub(super) revision: &'static str,
    pub(super) replicas: usize,
    /// What one of its pods says within a tick.
    pub(super) speak: fn(&mut State, &Service, &str, Timestamp) -> Vec<Line>,
}

/// Something said: one line, or a trace of several.
pub(super) struct Line {
    pub(super) stream: &'static str,
    pub(super) text: String,
}

/// The dice, and the troubles that all services share.
pub(super) struct State {
    seed: u64,
    outage: Option<Outage>,
    trace: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Outage {
    Database,
    Payments,
}

pub(super) const SERVICES: &[Service] = &[
    Service {
        name: "gateway",
        namespace: "edge",
        container: "nginx",
        revision: "5c9f7d8b6",
        replicas: 2,
        speak: gateway,
    },
    Service {
        name: "cart",
        namespace: "shop",
        container: "app",
        revision: "6d5f4c7b9",
        replicas: 2,
        speak: cart,
    },
    Service {
        name: "checkout",
        namespace: "shop",
        container: "app",
        revision: "7f8b9c6d5",
        replicas: 1,
        speak: checkout,
    },
    Service {
        name: "payments",
        namespace: "shop",
        container: "app",
        revision: "59d6f7c8b",
        replicas: 1,
        speak: payments,
    },
    Service {
        name: "recommender",
        namespace: "shop",
        container: "worker",
        revision: "66c5d4f8f",
        replicas: 1,
        speak: recommender,
    },
    Service {
        name: "scheduler",
        namespace: "kube-system",
        container: "scheduler",
        revision: "node",
        replicas: 1,
        speak: scheduler,
    },
];

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, outage: None, trace: 0 }
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(super) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(self.pick(LETTERS))).collect()
    }

    pub(super) fn uid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        let tail = b & 0xffff_ffff_ffff;
        format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{tail:012x}", a >> 32, a >> 16 & 0xffff, a & 0xfff, b >> 52)
    }

    fn trace_id(&mut self) -> String {
        self.trace = self.next();
        format!("{:016x}{:016x}", self.next(), self.trace)
    }

    /// Troubles begin at fixed minutes of the hour and last a few minutes.
    pub(super) fn turn(&mut self, time: Timestamp) {
        let second = time.nanos().div_euclid(1_000_000_000).rem_euclid(1800);
        self.outage = match second {
            420..540 => Some(Outage::Database),
            1260..1320 => Some(Outage::Payments),
            _ => None,
        };
    }
}

fn out(text: String) -> Line {
    Line { stream: "stdout", text }
}

fn err(text: String) -> Line {
    Line { stream: "stderr", text }
}

/// nginx, combined access log.
fn gateway(state: &mut State, _: &Service, _: &str, time: Timestamp) -> Vec<Line> {
    const PATHS: &[&str] =
        &["/", "/products/42", "/products/7", "/api/cart", "/api/checkout", "/static/app.js"];
    const AGENTS: &[&str] = &[
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        "curl/8.10.1",
    ];
    let stamp = time.to_jiff().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    let count = 1 + state.below(3);
    let lines = (0..count).map(|_| {
        let path = state.pick(PATHS);
        let broken = state.outage.is_some() && path.starts_with("/api") && !state.one_in(3);
        let status = if broken { 502 } else { state.pick(&[200, 200, 200, 200, 200, 304, 404]) };
        let host = state.below(250);
        let (size, agent) = (state.below(40_000), state.pick(AGENTS));
        out(format!(
            "203.0.113.{host} - - [{stamp}] \"GET {path} HTTP/1.1\" {status} {size} \"-\" \"{agent}\""
        ))
    });
    lines.collect()
}

/// Go, logfmt.
fn cart(state: &mut State, _: &Service, _: &str, time: Timestamp) -> Vec<Line> {
    if state.one_in(2) {
        return Vec::new();
    }
    let trace = state.trace_id();
    let (user, items, took) = (state.below(5000), 1 + state.below(9), 2 + state.below(40));
    let time = time.to_jiff();
    if state.outage == Some(Outage::Database) {
        let text = format!(
            "time={time:.3} level=error msg=\"load cart\" service=cart user_id={user} trace_id={trace} \
             error=\"dial tcp 10.0.3.17:5432: connect: connection refused\" attempt=3"
        );
        return vec![err(text)];
    }
    let level = if took > 38 { "warn" } else { "info" };
    let text = format!(
        "time={time:.3} level={level} msg=\"cart updated\" service=cart user_id={user} items={items} \
         trace_id={trace} duration={took}ms"
    );
    vec![out(text)]
}

/// Node.js, JSON.
fn checkout(state: &mut State, _: &Service, _: &str, time: Timestamp) -> Vec<Line> {
    let trace = state.trace_id();
    let (order, total) = (100_000 + state.below(900_000), 500 + state.below(90_000));
    let mut base =
        format!("\"timestamp\":\"{:.3}\",\"service\":\"checkout\",\"trace_id\":\"{trace}\"", time.to_jiff());
    let _ = write!(base, ",\"order\":{{\"id\":{order},\"total_cents\":{total},\"currency\":\"EUR\"}}");
    let failed = state.outage == Some(Outage::Payments) && !state.one_in(4);
    if failed {
        let text = format!(
            "{{\"level\":\"error\",{base},\"message\":\"payment was not authorised\",\"http\":{{\"method\":\"POST\",\
             \"path\":\"/v1/authorise\",\"status\":503}},\"retries\":3}}"
        );
        return vec![err(text)];
    }
    if state.one_in(3) {
        return Vec::new();
    }
    let took = 20 + state.below(180);
    let text = format!(
        "{{\"level\":\"info\",{base},\"message\":\"order placed\",\"http\":{{\"method\":\"POST\",\
         \"path\":\"/api/checkout\",\"status\":201}},\"duration_ms\":{took}}}"
    );
    vec![out(text)]
}

/// Java, plain text with stack traces.
fn payments(state: &mut State, _: &Service, _: &str, time: Timestamp) -> Vec<Line> {
    let stamp = time.to_jiff().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
    let thread = state.below(8);
    if state.outage == Some(Outage::Payments) && state.one_in(2) {
        let text = format!(
            "{stamp} ERROR [exec-{thread}] c.e.payments.Gateway - authorisation failed\n\
             java.net.SocketTimeoutException: Read timed out\n\
             \tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)\n\
             \tat com.example.payments.BankClient.authorise(BankClient.java:{})\n\
             \tat com.example.payments.Gateway.handle(Gateway.java:57)\n\
             Caused by: java.io.IOException: connection reset by peer\n\
             \t... 14 more",
            80 + state.below(40)
        );
        return vec![err(text)];
    }
    if state.one_in(2) {
        return Vec::new();
    }
    let (order, took) = (100_000 + state.below(900_000), 30 + state.below(300));
    let level = if took > 310 { "WARN " } else { "INFO " };
    vec![out(format!(
        "{stamp} {level} [exec-{thread}] c.e.payments.Gateway - order {order} authorised in {took} ms"
    ))]
}

/// Python, JSON now and then, tracebacks when it fails.
fn recommender(state: &mut State, _: &Service, _: &str, time: Timestamp) -> Vec<Line> {
    if !state.one_in(6) {
        return Vec::new();
    }
    let stamp = time.to_jiff().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
    if state.one_in(40) {
        let product = state.below(1000);
        let text = format!(
            "{stamp} ERROR recommender: could not rank\nTraceback (most recent call last):\n  \
             File \"/app/rank.py\", line 71, in rank\n    score = weights[product]\nKeyError: 'product-{product}'"
        );
        return vec![err(text)];
    }
    let (users, took) = (100 + state.below(400), 200 + state.below(1500));
    vec![out(format!("{stamp} INFO recommender: 사용자 {users}명의 추천 목록을 {took}ms 만에 갱신했습니다"))]
}

/// klog.
fn scheduler(state: &mut State, service: &Service, _: &str, time: Timestamp) -> Vec<Line> {
    if !state.one_in(12) {
        return Vec::new();
    }
    let stamp = time.to_jiff().strftime("%m%d %H:%M:%S.%6f").to_string();
    let pod = state.suffix();
    let text = match state.below(8) {
        0 => format!(
            "W{stamp}       1 {}.go:212] \"Unable to schedule pod; no fit\" pod=\"shop/cart-{pod}\"",
            service.name
        ),
        _ => format!(
            "I{stamp}       1 {}.go:604] \"Successfully bound pod to node\" pod=\"shop/cart-{pod}\" node=\"node-1\"",
            service.name
        ),
    };
    vec![err(text)]
}
