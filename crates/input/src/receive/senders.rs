//! Who sends where a protocol knows no tokens: known by where it sends from.
//!
//! Owns: senders and their networks, who may send, what is known of all that one sends, how much each address may send.
//! Does not own: what is sent (`syslog`, `gelf`), certificates ([`socket`](super::socket)).
//! Invariant: memory is bounded whatever addresses there are: beyond [`ADDRESSES_MAX`] they share one rate. Over UDP
//! anybody may write any address in front of what it sends; so networks are as good as whoever keeps them apart.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use parking_lot::Mutex;
use sawyer_codec::pushed::Trust;
use sawyer_config::{At, ByteSize, Problems, Reference, Settings as _, settings};
use sawyer_model::{Stream, Value, names};
use tokio::time::Instant;

use super::clients::{CLIENT, check_fields, is_pattern};
use super::rate::Rate;
use super::socket::Peer;

settings! {
    /// Who may send, by where it sends from.
    pub struct SendersSettings {
        /// Those that are known by their networks, each under a name of its own, which their records have in
        /// `sawyer.client`. They may send.
        pub senders: BTreeMap<String, SenderSettings> = BTreeMap::new(),
        /// Takes what anybody sends who reaches this process. What a message says of its host is kept either way, and
        /// marked `identity: claimed`.
        pub allow_unauthenticated: bool = false,
        /// Fields that every record gets, such as `env` or `cluster`.
        pub fields: BTreeMap<String, String> = BTreeMap::new(),
        /// How many records each address may send in a second that is none of a sender's; with IPv6 each network of 64
        /// bits. Without it, any number. What is more waits with its sender over TCP; over UDP it is lost, and counted.
        #[range(1..=1_000_000_000)]
        pub records_per_second: Option<u64>,
        /// How many bytes each address may send in a second that is none of a sender's. Without it, any number.
        #[range(ByteSize::kib(1)..=ByteSize::gib(100))]
        pub bytes_per_second: Option<ByteSize>,
    }

    /// One who may send.
    pub struct SenderSettings {
        /// The networks that it sends from, such as `10.1.0.0/16`, or single addresses. Where those of several senders
        /// have an address, the narrowest counts. Over UDP anybody may claim any address, so only networks that nobody
        /// else can send from are good for that.
        pub networks: Vec<String>,
        /// The namespaces that its records are of: names, or beginnings with a `*` behind. If there is one name only, that
        /// is the namespace of all its records. What GELF messages say of pods in these is believed; syslog messages
        /// say nothing of namespaces, so with these there is one name. Without any, what is said is kept and marked
        /// `identity: claimed`.
        pub namespaces: Vec<String> = Vec::new(),
        /// Fields that each of its records gets. Nothing that is sent overrules them.
        pub fields: BTreeMap<String, String> = BTreeMap::new(),
        /// How many records each of its addresses may send in a second. Without it, any number. What is more waits with
        /// its sender over TCP; over UDP it is lost, and counted.
        #[range(1..=1_000_000_000)]
        pub records_per_second: Option<u64>,
        /// How many bytes each of its addresses may send in a second. Without it, any number.
        #[range(ByteSize::kib(1)..=ByteSize::gib(100))]
        pub bytes_per_second: Option<ByteSize>,
    }
}

/// Addresses whose rates are known one by one. Each takes about 200 bytes.
const ADDRESSES_MAX: usize = 10_000;

/// Length of the network that somebody has of IPv6 (RFC 4291, section 2.5.1).
const RATED_BITS: u8 = 64;

/// How long nothing must have come from an address before it is forgotten, and how often that is looked at.
const IDLE_MIN: Duration = Duration::from_secs(60);

/// What a protocol's messages say of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Nothing.
    Nothing,
    /// They may name one.
    Namespaces,
}

/// Who may send, checked.
#[derive(Debug)]
pub(crate) struct SendersPlan {
    says: Says,
    settings: SendersSettings,
    networks: Vec<(IpNet, String)>,
}

