//! What a query means, said as plainly as possible and as slowly as need be.

use sawyer_model::{Record, Timestamp, Value};
use sawyer_query::kql::{Ast, Literal, LiteralValue, RangeOp};
use unicode_segmentation::UnicodeSegmentation;

/// Times as written, and the first and last instant that they name when it is 2026-11-20T09:57:18.627062502Z.
pub(crate) const TIMES: &[(&str, &str, &str)] = &[
    ("now", "2026-11-20T09:57:18.627062502Z", "2026-11-20T09:57:18.627062502Z"),
    ("now-1h", "2026-11-20T08:57:18.627062502Z", "2026-11-20T08:57:18.627062502Z"),
    ("now/d", "2026-11-20T00:00:00Z", "2026-11-20T23:59:59.999999999Z"),
    ("2026-11-20", "2026-11-20T00:00:00Z", "2026-11-20T23:59:59.999999999Z"),
    ("\"2026-11-20T09:00:00Z\"", "2026-11-20T09:00:00Z", "2026-11-20T09:00:00.999999999Z"),
    ("1795161600", "2026-11-20T08:00:00Z", "2026-11-20T08:00:00.999999999Z"),
];

const LEVELS: &[(&str, u8)] = &[
    ("err", 4),
    ("error", 4),
    ("warn", 3),
    ("warning", 3),
    ("info", 2),
    ("debug", 1),
    ("trace", 0),
    ("fatal", 5),
];

/// All fields under all names that a query may use for them.
struct Fields<'a> {
    fields: Vec<(String, &'a Value)>,
    times: Vec<(String, Value)>,
}

pub(crate) fn matches(ast: &Ast, record: &Record) -> bool {
    let own = record.fields.iter().map(|(name, value)| (name.to_string(), value));
    let stream = record.stream.fields().iter().map(|(name, value)| (name.to_string(), value));
    let missing = stream.filter(|(name, _)| record.fields.iter().all(|(own, _)| **own != **name));
    let times = vec![
        ("timestamp".to_owned(), Value::Timestamp(record.timestamp)),
        ("observed".to_owned(), Value::Timestamp(record.observed)),
    ];
    holds(ast, "", &Fields { fields: own.chain(missing).collect(), times })
}

fn holds(ast: &Ast, path: &str, fields: &Fields<'_>) -> bool {
    match ast {
        Ast::And(parts) => parts.iter().all(|part| holds(part, path, fields)),
        Ast::Or(parts) => parts.iter().any(|part| holds(part, path, fields)),
        Ast::Not(part) => !holds(part, path, fields),
        Ast::Is { field, value } if text_of(value) == "*" && is_wild(value) => {
            exists(&field_name(field, path), fields)
        }
        Ast::Is { field, value } => any_value(&field_name(field, path), fields, |name, found| {
            is(found, value, name, field_name(field, path) == "*")
        }),
        Ast::Range { field, value, .. } if text_of(value) == "*" => exists(&field_name(field, path), fields),
        Ast::Range { field, op, value } => any_value(&field_name(field, path), fields, |name, found| {
            in_range(found, *op, &text_of(value), name, field_name(field, path) == "*")
        }),
        Ast::Regex { field, pattern, negated } => {
            let pattern = regex::Regex::new(&text_of(pattern)).unwrap();
            let found = any_value(&field_name(field, path), fields, |_, found| {
                written(found).is_some_and(|text| pattern.is_match(&text))
            });
            found != *negated
        }
        Ast::Nested { field, query } => nested(&text_of(field), query, fields),
    }
}

fn nested(path: &str, query: &Ast, fields: &Fields<'_>) -> bool {
    if let Some((_, Value::Json(json))) = fields.fields.iter().find(|(name, _)| name == path) {
        let objects: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(json).unwrap();
        return objects.iter().any(|object| {
            let values: Vec<(String, Value)> = object
                .iter()
                .map(|(name, value)| {
                    (
                        format!("{path}.{name}"),
                        value.as_i64().map_or_else(|| Value::from(value.as_str().unwrap()), Value::Int),
                    )
                })
                .collect();
            let fields = values.iter().map(|(name, value)| (name.clone(), value)).collect();
            holds(query, path, &Fields { fields, times: Vec::new() })
        });
    }
    let prefix = format!("{path}.");
    fields.fields.iter().any(|(name, value)| name.starts_with(&prefix) && exist(value))
        && holds(query, path, fields)
}

