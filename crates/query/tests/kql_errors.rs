//! What is said about queries that cannot be read.

use sawyer_query::{Context, Predicate, kql};

fn check(query: &str) -> String {
    match kql::compile(query, &Context::default()) {
        Ok(predicate) => panic!("{query} is {predicate:?}"),
        Err(error) => format!("{}\n{}", error.caret(query), error.message),
    }
}

#[test]
fn says_what_was_expected() {
    insta::assert_snapshot!(check("level:"), @r"
    level:
          ^
    expected a value after `level:`, found the end of the query
    ");
    insta::assert_snapshot!(check("level: error and "), @r"
    level: error and 
                     ^
    expected a field name or a value after `and`, found the end of the query
    ");
    insta::assert_snapshot!(check("level: error or not "), @r"
    level: error or not 
                        ^
    expected a field name or a value after `not`, found the end of the query
    ");
    insta::assert_snapshot!(check("(a: b or c: d"), @r"
    (a: b or c: d
                 ^
    expected `and`, `or` or `)` after `d`, found the end of the query
    ");
    insta::assert_snapshot!(check("items: { a: b"), @r"
    items: { a: b
                 ^
    expected `and`, `or` or `}` after `b`, found the end of the query
    ");
    insta::assert_snapshot!(check("status >="), @r"
    status >=
             ^
    expected a value after `>=`, found the end of the query
    ");
    insta::assert_snapshot!(check(": error"), @r"
    : error
    ^
    expected a field name or a value, found `:`
    ");
    insta::assert_snapshot!(check("()"), @r"
    ()
     ^
    expected a field name or a value after `(`, found `)`
    ");
}

#[test]
fn says_what_was_found() {
    insta::assert_snapshot!(check("level: error)"), @r"
    level: error)
                ^
    `)` closes nothing: nothing is open here
    ");
    insta::assert_snapshot!(check("a:b namespace:shop"), @r"
    a:b namespace:shop
                 ^
    expected `and`, `or` or the end after `namespace`, found `:`; `and` or `or` stands between two conditions; a colon inside a value needs quotes around the value, or a backslash: `\:`
    ");
    insta::assert_snapshot!(check("\"a\" b"), @r#"
    "a" b
        ^
    expected `and`, `or` or the end after `"a"`, found `b`
    "#);
    insta::assert_snapshot!(check("message: \"never closed"), @r#"
    message: "never closed
             ^
    this quote is never closed: expected another `"`
    "#);
    insta::assert_snapshot!(check("path: C\\:\\data"), @r#"
    path: C\:\data
             ^
    expected `and`, `or` or the end after `C\:`, found `\`; a backslash stands before `\():<>"*{}`, `t`, `r`, `n`, `uXXXX` or a keyword only
    "#);
    insta::assert_snapshot!(check("a: >5"), @r"
    a: >5
       ^
    expected a value after `a:`, found `>`; a comparison stands without the colon: `http.status > 500`
    ");
}

#[test]
fn says_what_keywords_need() {
    insta::assert_snapshot!(check("not(a: b)"), @r"
    not(a: b)
       ^
    expected `and`, `or` or the end after `not`, found `(`; a keyword needs a space before the parenthesis
    ");
    insta::assert_snapshot!(check("a: b and(c: d)"), @r"
    a: b and(c: d)
            ^
    expected `and`, `or` or the end after `and`, found `(`; a keyword needs a space before the parenthesis
    ");
    insta::assert_snapshot!(check("not not a"), @r"
    not not a
        ^
    expected a field name or a value, found `not`: one `not` cannot follow another
    ");
    insta::assert_snapshot!(check("a: not b"), @r"
    a: not b
       ^
    expected a value, found `not`: write `not field: value`, `field: (not value)`, or quote it
    ");
}

#[test]
fn says_what_a_value_must_be() {
    insta::assert_snapshot!(check("@timestamp > yesterday"), @r"
    @timestamp > yesterday
                 ^
    expected a time such as now-15m, 2026-11-20T09:00:00Z, 2026-11-20 or seconds since 1970, found `yesterday`
    ");
    insta::assert_snapshot!(check("timestamp >= now-1x"), @r"
    timestamp >= now-1x
                 ^
    expected date math such as -1h or /d (units y M w d h m s), found `-1x`
    ");
    insta::assert_snapshot!(check("message =~ \"a(\""), @r#"
    message =~ "a("
               ^
    expected a regular expression: unclosed group
    "#);
    insta::assert_snapshot!(check("message =~ \"a"), @r#"
    message =~ "a
               ^
    this quote is never closed: expected another `"`
    "#);
    insta::assert_snapshot!(check("it*: { a: b }"), @r"
    it*: { a: b }
    ^
    expected the name of a list of objects before `{`, without wildcards
    ");
}

#[test]
fn bounds_are_kept() {
    let deep = "(".repeat(100_000);
    assert_eq!(kql::parse(&deep).unwrap_err().message, "a query nests at most 128 deep");
    let nested = format!("{}b{}", "a:{".repeat(100), "}".repeat(100));
    assert!(matches!(kql::compile(&nested, &Context::default()), Ok(Predicate::Nested { .. })));
    let deep = format!("{}b{}", "not (".repeat(128), ")".repeat(128));
    assert!(kql::compile(&deep, &Context::default()).is_ok());
    let long = kql::parse(&"é".repeat(kql::QUERY_BYTES_MAX)).unwrap_err();
    assert_eq!(long.offset, kql::QUERY_BYTES_MAX);
    let spaces = format!("a{}b", " ".repeat(200_000));
    assert!(kql::parse(&spaces).is_ok());
}

#[test]
fn regular_expressions_are_a_form_of_their_own() {
    for query in [
        "message =~ \"time(out)?\"",
        "a.b !~ \"^x\"",
        "http.* =~ \"5..\"",
        "=~ \"x\"",
        "not a =~ \"b\" or c: d",
    ] {
        assert!(kql::compile(query, &Context::default()).is_ok(), "{query}");
    }
    let huge = kql::compile("a =~ \"(a{1000}){1000}\"", &Context::default()).unwrap_err();
    assert!(huge.message.contains("size limit"), "{huge}");
}

#[test]
fn a_keyword_inside_a_word_is_a_part_of_it() {
    assert_eq!(kql::parse("cannot connect"), kql::parse("cannot\\u0020connect"));
}
