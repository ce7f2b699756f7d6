//! CloudWatch Logs and STS as moto has them, read by boto3.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sawyer_delivery::auth::aws::Surroundings;
use sawyer_delivery::auth::{AssumeRoleSettings, AwsSettings};
use sawyer_delivery::http::{Method, Request};
use sawyer_model::Outcome;
use sawyer_telemetry::Clock;
use serde_json::Value as Json;

#[allow(dead_code, reason = "the bench has more than is needed here")]
#[path = "harness/bench.rs"]
mod bench;

use bench::{Bench, check, said};

const PACKAGES: [&str; 4] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "werkzeug==3.1.9"];
const SOON: Duration = Duration::from_secs(60);

/// A server of AWS's services.
struct Moto {
    child: Child,
    packages: String,
    url: String,
}

impl Moto {
    fn start() -> Option<Self> {
        let script = sawyer_testkit::repository().join("tools/python-packages");
        let out = Command::new(script).args(PACKAGES).stderr(Stdio::inherit()).output().unwrap();
        if !out.status.success() {
            sawyer_testkit::skip("no Python packages: moto");
            return None;
        }
        let packages = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        // The port is free again a moment before the server takes it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let main =
            format!("from moto.server import main; main(['-H', '127.0.0.1', '-p', '{}'])", address.port());
        let child = Command::new("python3")
            .args(["-c", &main])
            .env("PYTHONPATH", &packages)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { child, packages, url: format!("http://{address}") };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < SOON, "moto does not listen");
            std::thread::yield_now();
        }
        Some(moto)
    }

    /// What a script with boto3 prints, as JSON. It has a client `logs`.
    fn ask(&self, script: &str) -> Json {
        let head = format!(
            "import boto3, json\nlogs = boto3.client('logs', endpoint_url='{}', region_name='eu-west-1', \
             aws_access_key_id='a', aws_secret_access_key='b')\n",
            self.url
        );
        let out = Command::new("python3")
            .args(["-c", &format!("{head}{script}")])
            .env("PYTHONPATH", &self.packages)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
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
    let found: BTreeMap<String, Vec<String>> = serde_json::from_value(moto.ask(MESSAGES)).unwrap();
    let again = check(&found, &pods, EACH);
    eprintln!("{} records, {again} of them twice", EACH * 3);
    assert_eq!(again, 0, "no answer was lost");
    let group = moto.ask("print(json.dumps(logs.describe_log_groups()['logGroups'][0], default=str))");
    assert_eq!(
        (group["logGroupName"].as_str(), group["retentionInDays"].as_u64()),
        (Some("/sawyer/shop"), Some(30))
    );
    let tags = moto.ask("print(json.dumps(logs.list_tags_log_group(logGroupName='/sawyer/shop')['tags']))");
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
