//! Finds secrets and personal data in text, and puts a note in their place.
//!
//! Owns: the forms of keys, tokens and passwords; which names of fields are those of secrets; the notes.
//! Does not own: which fields of a record are looked at (`pipeline`).
//! Invariant: what is masked does not depend on what else is in the text; a masked JSON text is still JSON; masking
//! twice changes nothing. Where it is in doubt whether a value is a secret, a name that says so decides.
//!
//! One search for all literals that a secret comes with (`AKIA`, `eyJ`, `assw` …) runs over the text several bytes
//! at once; only where one is found, the place is looked at closely.

mod header;
mod literals;
mod pair;
mod pem;
mod personal;
mod token;
mod url;

#[cfg(test)]
mod tests;

use std::ops::Range;

use regex::Regex;

pub use literals::Marks;
pub use pair::Quote;
pub use pem::{continues_key, leaves_key_open};

use literals::{Found, Literals, Place};

/// What is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A private key in PEM, or such a PEM in base64.
    PrivateKey,
    /// An access key of AWS and its secret.
    AwsKey,
    /// An API key, OAuth token or client secret of Google.
    GcpKey,
    /// A client secret or the signature of a shared access URL of Azure.
    AzureKey,
    /// A token of GitHub, GitLab, Slack, Stripe, npm, PyPI and others that mark theirs.
    ServiceToken,
    /// A JSON web token.
    Jwt,
    /// The credentials of an `Authorization` header, and bearer tokens elsewhere.
    BearerToken,
    /// The value of a name such as `password`, `client_secret` or `api_key`.
    Password,
    /// The password in a URL.
    UrlPassword,
    /// An e-mail address.
    Email,
    /// The number of a payment card.
    CardNumber,
    /// A Korean resident registration number.
    ResidentNumber,
    /// A phone number: Korean, or international with `+`.
    PhoneNumber,
    /// What an own pattern matches; the number is its place among them.
    Own(usize),
}

impl Kind {
    /// All but those of own patterns.
    pub const ALL: [Self; 13] = [
        Self::PrivateKey,
        Self::AwsKey,
        Self::GcpKey,
        Self::AzureKey,
        Self::ServiceToken,
        Self::Jwt,
        Self::BearerToken,
        Self::Password,
        Self::UrlPassword,
        Self::Email,
        Self::CardNumber,
        Self::ResidentNumber,
        Self::PhoneNumber,
    ];

    /// Those that no literal tells.
    const PERSONAL: [Self; 4] = [Self::Email, Self::CardNumber, Self::ResidentNumber, Self::PhoneNumber];

    /// The name as it stands in notes and configurations; of own patterns their owner knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::AwsKey => "aws_key",
            Self::GcpKey => "gcp_key",
            Self::AzureKey => "azure_key",
            Self::ServiceToken => "service_token",
            Self::Jwt => "jwt",
            Self::BearerToken => "bearer_token",
            Self::Password => "password",
            Self::UrlPassword => "url_password",
            Self::Email => "email",
            Self::CardNumber => "card_number",
            Self::ResidentNumber => "resident_number",
            Self::PhoneNumber => "phone_number",
            Self::Own(_) => "pattern",
        }
    }

    /// The kinds in an order in which they can be counted.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Own(at) => Self::ALL.len() + at,
            kind => Self::ALL.iter().position(|known| *known == kind).expect("all kinds are listed"),
        }
    }
}

/// A place in a text that is to be masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it is.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
    /// The quotes that the note needs so that JSON stays JSON.
    pub quote: Option<Quote>,
}

impl Hit {
    fn new(range: Range<usize>, kind: Kind) -> Self {
        Self { range, kind, quote: None }
    }
}

/// Masks texts.
#[derive(Debug)]
pub struct Masker {
    literals: Option<Literals>,
    wanted: [bool; Kind::ALL.len()],
    /// Whether all that is wanted is known by a literal.
    only_literals: bool,
    own: Vec<Regex>,
    notes: Vec<String>,
}

impl Masker {
    /// A masker of these kinds. `own` are further patterns with their names; of one that has a group `secret`, only
    /// that group is masked. `note` is what stands in the place of what was masked, with `{kind}` for its name.
    #[must_use]
    pub fn new(kinds: &[Kind], own: Vec<(String, Regex)>, note: &str) -> Self {
        let wanted = Kind::ALL.map(|kind| kinds.contains(&kind));
        let (names, own): (Vec<String>, Vec<Regex>) = own.into_iter().unzip();
        let names = Kind::ALL.iter().map(|kind| kind.name()).chain(names.iter().map(String::as_str));
        let notes = names.map(|name| note.replace("{kind}", name)).collect();
        let literals = wanted.iter().any(|wanted| *wanted).then(|| Literals::of(|kind| wanted[kind.index()]));
        let only_literals = own.is_empty() && !Kind::PERSONAL.iter().any(|kind| wanted[kind.index()]);
        Self { literals, wanted, only_literals, own, notes }
    }

    /// The note that stands in the place of what was masked.
    #[must_use]
    pub fn note(&self, kind: Kind) -> &str {
        &self.notes[kind.index()]
    }

