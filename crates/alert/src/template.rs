//! Text with places to fill in: `{{ value }} errors in {{ labels.namespace }}`.
//!
//! Owns: the syntax, which names there are, and what a mistake is called.
//! Does not own: what the names stand for (`message`).
//! Invariant: a template that was read cannot fail any more, and what is filled in is not read again.

use std::fmt;

use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, nearest, read_scalar, yaml_text};

/// Bytes of one filled-in text. What is longer is cut: a message is for people.
const RENDERED_BYTES_MAX: usize = 16 << 10;

/// Names that every rule fills in.
pub const NAMES: &[&str] = &[
    "rule",
    "severity",
    "status",
    "value",
    "threshold",
    "window",
    "query",
    "link",
    "matched",
    "total",
    "starts",
    "ends",
];

/// Names of the labels of an alert begin so.
const LABELS: &str = "labels.";

/// How a value is written where the text around it has a form of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Plain,
    /// As a string of JSON, quotes included.
    Json,
    /// For an address.
    Url,
}

const FILTERS: [(&str, Filter); 2] = [("json", Filter::Json), ("url", Filter::Url)];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value { name: String, filter: Filter, offset: usize },
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Bytes from the start.
    pub offset: usize,
    /// What was expected, and what was found.
    pub message: String,
}

impl TemplateError {
    /// The message with the place drawn below it.
    #[must_use]
    pub fn drawn(&self, text: &str) -> String {
        let error = sawyer_query::QueryError::new(self.offset, self.message.clone());
        format!("{error}\n  {}", error.caret(text).replace('\n', "\n  "))
    }
}

impl Template {
    /// Reads a template. The names in it are checked by [`Template::check`], once it is known which there are.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("{{") {
            let open = at + open;
            pieces.push(Piece::Text(text[at..open].to_owned()));
            let inside = open + 2;
            let Some(close) = text[inside..].find("}}") else {
                return Err(TemplateError {
                    offset: open,
                    message: "expected `}}` behind this `{{`".to_owned(),
                });
            };
            pieces.push(value(&text[inside..inside + close], inside)?);
            at = inside + close + 2;
        }
        pieces.push(Piece::Text(text[at..].to_owned()));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether everything that it names is there: `names`, and labels; any label if it is not known which there are.
    ///
    /// # Errors
    /// Every name that there is not.
    pub fn check(&self, names: &[&str], labels: Option<&[String]>) -> Result<(), Vec<TemplateError>> {
        let known: Vec<String> = names
            .iter()
            .map(|name| (*name).to_owned())
            .chain(labels.unwrap_or_default().iter().map(|label| format!("{LABELS}{label}")))
            .collect();
        let mut errors = Vec::new();
        for piece in &self.pieces {
            let Piece::Value { name, offset, .. } = piece else { continue };
            if known.contains(name) || (labels.is_none() && name.starts_with(LABELS)) {
                continue;
            }
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = near.map_or_else(
                || format!("; known: `{}`", known.join("`, `")),
                |near| format!("; did you mean `{near}`?"),
            );
            errors.push(TemplateError { offset: *offset, message: format!("there is no `{name}`{hint}") });
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Fills in what `value` says for each name; nothing where it says nothing.
    pub fn render(&self, value: &dyn Fn(&str) -> Option<String>) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { name, filter, .. } => {
                    let text = value(name).unwrap_or_default();
                    match filter {
                        Filter::Plain => out.push_str(&text),
                        Filter::Json => out.push_str(&serde_json::Value::String(text).to_string()),
                        Filter::Url => out.push_str(&escape_url(&text)),
                    }
                }
            }
            if out.len() > RENDERED_BYTES_MAX {
                return cut(&out, RENDERED_BYTES_MAX);
            }
        }
        out
    }
}

/// What stands between the braces: a name, and behind a bar a filter.
fn value(inside: &str, offset: usize) -> Result<Piece, TemplateError> {
    let mut parts = inside.splitn(2, '|');
    let name = parts.next().unwrap_or_default();
    let name_at = offset + (name.len() - name.trim_start().len());
    let trimmed = name.trim();
    let is_name = |c: char| c.is_alphanumeric() || "_.-/@".contains(c);
    if trimmed.is_empty() || !trimmed.chars().all(is_name) {
        let message = format!("expected a name such as `{{{{ value }}}}`, found `{trimmed}`");
        return Err(TemplateError { offset: name_at, message });
    }
    let filter = match parts.next() {
        None => Filter::Plain,
        Some(word) => {
            let found = FILTERS.iter().find(|(known, _)| *known == word.trim());
            let Some((_, filter)) = found else {
                let place = offset + name.len() + 1 + (word.len() - word.trim_start().len());
                let message = format!("expected the filter `json` or `url`, found `{}`", word.trim());
                return Err(TemplateError { offset: place, message });
            };
            *filter
        }
    };
    Ok(Piece::Value { name: trimmed.to_owned(), filter, offset: name_at })
}

/// A text for the query of an address: everything but letters, digits and `-._~` as bytes in hex (RFC 3986).
pub(crate) fn escape_url(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// At most so many bytes of a text, whole characters, with a mark where something is missing.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Setting for Template {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let text = read_scalar(at, problems, "text", |text| Some(text.to_owned()))?;
        Self::parse(&text).map_err(|error| problems.push(at, error.drawn(&text))).ok()
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "template", json: JsonType::String }
    }

    fn default_text(&self) -> String {
        yaml_text(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        let value = |name: &str| match name {
            "value" => Some("12".to_owned()),
            "labels.app" => Some("a \"b\" {{ value }}".to_owned()),
            _ => None,
        };
        Template::parse(text).unwrap().render(&value)
    }

    #[test]
    fn fills_in_once() {
        assert_eq!(render("{{value}} of {{ labels.app }}!"), "12 of a \"b\" {{ value }}!");
        assert_eq!(render("{\"text\": {{ labels.app | json }}}"), "{\"text\": \"a \\\"b\\\" {{ value }}\"}");
        assert_eq!(render("?q={{labels.app|url}}"), "?q=a%20%22b%22%20%7B%7B%20value%20%7D%7D");
        assert_eq!(render("no braces } {"), "no braces } {");
        assert_eq!(render("{{ rule }}"), "");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let wrong = |text: &str| Template::parse(text).unwrap_err().drawn(text);
        insta::assert_snapshot!(wrong("a {{ value"), @r"
        expected `}}` behind this `{{`
          a {{ value
            ^
        ");
        insta::assert_snapshot!(wrong("a {{ }}"), @r"
        expected a name such as `{{ value }}`, found ``
          a {{ }}
               ^
        ");
        insta::assert_snapshot!(wrong("{{ value | upper }}"), @r"
        expected the filter `json` or `url`, found `upper`
          {{ value | upper }}
                     ^
        ");
        let template = Template::parse("{{ valeu }} {{ labels.namespce }} {{ nothing }}").unwrap();
        let errors = template.check(NAMES, Some(&["namespace".to_owned()])).unwrap_err();
        let messages: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.offset, error.message)).collect();
        insta::assert_snapshot!(messages.join("\n"), @r"
        3: there is no `valeu`; did you mean `value`?
        15: there is no `labels.namespce`; did you mean `labels.namespace`?
        37: there is no `nothing`; known: `rule`, `severity`, `status`, `value`, `threshold`, `window`, `query`, `link`, `matched`, `total`, `starts`, `ends`, `labels.namespace`
        ");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("결제결제", 7), "결…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
