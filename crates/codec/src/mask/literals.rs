//! The search for the literals that secrets come with.
//!
//! Owns: the table of literals, and what is looked at where one is found.
//! Does not own: looking closely (`token`, `pair`, `pem`, `url`, `header`).
//! Invariant: no literal is shorter than three bytes, so that the search is fast and seldom wrong; none begins with
//! another, so that at most one is found at a place, whichever is looked for first.

use std::ops::Range;

use aho_corasick::packed::{Config, Searcher};
use aho_corasick::{AhoCorasick, Input, Match, MatchKind};

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

/// Sets of literals that the search with vector instructions tells apart at a time.
const BUCKETS: usize = 16;

/// Most marks that are made at once. A text with more is searched piece by piece.
const MARKS_MAX: usize = 1 << 16;

/// Where literals stand in a text that holds many others ([`Masker::mark`](super::Masker::mark)): in order, up to a
/// place.
#[derive(Debug, Default)]
pub struct Marks {
    marks: Vec<Mark>,
    /// Up to here every literal is marked.
    end: usize,
    /// How many of the marks lie before the text that was asked for last: texts are mostly asked for in order.
    passed: usize,
}

/// A literal that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    start: u32,
    len: u16,
    /// Its number among the literals of its part, and whether that is the one of the long ones.
    literal: u8,
    long: bool,
}

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
        Self { long: Part::of(alike_together(long)), short: Part::of(short) }
    }

    /// Marks all literals in a text.
    pub(super) fn mark(&self, text: &str, marks: &mut Marks) {
        marks.marks.clear();
        marks.passed = 0;
        marks.end = self.long.mark(text, text.len(), true, &mut marks.marks);
        let long = marks.marks.len();
        marks.end = self.short.mark(text, marks.end, false, &mut marks.marks);
        if long < marks.marks.len() {
            marks.marks.sort_unstable_by_key(|mark| mark.start);
        }
        let end = marks.end;
        marks.marks.truncate(marks.marks.partition_point(|mark| (mark.start as usize) < end));
    }

    /// A search through the part of a text that has these marks.
    pub(super) fn marked<'a>(&'a self, marks: &'a Marks, within: Range<usize>) -> Marked<'a> {
        Marked { literals: self, marks: &marks.marks[marks.passed..], within }
    }

    /// A search through a text.
    pub(super) fn search<'a>(&'a self, text: &'a str) -> Literally<'a> {
        Literally { literals: self, text, long: None, looked: false }
    }
}

pub(super) type Found = (Place, Range<usize>);

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

/// A search through a part of a text that is marked.
#[derive(Debug)]
pub(super) struct Marked<'a> {
    literals: &'a Literals,
    marks: &'a [Mark],
    within: Range<usize>,
}

impl Marked<'_> {
    /// The first literal at or after `from` in the part, which never goes back.
    pub(super) fn next(&mut self, from: usize) -> Option<Found> {
        while let Some((mark, rest)) = self.marks.split_first() {
            let (start, end) = (mark.start as usize, mark.start as usize + usize::from(mark.len));
            if start >= self.within.end {
                return None;
            }
            self.marks = rest;
            // What goes beyond the end is none: it was put together by what lies behind.
            if start >= self.within.start + from && end <= self.within.end {
                let part = if mark.long { &self.literals.long } else { &self.literals.short };
                let place = part.places[usize::from(mark.literal)];
                return Some((place, start - self.within.start..end - self.within.start));
            }
        }
        None
    }
}

impl Marks {
    /// Of a text of this length without any.
    pub(super) fn none(end: usize) -> Self {
        Self { end, ..Self::default() }
    }

    /// Whether a literal may stand in this part of the text, or it is not known yet. Cheapest when parts are asked
    /// for in order.
    #[inline]
    pub(super) fn may_be_in(&mut self, part: &Range<usize>) -> bool {
        if part.end > self.end {
            return true;
        }
        let before = |mark: &Mark| (mark.start as usize) < part.start;
        if self.passed > 0 && !before(&self.marks[self.passed - 1]) {
            self.passed = self.marks.partition_point(before);
        }
        while self.marks.get(self.passed).is_some_and(before) {
            self.passed += 1;
        }
        self.marks.get(self.passed).is_some_and(|mark| (mark.start as usize) < part.end)
    }