/// Those who may send.
#[derive(Debug)]
pub(crate) struct Senders {
    /// The narrowest first, with the place of whose it is.
    networks: Vec<(IpNet, usize)>,
    /// Those with networks; the last is everybody else.
    all: Vec<Arc<Sender>>,
    allow_unauthenticated: bool,
    addresses: Mutex<Addresses>,
    /// What addresses beyond the bound share, by the place of the sender.
    crowds: Vec<Arc<Rate>>,
}

/// What is known of all that one sends.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Its place among all.
    pub(crate) number: usize,
    /// The fields of all its records.
    pub(crate) stream: Arc<Stream>,
    /// What its word is good for.
    pub(crate) trust: Arc<Trust>,
    limits: (Option<u64>, Option<u64>),
}

/// A sender at one address.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// The sender.
    pub(crate) sender: Arc<Sender>,
    /// How much that address may send.
    pub(crate) rate: Arc<Rate>,
}

#[derive(Debug)]
struct Addresses {
    /// By the place of the sender and what of the address counts.
    known: HashMap<(usize, IpAddr), (Admitted, Instant)>,
    cleaned: Instant,
}

/// A network, or a single address; none if it is something else, or an address within a network such as `10.1.2.3/16`,
/// which is a slip of whichever half.
fn network_of(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    (network == network.trunc()).then_some(network)
}

/// The part of an address that has a rate of its own: of IPv6 the network, in which anybody has as many addresses as wanted.
fn rated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Net::new_assert(address, RATED_BITS).network().into(),
    }
}

/// Appends who may send to a receiver's own settings.
pub(crate) fn reference(mut own: Reference) -> Reference {
    own.entries.extend(SendersSettings::reference().entries);
    own
}

/// Reads who may send from among a receiver's settings.
pub(crate) fn read(says: Says, at: &At<'_>, problems: &mut Problems) -> Option<SendersPlan> {
    SendersSettings::read_part(at, problems).and_then(|settings| settings.check(says, at, problems))
}

impl SendersSettings {
    /// Checks what the settings say together. `at` is where they stand.
    pub(crate) fn check(self, says: Says, at: &At<'_>, problems: &mut Problems) -> Option<SendersPlan> {
        let before = problems.len();
        let mut networks: Vec<(IpNet, String)> = Vec::new();
        for (name, sender) in &self.senders {
            let at = at.key("senders").key(name);
            let at_networks = at.key("networks");
            if sender.networks.is_empty() {
                problems.push(&at_networks, "expected networks, found none");
            }
            for text in &sender.networks {
                match network_of(text) {
                    None => problems.push(
                        &at_networks,
                        format!("expected networks such as 10.1.0.0/16, or addresses, found `{text}`"),
                    ),
                    Some(network) => match networks.iter().find(|(known, _)| *known == network) {
                        Some((_, other)) => problems.push(
                            &at_networks,
                            format!("expected networks of its own, found `{text}` of `{other}`"),
                        ),
                        None => networks.push((network, name.clone())),
                    },
                }
            }
            let is_one = matches!(&sender.namespaces[..], [] | [_])
                && sender.namespaces.iter().all(|name| !name.ends_with('*'));
            if says == Says::Nothing && !is_one {
                problems.push(
                    &at.key("namespaces"),
                    "expected one name: messages do not say of which namespace they are",
                );
            } else if sender.namespaces.iter().any(|pattern| !is_pattern(pattern)) {
                let what = "names of namespaces, with a `*` at the end at most";
                problems.push(&at.key("namespaces"), format!("expected {what}"));
            }
            check_fields(&sender.fields, &at, problems);
        }
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        (problems.len() == before).then_some(SendersPlan { says, settings: self, networks })
    }
}

