//! Tokens as Lucene's StandardAnalyzer cuts them.

#[test]
fn tokens_are_those_of_lucene() {
    let Some(path) = sawyer_testkit::shared("vectors/standard_analyzer.json") else { return };
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let mut found = Vec::new();
        sawyer_query::tokens::tokens(text, |token| found.push(token.to_owned()));
        assert_eq!(serde_json::json!(found), case["tokens"], "{text:?}");
    }
}
