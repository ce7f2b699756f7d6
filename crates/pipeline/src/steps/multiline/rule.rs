//! By which rule lines are grouped: what is known of traces, or a pattern of first lines.

use sawyer_codec::group::{self, Group};
use sawyer_model::{NameId, RecordRef, ValueRef, names};

use crate::steps::Condition;
use crate::steps::pattern::Pattern;

/// Fields that tell of a line what a joined record can tell too.
const OF_LINES: [&str; 3] = [names::MESSAGE, names::MARK, names::ORIGINAL_BASE64];

/// Decides about lines.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) first_line: Option<Pattern>,
    pub(super) when: Option<Condition>,
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
    /// Whether a line may be a part of any group: it is nothing but a line, and whole.
    pub(super) fn is_line(&self, record: RecordRef<'_>) -> bool {
        let is_text = matches!(record.get_by_id(NameId::MESSAGE), Some(ValueRef::Str(_)));
        let plain = record.own_fields_by_id().len() == 1;
        is_text
            && (plain
                || record.get_by_id(NameId::ORIGINAL).is_none()
                    && record.marks().all(|mark| mark == names::MARK_INVALID_UTF8))
            && self.when.as_ref().is_none_or(|when| when.matches(record))
    }

    /// See [`group::may_continue`].
    pub(super) fn may_continue(&self, line: &str) -> bool {
        match &self.first_line {
            Some(pattern) => !pattern.regex().is_match(line),
            None => group::may_continue(line),
        }
    }

    /// See [`Group::begins_surely`].
    pub(super) fn begins_surely(&self, line: &str) -> Option<Form> {
        match &self.first_line {
            Some(_) => None,
            None => Group::begins_surely(line).map(Form::Known),
        }
    }

    /// See [`Group::begin`].
    pub(super) fn begin(&self, line: &str) -> Option<Form> {
        match &self.first_line {
            Some(_) => Some(Form::Any),
            None => Group::begin(line).map(Form::Known),
        }
    }

    /// See [`Group::take`].
    pub(super) fn take(&self, form: Form, line: &str) -> Option<Form> {
        match (form, &self.first_line) {
            (Form::Known(group), _) => group.take(line).map(Form::Known),
            (Form::Any, Some(pattern)) => (!pattern.regex().is_match(line)).then_some(Form::Any),
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
