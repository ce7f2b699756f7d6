//! What a KQL query means: from the syntax tree to a predicate.
//!
//! Owns: which predicate each form becomes, and the errors that need meaning (a time that is none, a wrong regular
//! expression). Does not own: the meaning of the predicate.
//! Invariant: names inside `path: { … }` become whole paths.

use sawyer_model::names;

use super::ast::{Ast, Literal, LiteralValue, RangeOp, WildcardText};
use super::parse::parse;
use crate::{Context, FieldPattern, FieldTest, Predicate, QueryError};

/// Reads a query and says what it means.
///
/// # Errors
/// Where the query is wrong, and what was expected there.
pub fn compile(text: &str, options: &Context) -> Result<Predicate, QueryError> {
    compile_ast(&parse(text)?, options)
}

/// Says what a syntax tree means.
///
/// # Errors
/// As for [`compile`].
pub fn compile_ast(ast: &Ast, options: &Context) -> Result<Predicate, QueryError> {
    Compiler { context: options, path: String::new() }.predicate(ast)
}

struct Compiler<'a> {
    context: &'a Context,
    /// The list of objects that names are relative to, with a dot behind it; empty at the top.
    path: String,
}

/// The fields that a part is about.
enum Target {
    Any,
    Fields(FieldPattern),
}

impl Compiler<'_> {
    fn predicate(&mut self, ast: &Ast) -> Result<Predicate, QueryError> {
        Ok(match ast {
            Ast::And(parts) => Predicate::and(self.predicates(parts)?),
            Ast::Or(parts) => Predicate::or(self.predicates(parts)?),
            Ast::Not(part) => Predicate::not(self.predicate(part)?),
            Ast::Is { field, value } => self.is(&self.target(field), value)?,
            Ast::Range { field, op, value } => self.range(self.target(field), *op, value)?,
            Ast::Nested { field, query } => self.nested(field, query)?,
            Ast::Regex { field, pattern, negated } => {
                let found = test_in(self.target(field), regex(pattern)?);
                if *negated { Predicate::not(found) } else { found }
            }
        })
    }

    fn predicates(&mut self, parts: &[Ast]) -> Result<Vec<Predicate>, QueryError> {
        parts.iter().map(|part| self.predicate(part)).collect()
    }

    fn target(&self, field: &Literal) -> Target {
        let name = match &field.value {
            LiteralValue::Null => return self.any_target(),
            LiteralValue::Wildcard(pattern) if pattern.is_only_stars() => return self.any_target(),
            LiteralValue::Wildcard(WildcardText(pieces)) => {
                let mut pieces: Vec<String> = pieces.clone();
                pieces[0].insert_str(0, &self.path);
                return Target::Fields(FieldPattern::wildcard(pieces));
            }
            LiteralValue::Bool(value) => value.to_string(),
            LiteralValue::Text { text, .. } => text.clone(),
        };
        Target::Fields(FieldPattern::name(&format!("{}{name}", self.path)))
    }

    /// Any field; inside an object, any of its fields.
    fn any_target(&self) -> Target {
        if self.path.is_empty() {
            return Target::Any;
        }
        Target::Fields(FieldPattern::wildcard([self.path.as_str(), ""]))
    }

    fn is(&self, target: &Target, value: &Literal) -> Result<Predicate, QueryError> {
        let test = match &value.value {
            LiteralValue::Wildcard(pattern) if pattern.is_only_stars() => {
                return Ok(match target {
                    Target::Any => Predicate::All,
                    Target::Fields(field) => Predicate::Exists(field.clone()),
                });
            }
            LiteralValue::Wildcard(pattern) => FieldTest::wildcard(pattern),
            LiteralValue::Text { text, quoted: true } => FieldTest::phrase(text, self.context),
            LiteralValue::Text { text, quoted: false } => FieldTest::words(text, self.context),
            LiteralValue::Bool(value) => FieldTest::words(&value.to_string(), self.context),
            LiteralValue::Null => FieldTest::words("null", self.context),
        };
        self.check_time(target, &test, value)?;
        Ok(match target {
            Target::Any => Predicate::AnyField(test),
            Target::Fields(field) => Predicate::field(field.clone(), test),
        })
    }

    fn range(&self, target: Target, op: RangeOp, value: &Literal) -> Result<Predicate, QueryError> {
        let text = match &value.value {
            LiteralValue::Wildcard(pattern) if pattern.is_only_stars() => return self.is(&target, value),
            LiteralValue::Wildcard(pattern) => pattern.0.join("*"),
            LiteralValue::Text { text, .. } => text.clone(),
            LiteralValue::Bool(value) => value.to_string(),
            LiteralValue::Null => "null".to_owned(),
        };
        let test = FieldTest::range(op, &text, self.context);
        self.check_time(&target, &test, value)?;
        Ok(test_in(target, test))
    }

    fn nested(&mut self, field: &Literal, query: &Ast) -> Result<Predicate, QueryError> {
        let LiteralValue::Text { text, .. } = &field.value else {
            let message = "expected the name of a list of objects before `{`, without wildcards";
            return Err(QueryError::new(field.offset, message));
        };
        let whole = format!("{}{text}", self.path);
        let outer = std::mem::replace(&mut self.path, format!("{whole}."));
        let predicate = self.predicate(query);
        self.path = outer;
        Ok(Predicate::Nested { path: FieldPattern::name(&whole), predicate: Box::new(predicate?) })
    }

    /// `timestamp` and `observed` hold times only, so anything else is a mistake.
    fn check_time(&self, target: &Target, test: &FieldTest, value: &Literal) -> Result<(), QueryError> {
        let Target::Fields(field) = target else { return Ok(()) };
        let common = field.names().and_then(<[_]>::first).map(AsRef::as_ref);
        let holds_times = matches!(common, Some(names::TIMESTAMP | names::OBSERVED));
        if !holds_times || test.can_hold_for_time() {
            return Ok(());
        }
        let text = match &value.value {
            LiteralValue::Text { text, .. } => text.as_str(),
            _ => "",
        };
        let reason = crate::time::parse_span(text, self.context.now, &self.context.time_zone).err();
        let message = reason.map_or_else(|| "expected a time".to_owned(), |reason| reason.to_string());
        Err(QueryError::new(value.offset, message))
    }
}

fn test_in(target: Target, test: FieldTest) -> Predicate {
    match target {
        Target::Any => Predicate::AnyField(test),
        Target::Fields(field) => Predicate::field(field, test),
    }
}

fn regex(pattern: &Literal) -> Result<FieldTest, QueryError> {
    let LiteralValue::Text { text, .. } = &pattern.value else {
        return Err(QueryError::new(pattern.offset, "expected a regular expression in quotes"));
    };
    FieldTest::regex(text).map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or("");
        let last = last.trim_start_matches("error: ");
        QueryError::new(pattern.offset, format!("expected a regular expression: {last}"))
    })
}
