//! How a peer behaves, for all that speak HTTP.
//!
//! Owns: the draw of misfortunes, where the peer listens, being away. Does not own: what a good answer is.
//! Invariant: when it is [`Weather::Fine`], nothing goes wrong any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sawyer_testkit::Dice;
use sawyer_testkit::peer::{Manner, Peer, Play, Received, Reply};

/// What the peer is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nobody listens, and connections that are open close.
    Away,
    /// One request of two goes wrong.
    Bad,
    /// All is well.
    Fine,
}

/// Takes a request and answers it.
pub(crate) type Take = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// How many records a request has.
pub(crate) type Count = fn(&Received) -> usize;

/// A peer in changing weather.
pub(crate) struct Station {
    shared: Arc<Shared>,
    peer: Mutex<Option<Peer>>,
}

struct Shared {
    address: SocketAddr,
    weather: Mutex<Weather>,
    dice: Mutex<Dice>,
    take: Take,
    count: Count,
    happened: Mutex<BTreeMap<&'static str, usize>>,
}

/// More records than this in a request may be called too large.
const SMALL: usize = 20;

impl Station {
    pub(crate) fn new(seed: u64, take: Take, count: Count) -> Self {
        let shared = Shared {
            address: own_address(),
            weather: Mutex::new(Weather::Away),
            dice: Mutex::new(Dice::new(seed)),
            take,
            count,
            happened: Mutex::default(),
        };
        Self { shared: Arc::new(shared), peer: Mutex::new(None) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    pub(crate) fn set(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
        let mut peer = lock(&self.peer);
        if weather == Weather::Away {
            *peer = None;
        } else if peer.is_none() {
            let (of_cut, of_play) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
            let cut = Box::new(move || of_cut.cuts());
            let manner = Manner { address: self.shared.address, cut, ..Manner::default() };
            *peer = Some(Peer::start_as(manner, move |_, request| of_play.play(request)));
        }
    }

    /// What went wrong, and how often.
    pub(crate) fn happened(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.happened).clone()
    }
}

impl Shared {
    fn cuts(&self) -> bool {
        *lock(&self.weather) == Weather::Bad && lock(&self.dice).below(12) == 0 && self.note("request cut")
    }

    fn note(&self, what: &'static str) -> bool {
        *lock(&self.happened).entry(what).or_default() += 1;
        true
    }

    fn play(&self, request: &Received) -> Play {
        let refuse = |status| Play::Answer(Reply::new(status, "not now"));
        match *lock(&self.weather) {
            Weather::Fine => return Play::Answer((self.take)(request)),
            Weather::Away => return Play::HangUp,
            Weather::Bad => {}
        }
        let draw = lock(&self.dice).below(24);
        let (what, play) = match draw {
            0 => ("hung up", Play::HangUp),
            1 | 2 => {
                drop((self.take)(request));
                ("answer lost", Play::HangUp)
            }
            3 => ("answer cut", Play::Half((self.take)(request))),
            4 => ("half closed", Play::HalfClosed),
            5 => ("503", refuse(503)),
            6 => ("500", refuse(500)),
            7 => ("429", Play::Answer(Reply::new(429, "slower").header("retry-after", "0"))),
            8 => ("429, wait", Play::Answer(Reply::new(429, "slower").header("retry-after", "1"))),
            9 => ("slow", Play::Slowly((self.take)(request), Duration::from_millis(200))),
            10 => ("silent", Play::Silence),
            11 | 12 if (self.count)(request) > SMALL => ("413", refuse(413)),
            _ => ("taken", Play::Answer((self.take)(request))),
        };
        self.note(what);
        play
    }
}

/// An address on loopback that no other test listens on, so that nobody does while the peer is away.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    let host = [127, high.max(1), low, last as u8 + 1];
    let free = std::net::TcpListener::bind((std::net::Ipv4Addr::from(host), 0)).unwrap();
    free.local_addr().unwrap()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