impl SendersPlan {
    /// Those who may send to the input of this kind and name.
    pub(crate) fn open(self, kind: &str, input: &str) -> Senders {
        let Self { says, settings, networks } = self;
        let own = |fields: &BTreeMap<String, String>| {
            fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect::<Vec<_>>()
        };
        let source = (names::SOURCE.to_owned(), Value::from(format!("{kind}:{input}")));
        let base = Stream::new(own(&settings.fields).into_iter().chain([source]));
        let limits = |records: Option<u64>, bytes: Option<ByteSize>| (records, bytes.map(ByteSize::bytes));
        let numbers: HashMap<&str, usize> =
            settings.senders.keys().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        let networks = networks.iter().map(|(network, name)| (*network, numbers[name.as_str()])).collect();
        let mut all = Vec::new();
        for (number, (name, sender)) in settings.senders.iter().enumerate() {
            let namespace = match &sender.namespaces[..] {
                // Where messages name one, `trust` gives it: in the stream it would hide that they name another.
                [name] if says == Says::Nothing => {
                    Some((names::NAMESPACE.to_owned(), Value::from(name.as_str())))
                }
                _ => None,
            };
            let client = (CLIENT.to_owned(), Value::from(name.as_str()));
            let fields = own(&sender.fields).into_iter().chain(namespace).chain([client]);
            let trust = match &sender.namespaces[..] {
                [] => Trust::Claimed,
                namespaces => Trust::in_namespaces(namespaces.to_vec()),
            };
            let limits = limits(sender.records_per_second, sender.bytes_per_second);
            let stream = Arc::new(base.with(fields));
            all.push(Arc::new(Sender { number, stream, trust: Arc::new(trust), limits }));
        }
        let limits = limits(settings.records_per_second, settings.bytes_per_second);
        let others = Sender { number: all.len(), stream: Arc::new(base), trust: Arc::default(), limits };
        all.push(Arc::new(others));
        let crowds = all.iter().map(|sender| Arc::new(sender.rate())).collect();
        let addresses = Mutex::new(Addresses { known: HashMap::new(), cleaned: Instant::now() });
        let allow_unauthenticated = settings.allow_unauthenticated;
        Senders { networks, all, allow_unauthenticated, addresses, crowds }
    }
}

impl Sender {
    fn rate(&self) -> Rate {
        Rate::new(self.limits.0, self.limits.1)
    }
}

impl Senders {
    /// Who is there; none if it may not send: it is of no sender's networks, not on this machine, has no certificate, and
    /// not everybody may send.
    pub(crate) fn admit(&self, peer: Peer) -> Option<Admitted> {
        let Some(address) = peer.address.map(|address| address.to_canonical()) else {
            return Some(Admitted { sender: Arc::clone(self.others()), rate: Arc::default() });
        };
        let number =
            self.networks.iter().find(|(network, _)| network.contains(&address)).map(|(_, number)| *number);
        let may = number.is_some() || self.allow_unauthenticated || peer.certified || peer.is_here();
        may.then(|| self.at(address, &self.all[number.unwrap_or(self.all.len() - 1)]))
    }

    /// Everybody who is no sender with networks.
    pub(crate) fn others(&self) -> &Arc<Sender> {
        self.all.last().expect("everybody else is always there")
    }

    fn at(&self, address: IpAddr, sender: &Arc<Sender>) -> Admitted {
        if sender.limits == (None, None) {
            return Admitted { sender: Arc::clone(sender), rate: Arc::clone(&self.crowds[sender.number]) };
        }
        let (now, key) = (Instant::now(), (sender.number, rated(address)));
        let mut addresses = self.addresses.lock();
        if let Some((known, heard)) = addresses.known.get_mut(&key) {
            *heard = now;
            return known.clone();
        }
        if addresses.known.len() >= ADDRESSES_MAX && now.duration_since(addresses.cleaned) >= IDLE_MIN {
            addresses.cleaned = now;
            addresses.known.retain(|_, (_, heard)| now.duration_since(*heard) < IDLE_MIN);
        }
        if addresses.known.len() >= ADDRESSES_MAX {
            return Admitted { sender: Arc::clone(sender), rate: Arc::clone(&self.crowds[sender.number]) };
        }
        let known = Admitted { sender: Arc::clone(sender), rate: Arc::new(sender.rate()) };
        addresses.known.insert(key, (known.clone(), now));
        known
    }
}

#[cfg(test)]
mod tests;
