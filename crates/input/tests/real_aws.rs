//! CloudWatch Logs and Kinesis as moto has them, written by boto3.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;

use sawyer_model::Record;
use sawyer_testkit::moto::Moto;

#[allow(dead_code, reason = "the bench has more than is needed here")]
#[path = "it/common.rs"]
mod common;

use common::{Node, Run, Taker, text};

/// Settings that reach it.
fn access(moto: &Moto) -> String {
    let url = &moto.url;
    format!(
        "endpoint: {url}\nregion: eu-west-1\nauth: {{type: aws, access_key_id: AKID, secret_access_key: key}}\n"
    )
}

/// How often each message is there.
fn counts(records: &[Record]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(text(record, "message")).or_default() += 1;
    }
    counts
}

/// Puts so many events into each of two streams of a group, a millisecond apart, the first of them so many seconds ago.
fn put(group: &str, range: std::ops::Range<u32>, seconds_ago: u32) -> String {
    format!(
        "
for stream in ['kube-apiserver-audit-1', 'scheduler-1']:
    try: logs.create_log_group(logGroupName='{group}')
    except logs.exceptions.ResourceAlreadyExistsException: pass
    try: logs.create_log_stream(logGroupName='{group}', logStreamName=stream)
    except logs.exceptions.ResourceAlreadyExistsException: pass
    first = int(time.time() * 1000) - {seconds_ago} * 1000
    logs.put_log_events(logGroupName='{group}', logStreamName=stream, logEvents=[
        dict(timestamp=first + number, message='%s %d' % (stream, number)) for number in range({}, {})])
",
        range.start, range.end
    )
}

fn events(node: &Node, moto: &Moto, taker: Taker) -> Run {
    let own = "groups: ['/aws/eks/*']\ninterval: 1s\n";
    node.start("cloudwatch_logs", &format!("{own}{}", access(moto)), taker)
}

#[tokio::test]
async fn moto_gives_every_event_once() {
    if !sawyer_testkit::may_use_root("needs Python packages") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let node = Node::new();
    moto.run(&[put("/aws/eks/a/cluster", 0..5000, 1800), put("/aws/lambda/other", 0..10, 60)].concat());
    let run = events(&node, &moto, Taker::Drops(1));
    run.wait_for(|records| counts(records).len() == 10_000, "all events").await;
    // New ones, and such as come a moment late.
    moto.run(&[put("/aws/eks/a/cluster", 5000..5100, 45), put("/aws/eks/a/cluster", 5100..5200, 1)].concat());
    run.wait_for(|records| counts(records).len() == 10_400, "new events").await;
    let records = run.stop().await;
    let twice = counts(&records).values().filter(|count| **count > 1).count();
    let first = records.iter().find(|record| text(record, "message") == "scheduler-1 7").unwrap();
    let said = ["aws.log_group", "aws.log_stream", "aws.account"].map(|name| text(first, name));
    assert_eq!(said, ["/aws/eks/a/cluster", "scheduler-1", "123456789012"]);
    // What was let go of came again by the same name.
    let names: std::collections::BTreeSet<_> =
        records.iter().map(|record| (record.source, record.range.start)).collect();
    assert_eq!(names.len(), 10_400);
    eprintln!("{} records, {twice} of them twice", records.len());
    // Those that come minutes late are found as well, and groups that were not there.
    moto.run(&[put("/aws/eks/a/cluster", 5200..5300, 300), put("/aws/eks/b/cluster", 0..1, 1)].concat());
    let again = events(&node, &moto, Taker::Keeps);
    again.wait_for(|records| records.len() >= 202, "late events").await;
    let late = counts(&again.stop().await);
    assert!(late.len() == 202 && late.contains_key("scheduler-1 5299") && late.contains_key("scheduler-1 0"));
}

/// Lines, several records in one as the producer library packs them, and what CloudWatch Logs sends.
const RECORDS: &str = "
import gzip, hashlib
def field(number, data): return bytes([number << 3 | 2, len(data)]) + data
packed = field(1, b'key') + b''.join(field(3, bytes([8, 0]) + field(3, b'packed %d' % n)) for n in range(3))
packed = b'\\xf3\\x89\\x9a\\xc2' + packed + hashlib.md5(packed).digest()
events = [dict(id='e%d' % n, timestamp=1795176000000 + n, message='event %d' % n) for n in range(3)]
logs = dict(messageType='DATA_MESSAGE', owner='123456789012', logGroup='/aws/eks/a/cluster', logStream='audit',
    subscriptionFilters=['f'], logEvents=events)
kinesis.create_stream(StreamName='logs', ShardCount=2)
kinesis.get_waiter('stream_exists').wait(StreamName='logs')
kinesis.put_records(StreamName='logs', Records=[dict(Data=b'line %d' % n, PartitionKey=str(n)) for n in range(400)] + [
    dict(Data=packed, PartitionKey='p'), dict(Data=gzip.compress(json.dumps(logs).encode()), PartitionKey='c')])
";

#[tokio::test]
async fn moto_gives_every_record_of_all_shards_once() {
    if !sawyer_testkit::may_use_root("needs Python packages") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let node = Node::new();
    moto.run(RECORDS);
    let start = |taker| {
        let own = "streams: [logs]\ninterval: 200ms\n";
        node.start("kinesis", &format!("{own}{}", access(&moto)), taker)
    };
    let run = start(Taker::Drops(1));
    run.wait_for(|records| counts(records).len() >= 406, "all records").await;
    let records = run.stop().await;
    let found = counts(&records);
    assert!(found.len() == 406 && found.values().all(|count| *count == 1), "{found:?}");
    let event = records.iter().find(|record| text(record, "message") == "event 1").unwrap();
    assert_eq!(text(event, "aws.log_group"), "/aws/eks/a/cluster");
    let again = start(Taker::Keeps);
    moto.run("kinesis.put_record(StreamName='logs', Data=b'new', PartitionKey='n')");
    assert_eq!(counts(&again.records(1).await).into_keys().collect::<Vec<_>>(), ["new"]);
    again.stop().await;
}
