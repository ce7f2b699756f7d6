//! The metadata service of EC2, version 2.

use super::*;

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The metadata service: sessions must be opened, and end when a test says so.
#[derive(Clone, Default)]
struct Metadata(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sessions: usize,
    asked: usize,
    role: Option<&'static str>,
    expires: Option<Timestamp>,
}

impl Metadata {
    fn answer(&self, request: &Received) -> Reply {
        let mut state = self.0.lock();
        if (request.method.as_str(), request.target.as_str()) == ("PUT", "/latest/api/token") {
            assert_eq!(request.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
            state.sessions += 1;
            return Reply::new(200, format!("session-{}", state.sessions));
        }
        assert_eq!(request.method, "GET");
        let session = format!("session-{}", state.sessions);
        if request.header("x-aws-ec2-metadata-token") != Some(&session) {
            return Reply::new(401, "");
        }
        match (request.target.strip_prefix(ROLES).unwrap(), state.role) {
            (_, None) => Reply::new(404, "<html>404 - Not Found</html>"),
            ("", Some(role)) => Reply::new(200, role),
            (asked, Some(role)) => {
                assert_eq!(asked, role);
                let id = format!("ASIA{}", state.asked);
                state.asked += 1;
                Reply::new(200, json(&id, state.expires.unwrap()))
            }
        }
    }
}

fn start(role: Option<&'static str>) -> (Metadata, Peer) {
    let metadata = Metadata::default();
    metadata.0.lock().role = role;
    metadata.0.lock().expires = Some(NOW.saturating_add(HOUR));
    let answers = metadata.clone();
    (metadata, Peer::start(move |_, request| Play::Answer(answers.answer(request))))
}

#[tokio::test]
async fn opens_a_session_and_a_new_one_when_it_is_not_known_any_more() {
    let (metadata, peer) = start(Some("node"));
    let clock = clock();
    let source = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &peer.url())], &clock);
    assert_eq!(key(&source).await, "ASIA0");
    assert_eq!(peer.received().len(), 3);
    metadata.0.lock().expires = Some(NOW.saturating_add(HOUR * 2));
    clock.advance(HOUR - Duration::from_secs(200));
    assert_eq!(key(&source).await, "ASIA1");
    assert_eq!(peer.received().len(), 5, "the session goes on");
    // The machine restarts: sessions are gone.
    metadata.0.lock().sessions += 1;
    metadata.0.lock().expires = Some(NOW.saturating_add(HOUR * 3));
    clock.advance(HOUR);
    assert_eq!(key(&source).await, "ASIA2");
    assert_eq!(metadata.0.lock().sessions, 3);
}

#[tokio::test]
async fn the_same_credentials_again_are_not_asked_for_all_the_time() {
    let (_metadata, peer) = start(Some("node"));
    let clock = clock();
    let source = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &peer.url())], &clock);
    assert_eq!(key(&source).await, "ASIA0");
    clock.advance(HOUR - Duration::from_secs(200));
    assert_eq!(key(&source).await, "ASIA1");
    for _ in 0..10 {
        assert_eq!(key(&source).await, "ASIA1");
    }
    clock.advance(Duration::from_secs(200));
    let told = told(&source).await;
    assert!(told.ends_with("the AWS credentials that were given have expired already"), "{told}");
}

#[tokio::test]
async fn tells_why_the_machine_has_none() {
    let (_metadata, peer) = start(None);
    let source = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &peer.url())], &clock());
    assert!(told(&source).await.ends_with(&format!("instance: {}: this machine has no role", peer.url())));
    let nobody = Peer::nobody();
    let told = told(&chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &nobody)], &clock())).await;
    assert!(told.contains(&format!("instance: {nobody}: ")), "{told}");
    assert!(
        told.ends_with("(not a machine of EC2, or one whose metadata allows no hop into a container)"),
        "{told}"
    );
}

#[tokio::test]
async fn a_service_that_accepts_and_never_answers_is_given_up() {
    let peer = Peer::start(|_, _| Play::Silence);
    let told = told(&chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &peer.url())], &clock())).await;
    assert!(told.contains(&format!("instance: {}: no answer in time (not a machine", peer.url())), "{told}");
}
