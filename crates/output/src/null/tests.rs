use std::sync::Arc;

use sawyer_model::Record;

use super::output::Sums;
use crate::testing::{Bench, batch_of, context, numbered, plan, record, sim};

fn sum(records: &[Record]) -> u64 {
    Sums::default().batch(&batch_of(records))
}

#[test]
fn every_field_of_every_record_counts_and_their_order_does_not() {
    let records = [record(0, "first of all"), record(1, "second"), record(2, "")];
    let [first, second, third] = records.clone();
    let whole = sum(&records);
    let parts = [sum(&[third.clone(), first.clone()]), sum(std::slice::from_ref(&second))];
    assert_eq!(parts[0].wrapping_add(parts[1]), whole);
    let changed: [fn(&mut Record); 6] = [
        |record| record.fields[0].1 = "first of alL".into(),
        |record| record.fields[0].0 = "massage".into(),
        |record| record.fields.push(("status".into(), 1_i64.into())),
        |record| record.range.start += 7,
        |record| record.timestamp = record.timestamp.saturating_add(std::time::Duration::from_nanos(1)),
        |record| record.stream = Arc::new(record.stream.with([("node", "a".into())])),
    ];
    for (number, change) in changed.into_iter().enumerate() {
        let mut record = first.clone();
        change(&mut record);
        assert_ne!(sum(&[record, second.clone(), third.clone()]), whole, "change {number}");
    }
}

#[tokio::test]
async fn acknowledges_what_it_was_given() {
    let state = sim();
    let context = context(&state);
    let output = plan(&super::kind(), "{}").unwrap().open(&context).unwrap();
    let metrics = context.metrics.clone();
    let mut bench = Bench::start(output, context);
    bench.deliver(numbered(0, 3)).await;
    bench.deliver(numbered(3, 2)).await;
    let text = metrics.text();
    assert!(text.contains(r#"sawyer_output_records_total{output="out"} 5"#), "{text}");
    let expected = Sums::default().batch(&numbered(0, 5)).cast_signed();
    assert!(text.contains(&format!(r#"sawyer_output_null_checksum{{output="out"}} {expected}"#)), "{text}");
}

#[test]
fn tells_what_is_wrong_with_the_settings() {
    insta::assert_snapshot!(plan(&super::kind(), "checksum: often\nfile: x").err().unwrap(), @r#"
    sawyer.yaml:1:1: checksum: expected true or false, found "often"
    sawyer.yaml:2:1: file: unknown key; known: `checksum`
    "#);
}