    /// Whether all literals in this part of the text are marked.
    pub(super) fn are_all_in(&self, part: &Range<usize>) -> bool {
        part.end <= self.end
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
        let found = self.search.as_ref()?.find(text, range)?;
        Some((self.places[found.pattern().as_usize()], found.start()..found.end()))
    }

    /// Marks the literals before `end`, and says how far it came.
    fn mark(&self, text: &str, end: usize, long: bool, marks: &mut Vec<Mark>) -> usize {
        let Some(search) = &self.search else { return end };
        let (mut from, most) = (0, marks.len() + MARKS_MAX);
        while let Some(found) = search.find(text, from..end) {
            let start = found.start();
            if marks.len() >= most {
                return start;
            }
            let (len, literal) = (found.len() as u16, found.pattern().as_usize() as u8);
            marks.push(Mark { start: start as u32, len, literal, long });
            from = start + 1;
        }
        end
    }
}

impl Search {
    #[inline]
    fn find(&self, text: &str, range: Range<usize>) -> Option<Match> {
        match self {
            Self::Packed(searcher) => searcher.find_in(text, range.into()),
            Self::Plain(search) => search.find(Input::new(text).range(range)),
        }
    }
}

/// Puts literals in an order in which those are looked for together that are alike: the search numbers its sets
/// around, and takes a closer look wherever each byte fits any literal of a set.
fn alike_together(mut literals: Vec<(&str, Place)>) -> Vec<(&str, Place)> {
    literals.sort_by_key(|(literal, _)| {
        let bytes = literal.as_bytes();
        [0, 1, 2, 3]
            .map(|at| bytes[at] >> 4)
            .into_iter()
            .chain([0, 1, 2, 3].map(|at| bytes[at] & 15))
            .collect::<Vec<u8>>()
    });
    let mut rest = literals.iter().copied();
    let sets: Vec<Vec<(&str, Place)>> = (0..BUCKETS)
        .map(|set| rest.by_ref().take(literals.len().saturating_sub(set).div_ceil(BUCKETS)).collect())
        .collect();
    let rows = 0..sets.first().map_or(0, Vec::len);
    rows.flat_map(|row| sets.iter().filter_map(move |set| set.get(row)).copied()).collect()
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

    fn all() -> Vec<&'static str> {
        let others = OTHERS.iter().map(|(literal, ..)| *literal);
        others.chain(TOKENS.iter().map(Token::literal)).chain(KEYS).collect()
    }

    #[test]
    fn none_begins_with_another() {
        let all = all();
        for one in &all {
            let beginning = all.iter().filter(|other| other.starts_with(one)).count();
            assert_eq!(beginning, 1, "{one}");
            assert!(one.len() >= SHORT && all.len() <= usize::from(u8::MAX));
        }
    }

    #[test]
    fn more_marks_than_are_made_at_once_are_told() {
        let (literals, mut marks) = (Literals::of(|_| true), Marks::default());
        let text = "://eyJ assw ".repeat(MARKS_MAX);
        literals.mark(&text, &mut marks);
        assert!(marks.end < text.len());
        assert!(marks.are_all_in(&(0..100)) && !marks.are_all_in(&(0..text.len())));
        assert!(marks.may_be_in(&(marks.end - 1..marks.end + 1)));
        let found = marks.marks.iter().filter(|mark| mark.long).count();
        assert_eq!(found, marks.marks.len() / 3);
    }

    proptest! {
        #[test]
        fn finds_what_one_search_for_all_would(
            text in "(eyJ|8Q~|://|:\\\\/|pwd|Pwd|SG\\.|sk-|sk_live_|assw|pass=|PASS|uthorization|@tcp\\(|-----END |비밀번호|[a-zA-Z:/ ]){0,24}",
            steps in prop::collection::vec(1_usize..6, 1..30),
        ) {
            let all = all();
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
