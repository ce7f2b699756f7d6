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

    /// A search through a text.
    pub(super) fn search<'a>(&'a self, text: &'a str) -> Literally<'a> {
        Literally { literals: self, text, long: None, looked: false }
    }
}

type Found = (Place, Range<usize>);

/// A search through a text, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Literally<'a> {
    literals: &'a Literals,
    text: &'a str,
    /// The next long literal, as long as it is not passed; found once, however many short ones are in front of it.
    long: Option<Found>,
    /// Whether that was looked for.
    looked: bool,
}

impl Literally<'_> {
    /// The first literal at or after `from`, which never goes back.
    pub(super) fn next(&mut self, from: usize) -> Option<Found> {
        if !self.looked || self.long.as_ref().is_some_and(|(_, range)| range.start < from) {
            self.long = self.literals.long.find(self.text, from..self.text.len());
            self.looked = true;
        }
        let end = self.long.as_ref().map_or(self.text.len(), |(_, range)| range.end);
        let short = self.literals.short.find(self.text, from..end);
        match (&self.long, short) {
            (Some(long), Some(short)) if long.1.start <= short.1.start => Some(long.clone()),
            (long, short) => short.or_else(|| long.clone()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All literals in their order, and where the first of them is, the slow way.
    fn first(literals: &[&str], text: &str, from: usize) -> Option<Range<usize>> {
        let at = |start: usize| {
            literals.iter().find(|literal| text.as_bytes()[start..].starts_with(literal.as_bytes()))
        };
        (from..text.len()).find_map(|start| at(start).map(|literal| start..start + literal.len()))
    }

    proptest! {
        #[test]
        fn finds_what_one_search_for_all_would(
            text in "(eyJ|8Q~|://|:\\\\/|pwd|Pwd|SG\\.|sk-|sk_live_|assw|pass=|PASS|uthorization|@tcp\\(|-----END |비밀번호|[a-zA-Z:/ ]){0,24}",
            steps in prop::collection::vec(1_usize..6, 1..30),
        ) {
            let all: Vec<&str> = OTHERS.iter().map(|(literal, ..)| *literal)
                .chain(TOKENS.iter().map(Token::literal)).chain(KEYS).collect();
            let literals = Literals::of(|_| true);
            let mut search = literals.search(&text);
            let mut from = 0;
            for step in steps {
                let found = search.next(from).map(|(_, range)| range);
                prop_assert_eq!(&found, &first(&all, &text, from), "from {}", from);
                let Some(found) = found else { break };
                from = (found.start + step).min(text.len());
            }
        }
    }
}
