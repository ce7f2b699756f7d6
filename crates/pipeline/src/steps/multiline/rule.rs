//! By which rule lines are grouped: what is known of traces, or a pattern of first lines.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use sawyer_codec::group::{self, Group};
use sawyer_model::{NameId, RecordRef, Stream, ValueRef, names};

use crate::steps::Condition;
use crate::steps::hint::MultilineHint;
use crate::steps::pattern::Pattern;

/// Hints of streams that are kept as they were read. One more and all are read again.
const HINTS_MAX: usize = 256;

/// Fields that tell of a line what a joined record can tell too.
const OF_LINES: [&str; 3] = [names::MESSAGE, names::MARK, names::ORIGINAL_BASE64];

/// Decides about lines.
#[derive(Debug)]
pub(super) struct Rule {
    first_line: Option<Pattern>,
    when: Option<Condition>,
    /// What streams say of themselves, by what they say; none if that does not count.
    hints: Option<HashMap<Box<str>, Option<MultilineHint>>>,
}

/// Decides about the lines of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamRule<'a> {
    first_line: Option<&'a Regex>,
    when: Option<&'a Condition>,
    off: bool,
}

/// What the lines of a group so far let expect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// By what is known of traces.
    Known(Group),
    /// Anything but another first line.
    Any,
}

impl Form {
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Known(group) if group.is_whole())
    }

    pub(super) fn wants_more(self) -> bool {
        matches!(self, Self::Known(group) if group.wants_more())
    }
}

impl Rule {
    pub(super) fn new(first_line: Option<Pattern>, when: Option<Condition>, hints: bool) -> Self {
        Self { first_line, when, hints: hints.then(HashMap::new) }
    }

    /// The rules of these streams.
    pub(super) fn for_streams(&mut self, streams: &[Arc<Stream>]) -> Vec<StreamRule<'_>> {
        let said = |stream: &Arc<Stream>| stream.get(names::HINT_MULTILINE)?.as_str().map(Box::<str>::from);
        if let Some(hints) = &mut self.hints {
            if hints.len() > HINTS_MAX {
                hints.clear();
            }
            for hint in streams.iter().filter_map(said) {
                hints.entry(hint).or_insert_with_key(|hint| MultilineHint::read(hint));
            }
        }
        let usual = self.first_line.as_ref().map(Pattern::regex);
        let (when, hints) = (self.when.as_ref(), self.hints.as_ref());
        let of = |stream: &Arc<Stream>| {
            let hint = hints.and_then(|hints| hints.get(&said(stream)?)?.as_ref());
            let (first_line, off) = match hint {
                None => (usual, false),
                Some(MultilineHint::Auto) => (None, false),
                Some(MultilineHint::Off) => (None, true),
                Some(MultilineHint::FirstLine(pattern)) => (Some(pattern), false),
            };
            StreamRule { first_line, when, off }
        };
        streams.iter().map(of).collect()
    }
}

impl StreamRule<'_> {
    /// Whether a line may be a part of any group: it is nothing but a line, and whole.
    pub(super) fn is_line(&self, record: RecordRef<'_>) -> bool {
        let is_text = matches!(record.get_by_id(NameId::MESSAGE), Some(ValueRef::Str(_)));
        let plain = record.own_fields_by_id().len() == 1;
        is_text
            && !self.off
            && (plain
                || record.get_by_id(NameId::ORIGINAL).is_none()
                    && record.marks().all(|mark| mark == names::MARK_INVALID_UTF8))
            && self.when.is_none_or(|when| when.matches(record))
    }

    /// See [`group::may_continue`].
    pub(super) fn may_continue(&self, line: &str) -> bool {
        match self.first_line {
            Some(pattern) => !pattern.is_match(line),
            None => group::may_continue(line),
        }
    }

    /// See [`Group::begins_surely`].
    pub(super) fn begins_surely(&self, line: &str) -> Option<Form> {
        match self.first_line {
            Some(_) => None,
            None => Group::begins_surely(line).map(Form::Known),
        }
    }

    /// See [`Group::begin`].
    pub(super) fn begin(&self, line: &str) -> Option<Form> {
        match self.first_line {
            Some(_) => Some(Form::Any),
            None => Group::begin(line).map(Form::Known),
        }
    }

    /// See [`Group::take`].
    pub(super) fn take(&self, form: Form, line: &str) -> Option<Form> {
        match (form, self.first_line) {
            (Form::Known(group), _) => group.take(line).map(Form::Known),
            (Form::Any, Some(pattern)) => (!pattern.is_match(line)).then_some(Form::Any),
            (Form::Any, None) => None,
        }
    }
}

/// The fields of a line that all lines of its group must have alike.
pub(super) fn others<'a>(
    fields: impl Iterator<Item = (&'a str, ValueRef<'a>)>,
) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
    fields.filter(|(name, _)| !OF_LINES.contains(name))
}