fn is_wild(literal: &Literal) -> bool {
    matches!(literal.value, LiteralValue::Wildcard(_))
}

fn text_of(literal: &Literal) -> String {
    match &literal.value {
        LiteralValue::Null => "null".to_owned(),
        LiteralValue::Bool(value) => value.to_string(),
        LiteralValue::Text { text, .. } => text.clone(),
        LiteralValue::Wildcard(pieces) => pieces.0.join("*"),
    }
}

fn field_name(field: &Literal, path: &str) -> String {
    let name = if matches!(field.value, LiteralValue::Null) { "*".to_owned() } else { text_of(field) };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The names by which the pattern may mean this field.
fn means(pattern: &str, name: &str) -> bool {
    let aliases: &[&str] = match name {
        "message" => &["log"],
        "level" => &["severity"],
        "pod" => &["kubernetes.pod.name", "k8s.pod.name"],
        "namespace" => &["k8s.namespace.name"],
        "timestamp" => &["@timestamp"],
        _ => &[],
    };
    if !pattern.contains('*') {
        return pattern == name || aliases.contains(&pattern);
    }
    let alias = pattern.contains('.') && aliases.iter().any(|alias| glob(pattern, alias));
    !name.starts_with('_') && (glob(pattern, name) || alias)
}

fn any_value(pattern: &str, fields: &Fields<'_>, test: impl Fn(&str, &Value) -> bool) -> bool {
    let elements = |name: &str, value: &Value| match value {
        Value::List(values) => values.iter().any(|value| test(name, value)),
        single => test(name, single),
    };
    let times = fields.times.iter().filter(|_| pattern != "*");
    fields.fields.iter().any(|(name, value)| means(pattern, name) && elements(name, value))
        || times.into_iter().any(|(name, value)| means(pattern, name) && test(name, value))
}

fn exists(pattern: &str, fields: &Fields<'_>) -> bool {
    let part = |name: &str| !pattern.contains('*') && name.starts_with(&format!("{pattern}."));
    pattern == "*"
        || fields.times.iter().any(|(name, _)| means(pattern, name))
        || fields.fields.iter().any(|(name, value)| (means(pattern, name) || part(name)) && exist(value))
}

fn exist(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::List(values) => values.iter().any(exist),
        _ => true,
    }
}

fn written(value: &Value) -> Option<String> {
    Some(match value {
        Value::Str(text) => text.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Timestamp(time) => time.to_string(),
        Value::Null | Value::List(_) | Value::Json(_) => return None,
    })
}

fn is_text(name: &str, text: &str) -> bool {
    name == "message" || name.ends_with(".message") || text.len() > 256
}

fn level(text: &str) -> Option<u8> {
    LEVELS.iter().find(|(name, _)| *name == text.to_lowercase()).map(|(_, level)| *level)
}

fn is(value: &Value, literal: &Literal, name: &str, bare: bool) -> bool {
    let wanted = lower(&text_of(literal));
    let quoted = matches!(literal.value, LiteralValue::Text { quoted: true, .. });
    match (&literal.value, value) {
        (LiteralValue::Wildcard(_), Value::Str(text)) if name == "message" || name.ends_with(".message") => {
            like_words(&wanted, text)
        }
        (LiteralValue::Wildcard(_), Value::Str(text)) => {
            glob(&wanted, &lower(text)) || (is_text(name, text) && like_words(&wanted, text))
        }
        (LiteralValue::Wildcard(_), other) => written(other).is_some_and(|text| glob(&wanted, &lower(&text))),
        (_, Value::Str(text)) if is_text(name, text) => has_words(&wanted, text, quoted),
        (_, Value::Str(text)) => {
            let same_level = level(&wanted).is_some() && level(&wanted) == level(text);
            lower(text) == wanted || (same_level && !bare && (name == "level" || name == "severity"))
        }
        (_, Value::Int(int)) => wanted.parse() == Ok(*int as f64),
        (_, Value::Float(float)) => wanted.parse() == Ok(*float),
        (_, Value::Bool(value)) => wanted == value.to_string(),
        (_, Value::Null) => wanted == "null",
        (_, Value::Timestamp(time)) => {
            let written = if quoted { format!("\"{}\"", text_of(literal)) } else { text_of(literal) };
            named_time(&written).is_some_and(|(first, last)| first <= *time && *time <= last)
        }
        (_, Value::List(_) | Value::Json(_)) => false,
    }
}

