//! CloudWatch Logs and STS as moto has them, read by boto3.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::time::Duration;

use sawyer_delivery::auth::aws::Surroundings;
use sawyer_delivery::auth::{AssumeRoleSettings, AwsSettings};
use sawyer_delivery::http::{Method, Request};
use sawyer_model::Outcome;
use sawyer_telemetry::Clock;
use sawyer_testkit::moto::Moto;
use serde_json::Value as Json;

#[allow(dead_code, reason = "the bench has more than is needed here")]
#[path = "harness/bench.rs"]
mod bench;

use bench::{Bench, check, said};

/// What a script prints, as JSON.
fn ask(moto: &Moto, script: &str) -> Json {
    serde_json::from_slice(&moto.run(script)).unwrap()
}

/// All messages of a group by stream.
const MESSAGES: &str = "
found = {}
for stream in logs.describe_log_streams(logGroupName='/sawyer/shop')['logStreams']:
    name, token, messages = stream['logStreamName'], None, []
    while True:
        more = {'nextToken': token} if token else {}
        page = logs.get_log_events(logGroupName='/sawyer/shop', logStreamName=name, startFromHead=True, **more)
        messages += [event['message'] for event in page['events']]
        if not page['events'] or page['nextForwardToken'] == token:
            break
        token = page['nextForwardToken']
    found[name.split('/')[0]] = messages
print(json.dumps(found))
";

#[tokio::test]
async fn moto_has_every_record_in_order() {
    const EACH: u64 = 3000;
    if !sawyer_testkit::may_use_root("needs Python packages") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let settings = format!(
        "endpoint: {}\nregion: eu-west-1\nformat: line\nbatch_age_max: 50ms\nretention_days: 30\ntags: {{team: shop}}\n\
         auth: {{type: aws, access_key_id: AKID, secret_access_key: key}}",
        moto.url
    );
    let bench = Bench::start("cloudwatch_logs", &settings);
    let pods = ["a-1", "b-1", "c-1"];
    // Over two days, so that requests have to be parted.
    let now = Clock::system().now();
    let (early, late) = (now.saturating_sub(Duration::from_secs(50 * 3600)), now);
    for (start, from) in [(0, early), (1000, early), (2000, late)] {
        for pod in pods {
            bench.send(&said(pod, start..start + 1000, from)).await;
        }
    }
    let metrics = bench.metrics.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable; 9]);
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 0);
    let found: BTreeMap<String, Vec<String>> = serde_json::from_value(ask(&moto, MESSAGES)).unwrap();
    let again = check(&found, &pods, EACH);
    eprintln!("{} records, {again} of them twice", EACH * 3);
    assert_eq!(again, 0, "no answer was lost");
    let group = ask(&moto, "print(json.dumps(logs.describe_log_groups()['logGroups'][0], default=str))");
    assert_eq!(
        (group["logGroupName"].as_str(), group["retentionInDays"].as_u64()),
        (Some("/sawyer/shop"), Some(30))
    );
    let tags = ask(&moto, "print(json.dumps(logs.list_tags_log_group(logGroupName='/sawyer/shop')['tags']))");
    assert_eq!(tags["team"], "shop");
}

/// The key id by which a request is signed.
async fn signed_by(settings: AwsSettings, surroundings: &Surroundings) -> String {
    let signer = settings.signer("eu-west-1", "logs", surroundings, &Clock::system());
    let mut request = Request::new(Method::POST, "https://logs.example/".parse().unwrap());
    signer.authorize(&mut request).await.unwrap();
    assert!(request.headers["x-amz-security-token"].len() > 20);
    let signed = request.headers["authorization"].to_str().unwrap();
    signed.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn roles_are_assumed_as_moto_gives_them() {
    if !sawyer_testkit::may_use_root("needs Python packages") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a token of the cluster").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &moto.url),
    ];
    let surroundings = Surroundings::of(&variables);
    let pod = signed_by(AwsSettings::default(), &surroundings).await;
    assert!(pod.starts_with("ASIA"), "{pod}");
    let role = AssumeRoleSettings {
        role_arn: "arn:aws:iam::210987654321:role/logs".to_owned(),
        external_id: None,
        session_name: "sawyer".to_owned(),
    };
    let other =
        signed_by(AwsSettings { assume_role: Some(role), ..AwsSettings::default() }, &surroundings).await;
    assert!(other.starts_with("ASIA") && other != pod, "{other}");
}
