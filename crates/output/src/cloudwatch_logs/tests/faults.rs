//! Trouble on the way, and trouble that somebody has to end.

use super::*;

/// Numbered records of several streams through throttling, cut connections and lost answers.
async fn oracle(seed: u64) {
    const EACH: u64 = 300;
    let (service, _peer, mut bench) = start(&format!("{LINE}batch_records_max: 20\nrequests_max: 4"));
    *service.dice.lock() = Some(Dice::new(seed));
    let pods = ["a-1", "b-1", "c-1"];
    for start in (0..EACH).step_by(30) {
        for pod in pods {
            bench.send(batch_of(&said(pod, start..start + 30, Duration::ZERO))).await;
        }
    }
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    assert_eq!(outcomes, vec![Outcome::Durable; 30]);
    let mut again = 0;
    for pod in pods {
        let messages = service.messages("/sawyer/shop", &format!("{pod}/app"));
        let mut seen = BTreeSet::new();
        let first: Vec<String> =
            messages.iter().filter(|line| seen.insert((*line).clone())).cloned().collect();
        assert_eq!(first, lines(pod, 0..EACH), "all of them, in order, unchanged");
        again += messages.len() - first.len();
    }
    assert!(again > 0, "an answer that was lost makes duplicates, and some were lost");
}

#[tokio::test]
async fn everything_arrives_in_order_through_faults() {
    for seed in 1..=3 {
        oracle(seed).await;
    }
}

/// Delivers while an action is refused, and then not any more. Gives what readiness said meanwhile.
async fn through(action: &'static str, status: u16, kind: &'static str, settings: &str) -> String {
    let (service, _peer, mut bench) = start(&format!("{LINE}{settings}"));
    service.logs.refuse(Some((action, status, kind)));
    let number = bench.send(batch_of(&said("cart-1", 0..3, Duration::ZERO))).await;
    bench.until("it is told", |bench| !bench.context.health.reasons().is_empty()).await;
    let told = format!("{:?}", bench.context.health.reasons());
    assert_eq!(bench.outcome(number), None, "nothing is given up");
    assert!(!told.contains("s3cr3t"));
    service.logs.refuse(None);
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    assert_eq!(service.messages("/sawyer/shop", "cart-1/app"), lines("cart-1", 0..3));
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 0);
    told
}

#[tokio::test]
async fn wrong_credentials_and_missing_permissions_cost_no_record() {
    let told = through("PutLogEvents", 400, "UnrecognizedClientException", "").await;
    assert!(
        told.contains("UnrecognizedClientException (are the credentials right?): as the test says"),
        "{told}"
    );
    let told = through("PutLogEvents", 400, "AccessDeniedException", "").await;
    assert!(told.contains("AccessDeniedException (does the role have the policy?)"), "{told}");
    let told = through("PutLogEvents", 400, "ExpiredTokenException", "").await;
    assert!(told.contains("this machine's clock"), "{told}");
    let told = through("CreateLogGroup", 400, "AccessDeniedException", "").await;
    assert!(told.contains("make the log group /sawyer/shop: AccessDeniedException"), "{told}");
    let told = through("CreateLogStream", 400, "InvalidParameterException", "").await;
    assert!(told.contains("make the log stream cart-1/app: InvalidParameterException"), "{told}");
    let told = through("PutLogEvents", 400, "SomethingNewException", "").await;
    assert!(told.contains("SomethingNewException"), "{told}");
}

#[tokio::test]
async fn a_retention_that_cannot_be_set_holds_up_nothing_and_is_set_later() {
    let (service, _peer, mut bench) = start(&format!("{LINE}retention_days: 7"));
    service.logs.refuse(Some(("PutRetentionPolicy", 400, "AccessDeniedException")));
    bench.deliver(batch_of(&said("cart-1", 0..3, Duration::ZERO))).await;
    service.logs.refuse(None);
    bench.deliver(batch_of(&said("cart-1", 3..4, Duration::ZERO))).await;
    assert_eq!(service.logs.group("/sawyer/shop").unwrap().retention, Some(7));
    bench.deliver(batch_of(&said("cart-1", 4..5, Duration::ZERO))).await;
    assert_eq!(service.logs.asked("PutRetentionPolicy"), 2);
}

#[tokio::test]
async fn groups_are_left_alone_where_they_are_not_to_be_made() {
    let (service, _peer, mut bench) = start(&format!("{LINE}create_groups: false"));
    let number = bench.send(batch_of(&said("cart-1", 0..3, Duration::ZERO))).await;
    bench.until("it is told", |bench| !bench.context.health.reasons().is_empty()).await;
    let told = format!("{:?}", bench.context.health.reasons());
    assert!(told.contains("the log group /sawyer/shop is not there, and `create_groups` is off"), "{told}");
    assert_eq!(service.logs.asked("CreateLogGroup"), 0);
    service.logs.make_group("/sawyer/shop");
    bench.until("it is delivered", |bench| bench.outcome(number) == Some(Outcome::Durable)).await;
}

#[tokio::test]
async fn a_request_that_is_refused_is_cut_until_the_event_at_fault_stands_alone() {
    let peer = Peer::start(|_, request| {
        let bad = String::from_utf8_lossy(&request.plain_body()).contains("cart-1 5");
        Play::Answer(match bad {
            true => Reply::new(400, r#"{"__type":"InvalidParameterException","message":"Log event is odd"}"#),
            false => Reply::new(200, "{}"),
        })
    });
    let mut bench = open(LINE, &peer.url());
    bench.send(batch_of(&said("cart-1", 0..16, Duration::ZERO))).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered], "nobody keeps dead letters here");
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
    assert_eq!(metrics.numbers("sawyer_delivery_items")[0].1, 15);
}