fn named_time(written: &str) -> Option<(Timestamp, Timestamp)> {
    let time = TIMES.iter().find(|(text, ..)| *text == written || text.trim_matches('"') == written)?;
    Some((Timestamp::parse(time.1).unwrap(), Timestamp::parse(time.2).unwrap()))
}

fn in_range(value: &Value, op: RangeOp, operand: &str, name: &str, bare: bool) -> bool {
    let number: Option<f64> = operand.parse().ok();
    let time = named_time(operand);
    let in_time = |value: Timestamp| {
        time.is_some_and(|(first, last)| match op {
            RangeOp::Gt => value > last,
            RangeOp::Gte => value >= first,
            RangeOp::Lt => value < first,
            RangeOp::Lte => value <= last,
        })
    };
    let by_number = |value: f64| number.is_some_and(|number| op.holds(value.total_cmp(&number)));
    match value {
        Value::Int(int) => by_number(*int as f64),
        Value::Float(float) => by_number(*float),
        Value::Timestamp(value) => in_time(*value),
        Value::Str(text) => {
            let is_level = !bare && (name == "level" || name == "severity");
            let levels = level(text).zip(level(operand)).filter(|_| is_level);
            if let Some((value, operand)) = levels {
                op.holds(value.cmp(&operand))
            } else if number.is_some() {
                text.parse().is_ok_and(by_number)
            } else if let (Ok(value), true) = (Timestamp::parse(text), time.is_some()) {
                in_time(value)
            } else {
                operand != "now" && op.holds((**text).cmp(operand))
            }
        }
        Value::Bool(_) | Value::Null | Value::List(_) | Value::Json(_) => false,
    }
}

fn lower(text: &str) -> String {
    text.to_lowercase().replace("i\u{307}", "i")
}

fn glob(pattern: &str, text: &str) -> bool {
    let pieces: Vec<String> = pattern.split('*').map(regex::escape).collect();
    regex::Regex::new(&format!("(?s)^{}$", pieces.join(".*"))).unwrap().is_match(text)
}

fn words(text: &str) -> Vec<(usize, String)> {
    text.split_word_bound_indices()
        .filter(|(_, word)| word.chars().any(char::is_alphanumeric))
        .map(|(at, word)| (at, lower(word)))
        .collect()
}

fn is_east_asian(word: &str) -> bool {
    word.chars().any(|c| "결제실패支付失败".contains(c))
}

/// Words that touch and are not parted in their script, joined.
fn joined(value: &str) -> Vec<String> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    for (at, word) in words(value) {
        match joined.last_mut() {
            Some((end, last)) if *end == at && is_east_asian(last) && is_east_asian(&word) => {
                last.push_str(&word);
                *end += word.len();
            }
            _ => joined.push((at + word.len(), word)),
        }
    }
    joined.into_iter().map(|(_, word)| word).collect()
}

fn has_words(wanted: &str, text: &str, phrase: bool) -> bool {
    let tokens: Vec<String> = words(text).into_iter().map(|(_, word)| word).collect();
    let asked = joined(wanted);
    if asked.is_empty() {
        return !wanted.trim().is_empty() && lower(text).contains(wanted.trim());
    }
    if phrase && asked.len() > 1 {
        let asked: Vec<String> = words(wanted).into_iter().map(|(_, word)| word).collect();
        let same = |asked: &String, token: &String| {
            if is_east_asian(asked) { token.contains(asked.as_str()) } else { asked == token }
        };
        return tokens
            .windows(asked.len())
            .any(|part| asked.iter().zip(part).all(|(asked, token)| same(asked, token)));
    }
    asked.iter().any(|asked| {
        if is_east_asian(asked) { lower(text).contains(asked.as_str()) } else { tokens.contains(asked) }
    })
}

fn like_words(pattern: &str, text: &str) -> bool {
    pattern.split_whitespace().any(|part| {
        if !part.contains('*') {
            return has_words(part, text, false);
        }
        let tokens = words(text).into_iter().map(|(_, word)| word);
        let between_spaces = lower(text).split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        part == "*" || tokens.chain(between_spaces).any(|word| glob(part, &word))
    })
}
