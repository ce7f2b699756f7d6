//! The step `mask`: secrets and personal data are replaced before anything else sees them.
//!
//! Owns: which fields are looked at (all that hold text, by their content and by their name), private keys that go
//! on in the next record, and counting.
//! Does not own: what a secret looks like (`sawyer_codec::mask`).
//! Invariant: no text of a record, of its stream or of its lists leaves unlooked at; the bytes of a line that was
//! not UTF-8 do not leave if anything in the record was masked; records without secrets leave as they came.
//!
//! The text of a batch is searched at once. A record in which nothing was found costs little more.

mod keys;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use sawyer_codec::join::widen_cut;
use sawyer_codec::mask::{Kind as MaskKind, Marks, Masker};
use sawyer_config::{At, Problems, Setting, Settings, choice, settings};
use sawyer_model::{Batch, Error, ListRef, NameId, RecordRef, Stream, Transfer, Value, ValueRef, names};
use sawyer_telemetry::Counter;

use super::pattern::Pattern;
use super::{Condition, labels};
use crate::component::{Context, Kind, Step, StepPlan};
use keys::OpenKeys;

/// Streams whose fields were looked at are remembered up to so many; then all are looked at again.
const STREAMS_MAX: usize = 10_000;

/// In batches of so many records it is worth it to ask for all their names at first.
const RECORDS_MANY: usize = 64;

/// What stands in the place of what was masked.
const NOTE: &str = "[masked:{kind}]";

choice! {
    /// What is a secret.
    pub enum Credential {
        /// Private keys in PEM, also within JSON, in base64, and over several records.
        PrivateKey = "private_key",
        /// Access keys of AWS, and secrets beside them.
        AwsKey = "aws_key",
        /// API keys, OAuth tokens and client secrets of Google.
        GcpKey = "gcp_key",
        /// Client secrets and shared access signatures of Azure.
        AzureKey = "azure_key",
        /// Tokens of GitHub, GitLab, Slack, Stripe, npm, PyPI, SendGrid, Hugging Face, Vault and others.
        ServiceToken = "service_token",
        /// JSON web tokens.
        Jwt = "jwt",
        /// Credentials in `Authorization` headers, and bearer tokens.
        BearerToken = "bearer_token",
        /// Values of names such as `password`, `client_secret`, `api_key`.
        Password = "password",
        /// Passwords in URLs.
        UrlPassword = "url_password",
    }
    /// What is personal.
    pub enum Personal {
        /// E-mail addresses.
        Email = "email",
        /// Numbers of payment cards.
        CardNumber = "card_number",
        /// Korean resident registration numbers.
        ResidentNumber = "resident_number",
        /// Phone numbers: Korean ones, and international ones with `+`.
        PhoneNumber = "phone_number",
    }
}

settings! {
    /// Replaces secrets by `[masked:aws_key]` and the like: in the message, in the line as written, and in every
    /// other field, by what they look like and by the name that they stand under. Every pipeline has it behind
    /// `multiline` and before all others; `mask: off` leaves it out, and `mask: {personal: [email]}` changes it.
    pub struct MaskSettings {
        /// Which secrets are masked. All by default; an empty list masks none.
        pub credentials: Vec<Credential> = Credential::ALL.iter().map(|(_, credential)| *credential).collect(),
        /// Which personal data is masked. None by default: looking for numbers costs more, and order numbers may
        /// look like them.
        pub personal: Vec<Personal> = Vec::new(),
        /// Own patterns by name. Of a pattern with a group `(?<secret>…)`, only that group is masked.
        pub patterns: BTreeMap<String, Pattern> = BTreeMap::new(),
        /// What is put in the place; `{kind}` becomes the name of what was masked. It may not hold quotes,
        /// backslashes or control characters, so that JSON stays JSON.
        pub replacement: String = NOTE.to_owned(),
        /// Which records are looked at, in KQL. All by default. Lines are not read into fields yet, so that it can
        /// ask for who speaks (`namespace: shop`) and for words of the message.
        pub when: Option<Condition>,
    }
}

impl Credential {
    fn kind(self) -> MaskKind {
        match self {
            Self::PrivateKey => MaskKind::PrivateKey,
            Self::AwsKey => MaskKind::AwsKey,
            Self::GcpKey => MaskKind::GcpKey,
            Self::AzureKey => MaskKind::AzureKey,
            Self::ServiceToken => MaskKind::ServiceToken,
            Self::Jwt => MaskKind::Jwt,
            Self::BearerToken => MaskKind::BearerToken,
            Self::Password => MaskKind::Password,
            Self::UrlPassword => MaskKind::UrlPassword,
        }
    }
}

