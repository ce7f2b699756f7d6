//! Records as a cluster's programs write them, made up.
//!
//! Owns: [`Workload`], NDJSON in the order of time: some 60 services with their pods, templates of messages with
//! variables, severities, traces, and fields that only some records have.
//! Invariant: two workloads of the same seed and end give the same lines.

use std::fmt::Write;

/// How many kinds of messages each service writes.
const TEMPLATES_PER_SERVICE: u64 = 40;
/// Requests that are under way, whose traces records belong to.
const TRACES_OPEN: u64 = 64;
/// Users and paths that records name.
const USERS: u64 = 50_000;
const PATHS: u64 = 400;
/// One record in so many tells of the rare event.
const LOCK_ONE_IN: u64 = 4000;
/// Mean nanoseconds between two records: 2 million take six hours.
const PAUSE_MEAN_NANOS: f64 = 10_800_000.0;

/// The words that messages are made of.
pub const WORDS: &str = "accepted acquired backup batch binding body bucket cache certificate closed commit completed \
    config connection consumer contention database delivered disk election endpoint error event evicted exceeded \
    exhausted expired failed fetched field handshake header heartbeat image index invalid leader loaded lock lost \
    matched memory mesh message mismatch missing mounted node object offset order parse partition payment peer \
    pod pool pressure probe processing producer proxy published pulled query queue ready refresh refused released \
    reloaded replica request response restored retry rollback rotated route scheduler schema secret service \
    session shard signature slow snapshot socket stale started stopped subscribed thread threshold timeout token \
    topic transaction updated uploaded upstream usage user validation volume webhook worker";

const SERVICES: &str = "frontend checkout cart catalog payments auth users search recommend inventory shipping \
    email notifier gateway ingress dns proxy etcd-backup metrics dashboards canary redis postgres kafka zookeeper \
    rabbit objects vault deployer certs billing ledger fraud reports analytics collector transform loader \
    scheduler worker thumbnails video chat presence push sms geo pricing tax coupons reviews ratings feed social \
    ads bidder tracker sessions settings audit";

const NAMESPACES: [&str; 6] = ["prod", "staging", "kube-system", "monitoring", "data", "platform"];
const LEVELS: [&str; 4] = ["DEBUG", "INFO", "WARN", "ERROR"];
const LEADS: [&str; 9] = ["id=", "addr=", "took ", "for ", "from ", "to ", "count=", "key=", "at "];

/// What a few records of a workload say: for asking a needle.
pub const RARE_PHRASE: &str = "breaker half open after probe";
/// What one in some thousands says.
pub const LOCK_PHRASE: &str = "deadlock found while waiting for lock";

/// The field that [`Workload::unique`] adds.
pub const UNIQUE_FIELD: &str = "request_id";
/// Records that come late do so by up to a day.
const LATE_NANOS_MAX: u64 = 24 * 3600 * 1_000_000_000;

/// A source of records. See the head of the module.
pub struct Workload {
    random: Random,
    services: Vec<Service>,
    paths: Vec<String>,
    traces: Vec<(u64, u64)>,
    count: u64,
    at: u64,
    time_nanos: u64,
    late_percent: u64,
    unique: bool,
}

struct Service {
    name: &'static str,
    weight_end: f64,
    pods: Vec<Pod>,
    templates: Vec<Template>,
}

struct Pod {
    namespace: &'static str,
    name: String,
    container: &'static str,
    node: String,
}

struct Template {
    weight_end: f64,
    level: usize,
    parts: Vec<Part>,
    http: bool,
    duration: bool,
    user: bool,
}

enum Part {
    Text(String),
    Address,
    Number(u64),
    Milliseconds,
    Uuid,
    Hex,
    Path,
    User,
    Word,
    Service,
    Decimal,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// Exponentially distributed, with mean 1.
    fn waiting(&mut self) -> f64 {
        -(1.0 - self.part()).ln()
    }
}

/// Chooses by weights that were added up.
fn weighted<'a, T>(random: &mut Random, of: &'a [T], end: impl Fn(&T) -> f64) -> &'a T {
    let at = random.part() * of.last().map_or(0.0, &end);
    &of[of.partition_point(|one| end(one) < at).min(of.len() - 1)]
}

