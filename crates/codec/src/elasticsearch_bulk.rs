//! Elasticsearch's `_bulk`: actions and documents into records, and the answer for each of them.
//!
//! Source: Elasticsearch's reference, "Bulk API" (8.x); what clients read of the answer.
//! Owns: the actions, the items of the answer. Does not own: paths, headers and start-up calls (`input`).
//! Invariant: every action has its item in the answer, in order, and one that was not taken says why; `errors` is true
//! if there is one. A document under the same index and `_id` is the same record, so it is stored once, and whoever would
//! create it again is told of a conflict.
//!
//! | in a document | in the record |
//! |---|---|
//! | `@timestamp`, `message`, `log.level` … | `timestamp`, `message`, `level` … as in lines of JSON |
//! | `kubernetes.*`, `k8s.*`, `orchestrator.*` | identity, as far as the client may say it |
//! | `_index`, `_id` of the action | `elasticsearch.index`, `elasticsearch.id` |

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use sawyer_model::{RecordId, SourceId, ValueRef};

use crate::fields::FieldSink;
use crate::json::walk::{self, Json};
use crate::json_out::write_string;
use crate::pushed::{Intake, Name, Refused, Said};

#[cfg(test)]
mod tests;

/// Longest name of an index, as Elasticsearch has it.
const INDEX_BYTES_MAX: usize = 255;

/// Longest answer to a request.
const ITEMS_BYTES_MAX: usize = 128 << 20;

/// The rest of an item: of a document that is there now, that was there, and that was to be created and was there.
const CREATED: &str = r#","_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}"#;
const UNCHANGED: &str = r#","_version":1,"result":"noop","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":200}}"#;
const CONFLICT: &str = r#","status":409,"error":{"type":"version_conflict_engine_exception","reason":"version conflict, document already exists (current version [1])"}}}"#;

/// What came of the actions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// The items of the answer, as JSON, with commas between.
    pub items: String,
    /// How many were taken.
    pub accepted: u64,
    /// How many were not.
    pub rejected: u64,
    /// Documents that were taken under an id of the client's.
    named: Vec<Named>,
}

/// A document with an id of the client's, which may be there already.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    source: SourceId,
    creates: bool,
    /// Where its item lies, and in that what came of it.
    item: Range<usize>,
    result: usize,
}

/// A body that is no bulk request as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// It has no action.
    #[error("request body is required")]
    Empty,
    /// A line that should have an action.
    #[error("Malformed action/metadata line [{line}], expected {expected}")]
    Action {
        /// Its number, from 1.
        line: usize,
        /// What should be there.
        expected: String,
    },
    /// The last action has no document.
    #[error("The document of the action in line [{0}] is missing; was the request cut?")]
    Document(usize),
    /// Too much for one request.
    #[error(transparent)]
    Full(Refused),
}

/// What is to be done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store it, unless it is there.
    Create,
    /// Store it.
    Index,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

impl Action {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "create" => Self::Create,
            "index" => Self::Index,
            "update" => Self::Update,
            "delete" => Self::Delete,
            _ => return None,
        })
    }

    /// The name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// An action with what it says.
#[derive(Clone, Debug)]
pub struct Meta<'a> {
    /// What is to be done.
    pub action: Action,
    /// The index, if one is named.
    pub index: Option<Cow<'a, str>>,
    /// The document's id, if it has one.
    pub id: Option<Cow<'a, str>>,
}

/// Why a document was not taken, as Elasticsearch says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ItemError {
    kind: &'static str,
    reason: String,
}

/// Reads a request. `index` is the one of the path; `sender` tells the ids of one client from those of another.
///
/// # Errors
/// If the body is no bulk request, or too large; nothing of it may be used then.
pub fn read(body: &[u8], index: Option<&str>, sender: &str, intake: &mut Intake) -> Result<Bulk, BulkError> {
    let mut bulk = Bulk::default();
    let mut lines = (1..).zip(body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii));
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let meta = read_action(number, line)?;
        let document = match meta.action {
            Action::Delete => None,
            _ => {
                let next = lines.by_ref().map(|(_, line)| line).next().filter(|line| !line.is_empty());
                Some(next.ok_or(BulkError::Document(number))?)
            }
        };
        let index = meta.index.as_deref().or(index);
        bulk.take(&meta, index, document, sender, intake).map_err(BulkError::Full)?;
    }
    if bulk.items.is_empty() { Err(BulkError::Empty) } else { Ok(bulk) }
}

/// Reads a document that is not part of a bulk request; gives its item, and whether it was taken.
///
/// # Errors
/// If it is too large.
pub fn read_one(
    document: &[u8],
    meta: &Meta<'_>,
    sender: &str,
    intake: &mut Intake,
) -> Result<Bulk, Refused> {
    let mut bulk = Bulk::default();
    bulk.take(meta, meta.index.as_deref(), Some(document), sender, intake)?;
    Ok(bulk)
}

fn read_action(line: usize, bytes: &[u8]) -> Result<Meta<'_>, BulkError> {
    let wrong = |expected: &str| BulkError::Action { line, expected: expected.to_owned() };
    let text = str::from_utf8(bytes).map_err(|_| wrong("UTF-8"))?;
    let json = walk::check(text).map_err(|error| wrong(&error.to_string()))?;
    let mut members = json.members();
    let object = "an object with one of `create`, `index`, `update`, `delete`";
    let none = "FIELD_NAME but found [END_OBJECT]";
    let (name, meta) = members.next().ok_or_else(|| wrong(if json.is_object() { none } else { object }))?;
    let mut action = Action::of(&name).ok_or_else(|| wrong(&format!("{object}, found `{name}`")))?;
    if members.next().is_some() || !meta.is_object() {
        return Err(wrong(object));
    }
    // Ids may be numbers; clients write both.
    let text =
        |json: Json<'_>| json.string().map(Cow::into_owned).or_else(|| json.digits().map(str::to_owned));
    let get = |name: &str| meta.get(name).and_then(text).map(Cow::Owned);
    if action == Action::Index && get("op_type").as_deref() == Some("create") {
        action = Action::Create;
    }
    Ok(Meta { action, index: get("_index").filter(|index| !index.is_empty()), id: get("_id") })
}

