//! The reference manual in Markdown.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Entry, KindInfo, Reference, TypeInfo};

/// Headings do not go deeper in Markdown.
const LEVEL_MAX: usize = 6;

/// A section under `title`: the doc comment, a table of the settings, and a section for each nested struct.
///
/// `level` is the depth of the heading, from one.
pub fn markdown(title: &str, level: usize, reference: &Reference) -> String {
    let mut writer = Writer { text: String::new(), done: BTreeSet::new() };
    writer.section(title, level, reference);
    writer.text.truncate(writer.text.trim_end().len());
    writer.text.push('\n');
    writer.text
}

struct Writer {
    text: String,
    done: BTreeSet<&'static str>,
}

impl Writer {
    fn section(&mut self, title: &str, level: usize, reference: &Reference) {
        if !self.done.insert(reference.id) {
            return;
        }
        self.line(&format!("{} {title}\n", "#".repeat(level.clamp(1, LEVEL_MAX))));
        if !reference.doc.is_empty() {
            self.line(&format!("{}\n", reference.doc));
        }
        if !reference.entries.is_empty() {
            self.line("| key | type | default | meaning |\n| --- | --- | --- | --- |");
            for entry in &reference.entries {
                self.row(entry);
            }
            self.line("");
        }
        for entry in &reference.entries {
            self.nested(title, entry.key, level, &entry.value);
        }
    }

    fn row(&mut self, entry: &Entry) {
        let mut kind = cell(&entry.value.name());
        if let Some((min, max)) = &entry.range {
            let _infallible = write!(kind, ", `{min}` to `{max}`");
        }
        let meaning = cell(&entry.doc);
        let mut choices = String::new();
        if let TypeInfo::Choice { values } = entry.value.required() {
            for (name, doc) in values.iter().filter(|(_, doc)| !doc.is_empty()) {
                let _infallible = write!(choices, "<br>`{name}`: {}", cell(doc));
            }
        }
        self.line(&format!("| `{}` | {kind} | {} | {meaning}{choices} |", entry.key, default(entry)));
    }

    fn nested(&mut self, title: &str, key: &str, level: usize, value: &TypeInfo) {
        match value {
            TypeInfo::Settings { reference, .. } => {
                self.section(&format!("{title}.{key}"), level + 1, &reference());
            }
            TypeInfo::List(item) => self.nested(title, &format!("{key}[]"), level, item),
            TypeInfo::Map(value) => self.nested(title, &format!("{key}.<name>"), level, value),
            TypeInfo::Optional(value) => self.nested(title, key, level, value),
            TypeInfo::Kinds { kinds, .. } => {
                for KindInfo { kind, reference } in kinds() {
                    self.section(&format!("{title}.{key} (type `{kind}`)"), level + 1, &reference());
                }
            }
            TypeInfo::With { common, own } => {
                self.section(&format!("{title}.{key} (every type)"), level + 1, &common());
                self.nested(title, key, level, own);
            }
            TypeInfo::Plain { .. } | TypeInfo::Choice { .. } | TypeInfo::Any => {}
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// The default as a table shows it; that of nested settings is told in their own table, unless it differs.
fn default(entry: &Entry) -> String {
    let Some(default) = &entry.default else { return "required".to_owned() };
    if let TypeInfo::Settings { reference, .. } = entry.value.required()
        && reference().default_text().as_ref() == Some(default)
    {
        return "see below".to_owned();
    }
    if default == "null" { "none".to_owned() } else { format!("`{}`", default.replace('|', "\\|")) }
}

/// Text that does not end a table's cell.
fn cell(text: &str) -> String {
    let lines: Vec<&str> = text.split("\n\n").collect();
    lines.join("<br>").replace('\n', " ").replace('|', "\\|")
}
