//! A wire between a client and a server, for protocols that nobody here looks into: it is away, it breaks, it stalls.
//!
//! Owns: the draw of a misfortune for each connection. Does not own: what is said over it.
//! Invariant: when it is [`Weather::Fine`], bytes go both ways as they came.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use sawyer_testkit::Dice;

use crate::weather::{Weather, lock, own_address};

/// A stall, longer than the client waits for an answer.
const STALL: Duration = Duration::from_millis(1500);

/// Longest wait for an address that was in use a moment ago.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Wire {
    shared: Arc<Shared>,
    listening: Mutex<Option<Arc<AtomicBool>>>,
}

struct Shared {
    here: SocketAddr,
    there: SocketAddr,
    weather: Mutex<Weather>,
    dice: Mutex<Dice>,
    open: Mutex<Vec<TcpStream>>,
    happened: Mutex<BTreeMap<&'static str, usize>>,
}

/// What befalls the bytes of one direction of a connection, after so many of them.
#[derive(Clone, Copy)]
enum Fate {
    Whole,
    Cut(u64),
    Stall(u64),
    /// They arrive, each piece late.
    Late,
}

impl Wire {
    pub(crate) fn new(seed: u64, there: SocketAddr) -> Self {
        let shared = Shared {
            here: own_address(),
            there,
            weather: Mutex::new(Weather::Away),
            dice: Mutex::new(Dice::new(seed)),
            open: Mutex::default(),
            happened: Mutex::default(),
        };
        Self { shared: Arc::new(shared), listening: Mutex::new(None) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.shared.here)
    }

    pub(crate) fn set(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
        let mut listening = lock(&self.listening);
        if weather == Weather::Away {
            if let Some(stopped) = listening.take() {
                stopped.store(true, Ordering::Release);
                // Wakes the thread that accepts.
                drop(TcpStream::connect(self.shared.here));
            }
        } else if listening.is_none() {
            let stopped = Arc::new(AtomicBool::new(false));
            listen(Arc::clone(&self.shared), Arc::clone(&stopped));
            *listening = Some(stopped);
        }
        // Whatever befell the connections that are there, what follows is for new ones.
        for open in lock(&self.shared.open).drain(..) {
            let _ = open.shutdown(Shutdown::Both);
        }
    }

    /// What went wrong, and how often.
    pub(crate) fn happened(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.happened).clone()
    }
}

fn listen(shared: Arc<Shared>, stopped: Arc<AtomicBool>) {
    let deadline = Instant::now() + PATIENCE;
    let listener = loop {
        match TcpListener::bind(shared.here) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < deadline, "listen at {}: {error}", shared.here),
        }
        thread::yield_now();
    };
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if stopped.load(Ordering::Acquire) {
                return;
            }
            // A server that is dead at the moment is one more misfortune.
            let Ok(server) = TcpStream::connect(shared.there) else { continue };
            let fates = shared.draw();
            let mut open = lock(&shared.open);
            open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
            drop(open);
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || carry(from, to, fates.0));
            thread::spawn(move || carry(server, client, fates.1));
        }
    });
}

impl Shared {
    /// What befalls requests, and what befalls answers.
    fn draw(&self) -> (Fate, Fate) {
        if *lock(&self.weather) == Weather::Fine {
            return (Fate::Whole, Fate::Whole);
        }
        let mut dice = lock(&self.dice);
        let after = dice.below(60_000);
        let (what, fates) = match dice.below(8) {
            0 => ("requests cut", (Fate::Cut(after), Fate::Whole)),
            1 | 2 => ("answers cut", (Fate::Whole, Fate::Cut(after % 700))),
            3 => ("requests stalled", (Fate::Stall(after), Fate::Whole)),
            4 => ("answers stalled", (Fate::Whole, Fate::Stall(after % 700))),
            5 => ("late", (Fate::Late, Fate::Late)),
            6 => ("hung up", (Fate::Cut(0), Fate::Cut(0))),
            _ => ("cut late", (Fate::Cut(after * 4), Fate::Whole)),
        };
        *lock(&self.happened).entry(what).or_default() += 1;
        fates
    }
}

/// Carries bytes one way until an end is reached.
fn carry(mut from: TcpStream, mut to: TcpStream, fate: Fate) {
    let wait = |time: Duration| {
        let (_keep, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(time);
    };
    let (mut piece, mut carried) = ([0; 4096], 0_u64);
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let most = match fate {
            Fate::Cut(after) | Fate::Stall(after) => after.saturating_sub(carried) as usize,
            Fate::Whole | Fate::Late => count,
        };
        if matches!(fate, Fate::Late) {
            wait(Duration::from_millis(10));
        }
        if to.write_all(&piece[..count.min(most)]).is_err() {
            break;
        }
        carried += count as u64;
        if most < count {
            if matches!(fate, Fate::Stall(_)) {
                wait(STALL);
            }
            break;
        }
    }
    // Either may be closed already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