impl Bulk {
    fn take(
        &mut self,
        meta: &Meta<'_>,
        index: Option<&str>,
        document: Option<&[u8]>,
        sender: &str,
        intake: &mut Intake,
    ) -> Result<(), Refused> {
        let answered = self.accepted + self.rejected;
        if answered >= intake.records_max() as u64 || self.items.len() > ITEMS_BYTES_MAX {
            return Err(Refused::Full);
        }
        let fits = |index: &&str| index.len() <= INDEX_BYTES_MAX;
        let index_shown = index.filter(fits).unwrap_or("");
        let taken = match (meta.action, index, document) {
            (_, Some(index), _) if !fits(&index) => {
                let reason = format!("the name of the index is longer than {INDEX_BYTES_MAX} bytes");
                Err(ItemError::of("invalid_index_name_exception", reason))
            }
            _ if meta.id.as_deref() == Some("") => {
                let reason = "if _id is specified it must not be empty";
                Err(ItemError::of("illegal_argument_exception", reason))
            }
            (_, None, _) => Err(ItemError::of("action_request_validation_exception", "index is missing")),
            (Action::Create | Action::Index, Some(index), Some(document)) => {
                store(document, index, meta.id.as_deref(), sender, intake)?
            }
            (action, ..) => {
                let reason = format!("`{}` is not possible: log records do not change", action.name());
                Err(ItemError::of("illegal_argument_exception", reason))
            }
        };
        match &taken {
            Ok(_) => self.accepted += 1,
            Err(_) => self.rejected += 1,
        }
        self.item(meta, index_shown, &taken);
        Ok(())
    }

    /// Says of documents whose records were there before that they were: `known` has the source of each such record.
    /// Whether any of them was to be created, and so is an error.
    pub fn settle(&mut self, known: &[SourceId]) -> bool {
        let mut left: HashMap<SourceId, usize> = HashMap::new();
        known.iter().for_each(|source| *left.entry(*source).or_default() += 1);
        // Of several in one request the first is the one that was stored, so they are found from the end.
        let mut found = Vec::new();
        for named in self.named.iter().rev() {
            if let Some(count) = left.get_mut(&named.source).filter(|count| **count > 0) {
                *count -= 1;
                found.push(named);
            }
        }
        let (mut items, mut at, mut conflicts) = (String::new(), 0, false);
        for named in found.into_iter().rev() {
            items.push_str(&self.items[at..named.result]);
            if named.creates {
                items.push_str(CONFLICT);
            } else {
                items.push_str(UNCHANGED);
            }
            conflicts |= named.creates;
            at = named.item.end;
        }
        items.push_str(&self.items[at..]);
        self.items = items;
        conflicts
    }

    fn item(&mut self, meta: &Meta<'_>, index: &str, taken: &Result<RecordId, ItemError>) {
        if !self.items.is_empty() {
            self.items.push(',');
        }
        let start = self.items.len();
        // Writing to a string cannot fail.
        let _ = write!(self.items, r#"{{"{}":{{"_index":{},"_id":"#, meta.action.name(), quoted(index));
        let id = match (&meta.id, taken) {
            (Some(id), _) => quoted(id),
            (None, Ok(id)) => format!("\"{id}\""),
            (None, Err(_)) => "null".to_owned(),
        };
        self.items.push_str(&id);
        let result = self.items.len();
        let _ = match taken {
            Ok(_) => write!(self.items, "{CREATED}"),
            Err(ItemError { kind, reason }) => write!(
                self.items,
                r#","status":400,"error":{{"type":"{kind}","reason":{}}}}}}}"#,
                quoted(reason)
            ),
        };
        if let (Ok(record), Some(_)) = (taken, &meta.id) {
            let creates = meta.action == Action::Create;
            let item = start..self.items.len();
            self.named.push(Named { source: record.source, creates, item, result });
        }
    }
}

impl ItemError {
    fn of(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

/// Takes a document. What is wrong with it alone is its item's error.
fn store(
    document: &[u8],
    index: &str,
    id: Option<&str>,
    sender: &str,
    intake: &mut Intake,
) -> Result<Result<RecordId, ItemError>, Refused> {
    let parsing = |reason: String| ItemError::of("document_parsing_exception", reason);
    let Ok(text) = str::from_utf8(document) else { return Ok(Err(parsing("it is not UTF-8".to_owned()))) };
    intake.begin();
    if let Err(error) = intake.flatten(text) {
        return Ok(Err(parsing(format!("failed to parse: {error}"))));
    }
    intake.fields().field("elasticsearch.index", ValueRef::Str(index));
    if let Some(id) = id {
        intake.fields().field("elasticsearch.id", ValueRef::Str(id));
    }
    let name = id.map(|id| Name { scope: ["elasticsearch", sender, index], id });
    match intake.write(&Said { original: Some(text), name, ..Said::default() }) {
        Ok(id) => Ok(Ok(id)),
        Err(Refused::TooLong) => {
            Ok(Err(ItemError::of("illegal_argument_exception", Refused::TooLong.to_string())))
        }
        Err(full @ Refused::Full) => Err(full),
    }
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    String::from_utf8(out).expect("JSON is text")
}