impl Personal {
    fn kind(self) -> MaskKind {
        match self {
            Self::Email => MaskKind::Email,
            Self::CardNumber => MaskKind::CardNumber,
            Self::ResidentNumber => MaskKind::ResidentNumber,
            Self::PhoneNumber => MaskKind::PhoneNumber,
        }
    }
}

/// The kind `mask`.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "mask",
        reference: MaskSettings::reference,
        read: Box::new(|at, problems| Some(Box::new(MaskSettings::read(at, problems)?.check(at, problems)?))),
    }
}

#[derive(Debug)]
struct MaskPlan(MaskSettings);

impl MaskSettings {
    fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<MaskPlan> {
        let before = problems.len();
        if self.replacement.contains(|c: char| c.is_control() || matches!(c, '"' | '\'' | '`' | '\\')) {
            let expected = "text without quotes, backslashes and control characters";
            problems.expected(&at.key("replacement"), expected);
        }
        for (name, pattern) in &self.patterns {
            let at = at.key("patterns").key(name);
            if pattern.regex().is_match("") {
                problems.push(&at, "the pattern matches nothing at all, and so everywhere");
            }
            if name.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                problems.push(&at, "a name is made of letters, digits and `_`");
            }
        }
        (problems.len() == before).then_some(MaskPlan(self))
    }

    fn masker(&self) -> Masker {
        let credentials = self.credentials.iter().map(|credential| credential.kind());
        let kinds: Vec<MaskKind> =
            credentials.chain(self.personal.iter().map(|personal| personal.kind())).collect();
        let own = self.patterns.iter().map(|(name, pattern)| (name.clone(), pattern.regex().clone()));
        Masker::new(&kinds, own.collect(), &self.replacement)
    }
}

impl StepPlan for MaskPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let masker = self.0.masker();
        let own = self.0.patterns.keys().map(String::as_str);
        let kinds = MaskKind::ALL.iter().map(|kind| kind.name()).chain(own);
        let counters = kinds.map(|kind| {
            let [step, pipeline] = labels(context);
            let help = "Places masked, by kind, step and pipeline";
            context.metrics.counter("sawyer_step_masked_values", help, &[("kind", kind), step, pipeline])
        });
        let counters: Vec<Counter> = counters.collect();
        let keys = self.0.credentials.contains(&Credential::PrivateKey).then(OpenKeys::default);
        let cuts = !(self.0.credentials.is_empty() && self.0.personal.is_empty());
        let (counts, marks) = (vec![0; masker.kinds()], Marks::default());
        let look = Look {
            masker,
            counts,
            marks,
            secret_names: HashMap::new(),
            secret_ids: Vec::new(),
            no_secret_ids: None,
        };
        let when = self.0.when;
        Ok(Box::new(Mask { look, when, cuts, keys, streams: HashMap::new(), counters }))
    }
}

struct Mask {
    look: Look,
    when: Option<Condition>,
    /// Whether half a secret may stand where a line was cut.
    cuts: bool,
    /// Private keys that go on in the next record, if they are masked.
    keys: Option<OpenKeys>,
    /// What became of streams, by fingerprint: the masked one, or none if there was nothing to mask.
    streams: HashMap<u128, Option<Arc<Stream>>>,
    counters: Vec<Counter>,
}

/// Looks at values.
struct Look {
    masker: Masker,
    counts: Vec<u64>,
    /// Of the text of the batch.
    marks: Marks,
    /// Names of fields, and whether they are those of secrets.
    secret_names: HashMap<Box<str>, bool>,
    /// The same for the names of the batch at hand, by number, as far as it was asked.
    secret_ids: Vec<Option<bool>>,
    /// Whether none of these names is, if it was asked.
    no_secret_ids: Option<bool>,
}

/// What is to be changed of a record.
#[derive(Default)]
struct Change {
    at: usize,
    fields: Vec<(String, Value)>,
    stream: Option<Arc<Stream>>,
}

impl Step for Mask {
    fn apply(&mut self, mut transfer: Transfer, out: &mut Vec<Transfer>) {
        let changes = self.changes(&transfer.batch);
        if !changes.is_empty() {
            let batch = Arc::make_mut(&mut transfer.batch);
            changes.iter().for_each(|change| change.make(batch));
            for (counter, count) in self.counters.iter().zip(&mut self.look.counts) {
                counter.inc_by(std::mem::take(count));
            }
        }
        out.push(transfer);
    }
}

