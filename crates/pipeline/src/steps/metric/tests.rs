use sawyer_model::{Record, Value};

use super::duration;
use crate::steps::testing::{bench, record};

fn with(fields: &[(&str, Value)]) -> Record {
    let mut record = record(0, "GET /");
    record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
    record
}

/// What `/metrics` says of the metrics that these records make.
fn check(settings: &str, records: &[Record]) -> String {
    let mut bench = bench("metric", settings).unwrap();
    bench.run(records);
    let text = bench.metrics.text();
    text.lines()
        .filter(|line| !line.contains("sawyer_") && !line.starts_with("# "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn counts_records_by_labels() {
    let records = [
        with(&[("status", Value::Int(200))]),
        with(&[("status", Value::from("200"))]),
        with(&[("status", Value::Int(500))]),
        with(&[]),
    ];
    insta::assert_snapshot!(check("{name: requests_total, labels: {code: status, pod: pod}}", &records), @r#"
    requests_total{code="",pod="cart-1"} 1
    requests_total{code="200",pod="cart-1"} 2
    requests_total{code="500",pod="cart-1"} 1
    "#);
    insta::assert_snapshot!(check("{name: errors, when: 'status >= 500'}", &records), @"errors_total{} 1");
}

#[test]
fn makes_histograms_and_gauges_of_numbers_and_durations() {
    let records = [
        with(&[("took", Value::from("12ms")), ("free", Value::Int(7))]),
        with(&[("took", Value::from("1m1.5s")), ("free", Value::from("9.5"))]),
        with(&[("took", Value::Int(300))]),
        with(&[("took", Value::from("long"))]),
    ];
    let settings = "{name: seconds, kind: histogram, field: took, scale: 0.001, buckets: [0.1, 1]}";
    insta::assert_snapshot!(check(settings, &records), @r#"
    seconds_bucket{le="0.1"} 1
    seconds_bucket{le="1.0"} 2
    seconds_bucket{le="+Inf"} 3
    seconds_sum{} 61.812
    seconds_count{} 3
    "#);
    insta::assert_snapshot!(check("{name: free, kind: gauge, field: free}", &records), @"free{} 9.5");
    insta::assert_snapshot!(check("{name: all, field: free}", &records), @"all_total{} 16.5");
    let mut bench = bench("metric", settings).unwrap();
    bench.run(&records);
    assert_eq!(bench.count("sawyer_step_failed_records"), 1);
}

#[test]
fn too_many_series_count_together() {
    let records: Vec<Record> = (0..5).map(|n| with(&[("n", Value::Int(n))])).collect();
    let settings = "{name: a, labels: {n: n}, series_max: 2}";
    insta::assert_snapshot!(check(settings, &records), @r#"
    a_total{n="0"} 1
    a_total{n="1"} 1
    a_total{n="other"} 3
    "#);
    let mut bench = bench("metric", settings).unwrap();
    bench.run(&records);
    assert_eq!(bench.count("sawyer_step_metric_overflow_records"), 3);
}

#[test]
fn durations_are_read() {
    for (text, seconds) in
        [("1h2m3.5s", 3723.5), ("250µs", 0.00025), ("1 s", 1.0), ("2d", 172_800.0), ("7ns", 7e-9)]
    {
        let found = duration(text).unwrap();
        assert!((found - seconds).abs() < seconds * 1e-9, "{text}: {found}");
    }
    for text in ["", "s", "1", "1x", "1.2.3s", "-1s"] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn tells_what_is_wrong() {
    let wrong = |settings| bench("metric", settings).err().unwrap();
    insta::assert_snapshot!(wrong("{name: 9a, labels: {'a-b': x, __a: y, ok: ''}, buckets: [1]}"), @r#"
    sawyer.yaml:1:2: name: expected a name of letters, digits, `_` and `:` that does not begin with a digit, found "9a"
    sawyer.yaml:1:21: labels.a-b: a label is made of letters, digits and `_`, and does not begin with a digit or `__`
    sawyer.yaml:1:31: labels.__a: a label is made of letters, digits and `_`, and does not begin with a digit or `__`
    sawyer.yaml:1:39: labels.ok: expected the name of a field, found ""
    sawyer.yaml:1:48: buckets: a histogram has buckets, and this is a counter
    "#);
    insta::assert_snapshot!(wrong("{name: sawyer_x, kind: histogram, buckets: [2, 1], labels: {le: a}, scale: 0}"), @r"
    sawyer.yaml:1:1: field: required, and missing; a histogram is made of numbers
    sawyer.yaml:1:2: name: names that begin with `sawyer_` are Sawyer's own
    sawyer.yaml:1:35: buckets: expected 1 to 100 numbers, each larger than the one before
    sawyer.yaml:1:61: labels.le: a histogram's own label has this name
    sawyer.yaml:1:69: scale: expected a number other than 0, found 0
    ");
}
