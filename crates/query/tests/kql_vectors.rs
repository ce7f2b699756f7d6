//! KQL as Kibana reads it: inputs with validity and syntax tree.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

use sawyer_query::kql::{self, Ast, Literal, LiteralValue, RangeOp};
use serde_json::{Value, json};

fn literal(literal: &Literal) -> Value {
    match &literal.value {
        LiteralValue::Null => json!({"lit": null}),
        LiteralValue::Bool(value) => json!({"lit": value}),
        LiteralValue::Text { text, quoted: false } => json!({"lit": text}),
        LiteralValue::Text { text, quoted: true } => json!({"lit": text, "quoted": true}),
        LiteralValue::Wildcard(pieces) => json!({"wild": pieces.0.join("*")}),
    }
}

fn tree(ast: &Ast) -> Value {
    let of = |name: &str, args: Vec<Value>| json!({"fn": name, "args": args});
    match ast {
        Ast::And(parts) => of("and", parts.iter().map(tree).collect()),
        Ast::Or(parts) => of("or", parts.iter().map(tree).collect()),
        Ast::Not(part) => of("not", vec![tree(part)]),
        Ast::Is { field, value } => of("is", vec![literal(field), literal(value)]),
        Ast::Range { field, op, value } => {
            let op = match op {
                RangeOp::Lt => "lt",
                RangeOp::Lte => "lte",
                RangeOp::Gt => "gt",
                RangeOp::Gte => "gte",
            };
            of("range", vec![literal(field), json!(op), literal(value)])
        }
        Ast::Nested { field, query } => of("nested", vec![literal(field), tree(query)]),
        Ast::Regex { field, pattern, negated } => {
            of("regex", vec![literal(field), literal(pattern), json!(negated)])
        }
    }
}

fn vectors() -> Option<Value> {
    let path = sawyer_testkit::shared("vectors/kql.json")?;
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn check_validity(case: &Value) -> Option<Ast> {
    let query = case["query"].as_str().unwrap();
    let parsed = kql::parse(query);
    let valid = case.get("valid").is_none_or(|valid| valid == true);
    assert_eq!(parsed.is_ok(), valid, "{query:?}: {parsed:?}");
    if let Err(error) = &parsed {
        assert!(error.offset <= query.len() && !error.message.is_empty(), "{query:?}");
    }
    parsed.ok()
}

#[test]
fn trees_are_those_of_kibana() {
    let Some(vectors) = vectors() else { return };
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        if let Some(ast) = check_validity(case) {
            assert_eq!(tree(&ast), case["ast"], "{}", case["query"]);
        }
    }
}

#[test]
fn queries_over_a_data_view_are_read() {
    let Some(vectors) = vectors() else { return };
    for case in vectors["with_data_view"].as_array().unwrap() {
        check_validity(case);
    }
}

/// Kibana can be told to refuse a star at the start; Sawyer always takes it, everything else is equal.
#[test]
fn leading_wildcards_are_taken() {
    let Some(vectors) = vectors() else { return };
    for case in vectors["leading_wildcards"].as_array().unwrap() {
        kql::parse(case["query"].as_str().unwrap()).unwrap();
    }
}

#[test]
fn escapes_are_those_of_kibana() {
    let Some(vectors) = vectors() else { return };
    let cases = vectors["escape"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let input = case["input"].as_str().unwrap();
        let escaped = kql::escape(input);
        assert_eq!(json!(escaped), case["escapeKuery"]);
        // Kibana's grammar reads its own `\\not` as a line break and "ot".
        let read = input.replace("not ", "\not ");
        let expected = json!({"fn": "is", "args": [{"lit": null}, {"lit": read}]});
        assert_eq!(tree(&kql::parse(&escaped).unwrap()), expected);
        let quoted = json!({"fn": "is", "args": [{"lit": null}, {"lit": input, "quoted": true}]});
        assert_eq!(tree(&kql::parse(&kql::quote(input)).unwrap()), quoted);
    }
}