impl Mask {
    fn changes(&mut self, batch: &Batch) -> Vec<Change> {
        let streams: Vec<Option<Arc<Stream>>> =
            batch.streams().iter().map(|stream| self.stream(stream)).collect();
        self.look.masker.mark(batch.text(), &mut self.look.marks);
        self.look.secret_ids.clear();
        self.look.no_secret_ids = None;
        self.look.secret_ids.resize(batch.name_count(), None);
        let mut changes = Vec::new();
        for (at, record) in batch.iter().enumerate() {
            let stream = &streams[record.stream_index()];
            if stream.is_none() && self.is_harmless(batch, record)
                || self.when.as_ref().is_some_and(|when| !when.matches(record))
            {
                continue;
            }
            let fields = self.fields(batch, record);
            if stream.is_some() || !fields.is_empty() {
                changes.push(Change { at, fields, stream: stream.clone() });
            }
        }
        changes
    }

    /// Whether nothing of what secrets come with is in a record, and none of its names is that of a secret. Most values
    /// are parts of the line, which is looked at once.
    fn is_harmless(&mut self, batch: &Batch, record: RecordRef<'_>) -> bool {
        if !self.keys.as_ref().is_none_or(OpenKeys::are_none) {
            return false;
        }
        let many = batch.len() >= RECORDS_MANY;
        if many && self.look.has_no_secret_ids(batch) && self.is_free(record) {
            return true;
        }
        let places = record.own_places().filter_map(|(_, place)| place);
        let line = places.max_by_key(Range::len).unwrap_or_default();
        if self.look.may_be_in(&line) {
            return false;
        }
        record.own_places().all(|(name, place)| {
            // Lists lie nowhere, and what touches a cut is half a secret.
            let Some(place) = place.filter(|_| name != NameId::MARK) else { return false };
            let is_seen = place.is_empty() || place.start >= line.start && place.end <= line.end;
            !self.look.is_secret_id(batch, name) && (is_seen || !self.look.may_be_in(&place))
        })
    }

    /// Whether nothing of what secrets come with is between the first and the last text of a record: mostly they stand one
    /// behind the other. Says no where there is more to look at.
    fn is_free(&mut self, record: RecordRef<'_>) -> bool {
        let (mut start, mut end, mut is_plain) = (usize::MAX, 0, true);
        for (name, place) in record.own_places() {
            match place {
                Some(place) if name != NameId::MARK => {
                    if !place.is_empty() {
                        (start, end) = (start.min(place.start), end.max(place.end));
                    }
                }
                _ => is_plain = false,
            }
        }
        is_plain && (start >= end || !self.look.may_be_in(&(start..end)))
    }

    /// The fields that are to be masked, as they are then.
    fn fields(&mut self, batch: &Batch, record: RecordRef<'_>) -> Vec<(String, Value)> {
        let mut fields = Vec::new();
        let cut = self.cuts && record.marks().any(|mark| mark == names::MARK_CUT);
        let in_key = self.keys.as_mut().is_some_and(|keys| keys.continues(record));
        for ((id, value), (_, place)) in record.own_fields_by_id().zip(record.own_places()) {
            // Mostly one value of a line has something that secrets come with.
            let is_harmless = |look: &mut Look, place: Range<usize>| {
                !look.is_secret_id(batch, id) && (place.is_empty() || !look.may_be_in(&place))
            };
            if !cut && !in_key && place.is_some_and(|place| is_harmless(&mut self.look, place)) {
                continue;
            }
            let name = batch.name(id);
            if name == names::ORIGINAL_BASE64 {
                continue;
            }
            let masked = match in_key && matches!(name, names::MESSAGE | names::ORIGINAL) {
                true => Some(self.look.whole(MaskKind::PrivateKey)),
                false => self.look.value(name, value, Some(batch)),
            };
            let masked = if cut { widen(masked, value) } else { masked };
            fields.extend(masked.map(|masked| (name.to_owned(), masked)));
        }
        if let Some(keys) = &mut self.keys {
            keys.note(record);
        }
        fields
    }

    /// The stream with its secrets masked, if it has any. Who speaks is not a secret.
    fn stream(&mut self, stream: &Arc<Stream>) -> Option<Arc<Stream>> {
        if let Some(known) = self.streams.get(&stream.fingerprint()) {
            return known.clone();
        }
        let fields = stream.fields().iter().filter(|(name, _)| !names::IDENTITY_NAMES.contains(&&**name));
        let masked: Vec<(Box<str>, Value)> = fields
            .filter_map(|(name, value)| Some((name.clone(), self.look.value(name, value.as_ref(), None)?)))
            .collect();
        let masked = (!masked.is_empty()).then(|| Arc::new(stream.with(masked)));
        if self.streams.len() >= STREAMS_MAX {
            self.streams.clear();
        }
        self.streams.insert(stream.fingerprint(), masked.clone());
        masked
    }
}

