//! The search for the literals that secrets come with.
//!
//! Owns: the table of literals, and what is looked at where one is found.
//! Does not own: looking closely (`token`, `pair`, `pem`, `url`, `header`).
//! Invariant: no literal is shorter than three bytes, so that the search is fast and seldom wrong.

use std::ops::Range;

use aho_corasick::packed::{Config, Searcher};
use aho_corasick::{AhoCorasick, Input, MatchKind};

use super::Kind;
use super::token::{TOKENS, Token};

/// What may lie where a literal was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A token of a known form.
    Token(&'static Token),
    /// A JSON web token.
    Jwt,
    /// A client secret of Azure, with the literal inside.
    AzureSecret,
    /// The signature of a shared access URL.
    AzureSignature,
    /// The first line of a PEM block.
    PemBegin,
    /// The last line of a PEM block.
    PemEnd,
    /// A PEM block in base64.
    PemBase64,
    /// A URL, behind its scheme.
    Url,
    /// The data source name of a Go driver, behind its password.
    Dsn,
    /// A name whose value may be a secret.
    Key,
    /// An `Authorization` header.
    Authorization,
    /// A bearer token.
    Bearer,
}

const KEYS: [&str; 33] = [
    "assw",
    "ASSW",
    "pwd",
    "PWD",
    "Pwd",
    "assphrase",
    "ASSPHRASE",
    "pass=",
    "PASS=",
    "Pass=",
    "pass\"",
    "pass:",
    "ecret",
    "ECRET",
    "oken",
    "OKEN",
    "pi_key",
    "pi-key",
    "pikey",
    "piKey",
    "PI_KEY",
    "PIKEY",
    "PI-KEY",
    "i-Key",
    "ccess_key",
    "ccessKey",
    "CCESS_KEY",
    "ccountKey",
    "rivate_key",
    "rivateKey",
    "RIVATE_KEY",
    "비밀번호",
    "패스워드",
];

const OTHERS: [(&str, Place, Kind); 15] = [
    ("eyJ", Place::Jwt, Kind::Jwt),
    ("8Q~", Place::AzureSecret, Kind::AzureKey),
    ("7Q~", Place::AzureSecret, Kind::AzureKey),
    ("sig=", Place::AzureSignature, Kind::AzureKey),
    ("-----BEGIN ", Place::PemBegin, Kind::PrivateKey),
    ("-----END ", Place::PemEnd, Kind::PrivateKey),
    ("LS0tLS1CRUdJTi", Place::PemBase64, Kind::PrivateKey),
    ("://", Place::Url, Kind::UrlPassword),
    (":\\/\\/", Place::Url, Kind::UrlPassword),
    ("@tcp(", Place::Dsn, Kind::UrlPassword),
    ("@unix(", Place::Dsn, Kind::UrlPassword),
    ("uthorization", Place::Authorization, Kind::BearerToken),
    ("UTHORIZATION", Place::Authorization, Kind::BearerToken),
    ("earer ", Place::Bearer, Kind::BearerToken),
    ("EARER ", Place::Bearer, Kind::BearerToken),
];

/// Searches a text for all literals: once for the long ones, by their first four bytes, and once for the short ones.
/// By three bytes so many are found nearly everywhere and have to be looked at one by one.
#[derive(Debug)]
pub(super) struct Literals {
    long: Part,
    short: Part,
}

/// Bytes of a short literal.
const SHORT: usize = 3;

/// Some of the literals.
#[derive(Debug)]
struct Part {
    /// None without literals.
    search: Option<Search>,
    places: Vec<Place>,
}

#[derive(Debug)]
enum Search {
    /// With vector instructions.
    Packed(Searcher),
    /// Where the machine has none.
    Plain(AhoCorasick),
}

impl Literals {
    /// A search for the literals of the kinds that are wanted.
    pub(super) fn of(wanted: impl Fn(Kind) -> bool) -> Self {
        let tokens = TOKENS.iter().map(|token| (token.literal(), Place::Token(token), token.kind));
        let keys = KEYS.iter().map(|key| (*key, Place::Key, Kind::Password));
        let all = OTHERS.into_iter().chain(tokens).chain(keys);
        let wanted = all.filter(|(_, _, kind)| wanted(*kind)).map(|(literal, place, _)| (literal, place));
        let (short, long): (Vec<_>, Vec<_>) = wanted.partition(|(literal, _)| literal.len() <= SHORT);
        Self { long: Part::of(long), short: Part::of(short) }
    }

    /// The first literal at or after `from`.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(Place, Range<usize>)> {
        let long = self.long.find(text, from..text.len());
        let end = long.as_ref().map_or(text.len(), |(_, range)| range.end);
        let short = self.short.find(text, from..end);
        match (long, short) {
            (Some(long), Some(short)) if long.1.start <= short.1.start => Some(long),
            (long, short) => short.or(long),
        }
    }
}

impl Part {
    fn of(literals: Vec<(&str, Place)>) -> Self {
        let (literals, places): (Vec<&str>, Vec<Place>) = literals.into_iter().unzip();
        let mut config = Config::new();
        let mut packed = || config.heuristic_pattern_limits(false).builder().extend(&literals).build();
        let search = (!literals.is_empty())
            .then(|| packed().map_or_else(|| Search::Plain(plain(&literals)), Search::Packed));
        Self { search, places }
    }

    fn find(&self, text: &str, range: Range<usize>) -> Option<(Place, Range<usize>)> {
        let found = match self.search.as_ref()? {
            Search::Packed(searcher) => searcher.find_in(text, range.into()),
            Search::Plain(search) => search.find(Input::new(text).range(range)),
        }?;
        Some((self.places[found.pattern().as_usize()], found.start()..found.end()))
    }
}

fn plain(literals: &[&str]) -> AhoCorasick {
    let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals);
    search.expect("a hundred short literals make a small automaton")
}