    /// How many numbers [`Masker::mask`] counts into: one for each kind, by [`Kind::index`].
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.notes.len()
    }

    /// The text with notes in the place of what is to be masked; none if there is nothing. Counts what it masked.
    pub fn mask(&self, text: &str, counts: &mut [u64]) -> Option<String> {
        let mut hits = Vec::new();
        self.find(text, &mut hits);
        self.replace(text, hits, counts)
    }

    /// Searches a text that holds many others, at once: much cheaper than one by one.
    pub fn mark(&self, text: &str, marks: &mut Marks) {
        match &self.literals {
            Some(literals) => literals.mark(text, marks),
            None => *marks = Marks::none(text.len()),
        }
    }

    /// Whether there may be anything to mask in this part of a text whose marks these are.
    #[inline]
    pub fn may_be_in(&self, part: &Range<usize>, marks: &mut Marks) -> bool {
        marks.may_be_in(part) || !self.only_literals
    }

    /// As [`Masker::mask`], for a text that is a part of the one that has these marks.
    pub fn mask_marked(
        &self,
        text: &str,
        part: Range<usize>,
        marks: &mut Marks,
        counts: &mut [u64],
    ) -> Option<String> {
        if !self.may_be_in(&part, marks) {
            return None;
        }
        let mut hits = Vec::new();
        match &self.literals {
            Some(literals) if marks.are_all_in(&part) => {
                let mut search = literals.marked(marks, part);
                self.find_credentials(|from| search.next(from), text, &mut hits);
                self.find_others(text, &mut hits);
            }
            _ => self.find(text, &mut hits),
        }
        self.replace(text, hits, counts)
    }

    fn replace(&self, text: &str, hits: Vec<Hit>, counts: &mut [u64]) -> Option<String> {
        let mut masked = String::new();
        let mut from = 0;
        for hit in hits {
            if self.is_note(text, &hit.range) {
                continue;
            }
            counts[hit.kind.index()] += 1;
            masked.push_str(&text[from..hit.range.start]);
            match hit.quote {
                Some(quote) => quote.around(self.note(hit.kind), &mut masked),
                None => masked.push_str(self.note(hit.kind)),
            }
            from = hit.range.end;
        }
        if from == 0 && masked.is_empty() {
            return None;
        }
        masked.push_str(&text[from..]);
        Some(masked)
    }

    /// Whether the place was masked before. Of a note in brackets, the place may lack the closing one.
    fn is_note(&self, text: &str, range: &Range<usize>) -> bool {
        let rest = &text[range.start..];
        self.notes.iter().any(|note| rest.starts_with(&**note) && range.len() <= note.len())
    }

    /// What the value of a field with this name is, if the name makes it a secret.
    #[must_use]
    pub fn by_name(&self, name: &str, value: &str) -> Option<Kind> {
        let secret = self.wanted[Kind::Password.index()] && pair::is_secret(name, value);
        (secret && value != self.note(Kind::Password)).then_some(Kind::Password)
    }

    /// Whether [`Masker::by_name`] may find a field with this name a secret.
    #[must_use]
    pub fn is_secret_name(&self, name: &str) -> bool {
        self.wanted[Kind::Password.index()] && pair::is_secret_name(name)
    }

    /// Finds what is to be masked, in order and without overlap.
    pub fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        if let Some(literals) = &self.literals {
            let mut search = literals.search(text);
            self.find_credentials(|from| search.next(from), text, hits);
        }
        self.find_others(text, hits);
    }

    /// Finds what is known by no literal, after what is.
    fn find_others(&self, text: &str, hits: &mut Vec<Hit>) {
        if self.only_literals {
            return;
        }
        let credentials = hits.len();
        personal::find(text, |kind| self.wanted[kind.index()], hits);
        for (at, pattern) in self.own.iter().enumerate() {
            for found in pattern.captures_iter(text) {
                let whole = found.name("secret").or_else(|| found.get(0)).map(|part| part.range());
                let whole = whole.filter(|range| !range.is_empty());
                hits.extend(whole.map(|range| Hit::new(range, Kind::Own(at))));
            }
        }
        if hits.len() > credentials {
            settle(hits);
        }
    }

    /// `next` gives the first literal at or after a place.
    fn find_credentials(
        &self,
        mut next: impl FnMut(usize) -> Option<Found>,
        text: &str,
        hits: &mut Vec<Hit>,
    ) {
        let mut from = 0;
        while let Some((place, found)) = next(from) {
            let floor = hits.last().map_or(0, |hit| hit.range.end);
            let before = hits.len();
            match place {
                Place::Token(token) => token.find(text, found.start, hits),
                Place::Jwt => hits.extend(token::jwt(text, found.start)),
                Place::AzureSecret => hits.extend(token::azure_secret(text, found.start)),
                Place::AzureSignature => hits.extend(token::azure_signature(text, found.clone())),
                Place::PemBegin => hits.extend(pem::from_begin(text, found.clone())),
                Place::PemEnd => hits.extend(pem::from_end(text, found.clone(), floor)),
                Place::PemBase64 => hits.extend(pem::in_base64(text, found.start)),
                Place::Url => hits.extend(url::password(text, found.end)),
                Place::Dsn => hits.extend(url::dsn(text, found.start, floor)),
                Place::Key => pair::find(text, found.clone(), hits),
                Place::Authorization => hits.extend(header::authorization(text, found.clone())),
                Place::Bearer => hits.extend(header::bearer(text, found.clone())),
            }
            let mut at = before;
            while let Some(hit) = hits.get(at) {
                if self.wanted[hit.kind.index()] && hit.range.start >= floor {
                    at += 1;
                } else {
                    hits.remove(at);
                }
            }
            from = match hits.last() {
                Some(last) if hits.len() > before => last.range.end.max(found.start + 1),
                _ => found.start + 1,
            };
        }
    }
}

/// Puts hits in order, and makes one of those that overlap.
fn settle(hits: &mut Vec<Hit>) {
    hits.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
    let mut settled: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits.drain(..) {
        match settled.last_mut() {
            Some(last) if hit.range.start < last.range.end => {
                last.range.end = last.range.end.max(hit.range.end);
            }
            _ => settled.push(hit),
        }
    }
    *hits = settled;
}