impl Look {
    /// Whether there may be a secret in this part of the batch's text.
    fn may_be_in(&mut self, part: &Range<usize>) -> bool {
        self.masker.may_be_in(part, &mut self.marks)
    }

    /// The value with what is secret in it masked, if anything is. `batch` is the one whose text is marked, if it is
    /// from there.
    fn value(&mut self, name: &str, value: ValueRef<'_>, batch: Option<&Batch>) -> Option<Value> {
        let by_name = name != names::MESSAGE && self.is_secret_name(name);
        if let Some(masked) = by_name.then(|| self.secret(name, value)).flatten() {
            return Some(masked);
        }
        match value {
            ValueRef::Str(text) => self.text(text, batch).map(Value::from),
            ValueRef::Json(text) => self.text(text, batch).map(|text| Value::Json(text.into())),
            ValueRef::List(list) => self.list(list, batch),
            _ => None,
        }
    }

    /// The value of a field whose name is that of a secret.
    fn secret(&mut self, name: &str, value: ValueRef<'_>) -> Option<Value> {
        let text = match value {
            ValueRef::Str(text) => text.to_owned(),
            ValueRef::Int(number) => number.to_string(),
            ValueRef::Float(number) => number.to_string(),
            ValueRef::List(list) => {
                let masked = list.iter().map(|value| self.secret(name, value)).collect::<Vec<_>>();
                let any = masked.iter().any(Option::is_some);
                let all = masked.into_iter().zip(list.iter());
                return any.then(|| {
                    Value::List(
                        all.map(|(masked, value)| masked.unwrap_or_else(|| value.to_value())).collect(),
                    )
                });
            }
            _ => return None,
        };
        self.masker.by_name(name, &text).map(|kind| self.whole(kind))
    }

    fn list(&mut self, list: ListRef<'_>, batch: Option<&Batch>) -> Option<Value> {
        let masked: Vec<Option<String>> =
            list.iter().map(|value| value.as_str().and_then(|text| self.text(text, batch))).collect();
        if masked.iter().all(Option::is_none) {
            return None;
        }
        let values = masked.into_iter().zip(list.iter());
        Some(Value::List(
            values.map(|(masked, value)| masked.map_or_else(|| value.to_value(), Value::from)).collect(),
        ))
    }

    fn text(&mut self, text: &str, batch: Option<&Batch>) -> Option<String> {
        match batch.and_then(|batch| batch.place_of(text)) {
            Some(place) => self.masker.mask_marked(text, place, &mut self.marks, &mut self.counts),
            None => self.masker.mask(text, &mut self.counts),
        }
    }

    /// The note in the place of a whole value.
    fn whole(&mut self, kind: MaskKind) -> Value {
        self.counts[kind.index()] += 1;
        Value::from(self.masker.note(kind))
    }

    /// Whether a field of the batch that is no message has the name of a secret.
    fn is_secret_id(&mut self, batch: &Batch, name: NameId) -> bool {
        if let Some(known) = self.secret_ids[name.index()] {
            return known;
        }
        let secret = name != NameId::MESSAGE && self.is_secret_name(batch.name(name));
        self.secret_ids[name.index()] = Some(secret);
        secret
    }

    /// Whether no name of the batch is that of a secret.
    fn has_no_secret_ids(&mut self, batch: &Batch) -> bool {
        if let Some(known) = self.no_secret_ids {
            return known;
        }
        let none = !batch.names().any(|name| name != names::MESSAGE && self.is_secret_name(name));
        self.no_secret_ids = Some(none);
        none
    }

    fn is_secret_name(&mut self, name: &str) -> bool {
        if let Some(known) = self.secret_names.get(name) {
            return *known;
        }
        if self.secret_names.len() >= STREAMS_MAX {
            self.secret_names.clear();
        }
        let secret = self.masker.is_secret_name(name);
        self.secret_names.insert(name.into(), secret);
        secret
    }
}

/// The text without what touches a cut.
fn widen(masked: Option<Value>, value: ValueRef<'_>) -> Option<Value> {
    let text = masked.as_ref().map_or(value, Value::as_ref).as_str()?;
    widen_cut(text).map(Value::from).or(masked)
}

impl Change {
    fn make(&self, batch: &mut Batch) {
        let mut record = batch.edit(self.at);
        for (name, value) in &self.fields {
            record.set(name, value.as_ref());
        }
        if !self.fields.is_empty() {
            record.remove(names::ORIGINAL_BASE64);
        }
        if let Some(stream) = &self.stream {
            record.set_stream(stream);
        }
    }
}