impl Workload {
    /// `count` records, the last of them near `end_nanos`.
    #[must_use]
    pub fn new(seed: u64, count: u64, end_nanos: u64) -> Self {
        let mut random = Random(seed);
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        let paths = (0..PATHS).map(|_| path(&mut random, &words)).collect();
        let mut weight = 0.0;
        let services = SERVICES.split_whitespace().enumerate().map(|(rank, name)| {
            weight += 1.0 / (rank as f64 + 3.0);
            Service {
                name,
                weight_end: weight,
                pods: pods(&mut random, name, rank),
                templates: templates(&mut random, &words),
            }
        });
        let services = services.collect();
        let traces = (0..TRACES_OPEN).map(|_| (random.next(), random.next())).collect();
        let time_nanos = end_nanos.saturating_sub((count as f64 * PAUSE_MEAN_NANOS) as u64);
        Self { random, services, paths, traces, count, at: 0, time_nanos, late_percent: 0, unique: false }
    }

    /// Of a hundred records so many come late, by up to a day.
    #[must_use]
    pub fn late(self, percent: u64) -> Self {
        Self { late_percent: percent, ..self }
    }

    /// Each record has [`UNIQUE_FIELD`], 16 bytes in hex that no other record has.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// Appends the next line; says whether there was one.
    pub fn write_line(&mut self, out: &mut String) -> bool {
        if self.at == self.count {
            return false;
        }
        self.at += 1;
        let Self { random, services, paths, traces, late_percent, .. } = self;
        self.time_nanos += (random.waiting() * PAUSE_MEAN_NANOS) as u64 + 1;
        let service = weighted(random, services, |service| service.weight_end);
        let pod = random.pick(&service.pods);
        let template = weighted(random, &service.templates, |template| template.weight_end);
        // Without late records nothing is drawn for them, so that their lines stay the same.
        let late = *late_percent > 0 && random.percent(*late_percent);
        let late_nanos = if late { random.below(LATE_NANOS_MAX) } else { 0 };
        let _ = write!(
            out,
            r#"{{"ts":{},"namespace":"{}","pod":"{}","container":"{}","node":"{}","app":"{}","level":"{}""#,
            self.time_nanos - late_nanos,
            pod.namespace,
            pod.name,
            pod.container,
            pod.node,
            service.name,
            LEVELS[template.level],
        );
        put_fields(random, template, paths, traces, out);
        if self.unique {
            let (high, low) = (random.next(), random.next());
            let _ = write!(out, r#","{UNIQUE_FIELD}":"{high:016x}{low:016x}""#);
        }
        out.push_str(r#","message":""#);
        for part in &template.parts {
            put_part(random, part, paths, out);
        }
        if random.below(LOCK_ONE_IN) == 0 {
            let _ = write!(out, " {LOCK_PHRASE}");
        }
        if self.at.is_multiple_of((self.count / 20).max(1)) {
            let _ = write!(out, " {RARE_PHRASE}");
        }
        if template.level == 3 && random.below(20) == 0 {
            out.push_str(concat!(
                r": java.lang.IllegalStateException: state\n\tat org.shop.core.Engine.run(Engine.java:118)",
                r"\n\tat org.shop.core.Pool$Worker.call(Pool.java:77)",
                r"\n\tat java.base/java.lang.Thread.run(Thread.java:1583)",
            ));
        }
        out.push_str("\"}\n");
        true
    }
}

/// The fields that some records have.
fn put_fields(
    random: &mut Random,
    template: &Template,
    paths: &[String],
    traces: &mut [(u64, u64)],
    out: &mut String,
) {
    if random.percent(60) {
        let at = random.below(TRACES_OPEN) as usize;
        let (high, low) = traces[at];
        let _ = write!(out, r#","trace_id":"{high:016x}{low:016x}""#);
        if random.below(4) == 0 {
            traces[at] = (random.next(), random.next());
        }
    }
    if template.http {
        let status = match random.below(100) {
            0..85 => 200,
            85..90 => 201,
            90..94 => 404,
            94..96 => 302,
            96 => 503,
            97 => 500,
            98 => 429,
            _ => 401,
        };
        let path = &paths[(random.part() * random.part() * paths.len() as f64) as usize];
        let _ = write!(out, r#","http.status":{status},"path":"{path}""#);
    }
    if template.duration {
        let _ = write!(out, r#","duration_ms":{}"#, (random.waiting() * 12_000.0).round() / 100.0);
    }
    if template.user {
        let _ = write!(out, r#","user_id":"u-{}""#, random.below(USERS));
    }
}

fn put_part(random: &mut Random, part: &Part, paths: &[String], out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match part {
        Part::Text(text) => out.write_str(text),
        Part::Address => {
            write!(out, "10.{}.{}.{}", random.below(4), random.below(256), random.below(256))
        }
        Part::Number(end) => write!(out, "{}", random.below(*end)),
        Part::Milliseconds => write!(out, "{}ms", (random.waiting() * 180.0) as u64),
        Part::Uuid => {
            let (high, low) = (random.next(), random.next());
            write!(
                out,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff,
            )
        }
        Part::Hex => write!(out, "{:08x}", random.next() as u32),
        Part::Path => out.write_str(random.pick::<String>(paths)),
        Part::User => write!(out, "u-{}", random.below(USERS)),
        Part::Word => out.write_str(word(random)),
        Part::Service => {
            let services = SERVICES.split_whitespace().count() as u64;
            let service =
                SERVICES.split_whitespace().nth(random.below(services) as usize).unwrap_or_default();
            write!(out, "{service}.prod.svc.cluster.local:{}", 8080 + random.below(4))
        }
        Part::Decimal => write!(out, "{:.3}", random.part() * 100.0),
    };
}

fn word(random: &mut Random) -> &'static str {
    let count = WORDS.split_whitespace().count() as u64;
    WORDS.split_whitespace().nth(random.below(count) as usize).unwrap_or_default()
}

fn path(random: &mut Random, words: &[&str]) -> String {
    let mut path = String::from("/api/v1");
    for _ in 0..=random.below(3) {
        path.push('/');
        path.push_str(random.pick::<&str>(words));
    }
    path
}

fn pods(random: &mut Random, service: &'static str, rank: usize) -> Vec<Pod> {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let generation = random.next() & 0xff_ffff_ffff;
    let pod = |_| {
        let namespace = NAMESPACES[if random.percent(60) { 0 } else { rank % NAMESPACES.len() }];
        let tail: String = (0..5).map(|_| char::from(*random.pick(LETTERS))).collect();
        Pod {
            namespace,
            name: format!("{service}-{generation:010x}-{tail}"),
            container: if random.percent(10) { "istio-proxy" } else { service },
            node: format!("node-{:02}", random.below(24)),
        }
    };
    (0..4 + rank % 12).map(pod).collect()
}

fn templates(random: &mut Random, words: &[&str]) -> Vec<Template> {
    let mut weight = 0.0;
    let template = |number: u64| {
        // A few kinds are most of what a service says; warnings and errors are rare.
        let (level, common) = match number % 8 {
            0..=3 | 5 => (1, 5.0),
            4 => (0, 4.0),
            6 => (2, 0.9),
            _ => (3, 0.35),
        };
        weight += common / (number as f64 / 8.0 + 1.0);
        Template {
            weight_end: weight,
            level,
            parts: parts(random, words),
            http: random.percent(35),
            duration: random.percent(45),
            user: random.percent(30),
        }
    };
    (0..TEMPLATES_PER_SERVICE).map(template).collect()
}

fn parts(random: &mut Random, words: &[&str]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    for at in 0..7 + random.below(7) {
        if at > 0 {
            text.push(' ');
        }
        if random.percent(62) {
            text.push_str(random.pick::<&str>(words));
            continue;
        }
        text.push_str(random.pick::<&str>(&LEADS));
        parts.push(Part::Text(std::mem::take(&mut text)));
        parts.push(match random.below(12) {
            0 => Part::Address,
            1 | 2 => Part::Number(10u64.pow(1 + random.below(5) as u32)),
            3 | 4 => Part::Milliseconds,
            5 => Part::Uuid,
            6 => Part::Hex,
            7 => Part::Path,
            8 => Part::User,
            9 => Part::Word,
            10 => Part::Service,
            _ => Part::Decimal,
        });
    }
    parts.push(Part::Text(text));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_objects_and_the_same_again() {
        let lines = || {
            let mut workload = Workload::new(7, 2000, 1_800_000_000_000_000_000);
            let mut text = String::new();
            while workload.write_line(&mut text) {}
            text
        };
        let text = lines();
        assert_eq!(text, lines());
        let records: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 2000);
        assert!(records.iter().all(|record| record["pod"].is_string() && record["message"].is_string()));
        let said = |phrase: &str| text.lines().filter(|line| line.contains(phrase)).count();
        assert_eq!(said(RARE_PHRASE), 20);
        let warnings = said(r#""level":"WARN""#) + said(r#""level":"ERROR""#);
        assert!((20..200).contains(&warnings), "{warnings}");
    }
}
