//! Profiles and the roles that they assume.

use super::*;

const CREDENTIALS: &str = "[default]\naws_access_key_id = AKID\naws_secret_access_key = s3cr3t\n\
    [other]\naws_access_key_id = OTHER\naws_secret_access_key = s3cr3t\n";

const CONFIG: &str = "[default]\nregion = ap-northeast-2\n\
    [profile logs]\nrole_arn = arn:aws:iam::2:role/logs\nsource_profile = middle\nexternal_id = ours\nregion = us-west-2\n\
    [profile middle]\nrole_arn = arn:aws:iam::2:role/middle\nsource_profile = default\n\
    [profile a]\nrole_arn = arn:aws:iam::2:role/a\nsource_profile = b\n\
    [profile b]\nrole_arn = arn:aws:iam::2:role/b\nsource_profile = a\n\
    [profile corp]\nsso_start_url = https://corp.example\n";

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        file(home.path(), ".aws/credentials", CREDENTIALS);
        file(home.path(), ".aws/config", CONFIG);
        Self(home)
    }

    fn with(&self, more: &[(&str, &str)]) -> Surroundings {
        let mut variables =
            vec![("HOME", self.0.path().to_str().unwrap()), ("AWS_EC2_METADATA_DISABLED", "true")];
        variables.extend_from_slice(more);
        Surroundings::of(&variables)
    }

    fn source(&self, more: &[(&str, &str)], clock: &Clock) -> Arc<dyn CredentialsSource> {
        source(None, None, None, "eu-west-1", &self.with(more), clock)
    }
}

#[tokio::test]
async fn the_default_profile_and_one_that_is_named() {
    let home = Home::new();
    assert_eq!(key(&home.source(&[], &clock())).await, "AKID");
    assert_eq!(key(&home.source(&[("AWS_PROFILE", "other")], &clock())).await, "OTHER");
    let region = |more: &[(&str, &str)], profile| region(None, profile, &home.with(more)).unwrap();
    assert_eq!(region(&[], None), "ap-northeast-2");
    assert_eq!(region(&[], Some("logs")), "us-west-2");
    assert_eq!(region(&[("AWS_REGION", "eu-central-1")], Some("logs")), "eu-central-1");
    let none = super::super::region(None, Some("corp"), &home.with(&[])).unwrap_err();
    assert_eq!(none.chain(), "no AWS region: set `region`, or AWS_REGION in the environment");
    let odd = super::super::region(Some("x.evil".to_owned()), None, &home.with(&[])).unwrap_err();
    assert_eq!(odd.chain(), "\"x.evil\" is not an AWS region");
}

#[tokio::test]
async fn a_profile_that_is_set_is_the_only_source() {
    let home = Home::new();
    let more = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let chosen = source(None, Some("other".to_owned()), None, "eu-west-1", &home.with(&more), &clock());
    assert_eq!(key(&chosen).await, "OTHER");
    let missing = source(None, Some("nobody".to_owned()), None, "eu-west-1", &home.with(&more), &clock());
    assert_eq!(told(&missing).await, "no AWS credentials: profile: there is no profile `nobody`");
}

#[tokio::test]
async fn keys_in_a_file_that_changes_are_read_again() {
    let home = Home::new();
    let clock = clock();
    let source = home.source(&[], &clock);
    assert_eq!(key(&source).await, "AKID");
    file(home.0.path(), ".aws/credentials", &CREDENTIALS.replace("AKID", "NEW"));
    assert_eq!(key(&source).await, "AKID");
    clock.advance(Duration::from_secs(300));
    assert_eq!(key(&source).await, "NEW");
    std::fs::remove_file(home.0.path().join(".aws/credentials")).unwrap();
    clock.advance(Duration::from_secs(300));
    assert_eq!(key(&source).await, "NEW", "there are no better ones");
}

#[tokio::test]
async fn roles_are_assumed_one_with_the_other() {
    let home = Home::new();
    let clock = clock();
    let shown = clock.clone();
    let peer = Peer::start(move |_, request| {
        let form = form(request);
        let signed = request.header("authorization").unwrap();
        let by = signed.split("Credential=").nth(1).unwrap().split('/').next().unwrap();
        let id = match (form["RoleArn"].as_str(), by, form.get("ExternalId").map(String::as_str)) {
            ("arn:aws:iam::2:role/middle", "AKID", None) => "MIDDLE",
            ("arn:aws:iam::2:role/logs", "MIDDLE", Some("ours")) => "LOGS",
            other => panic!("{other:?}"),
        };
        Play::Answer(assumed("AssumeRole", id, shown.now()))
    });
    let more = [("AWS_PROFILE", "logs"), ("AWS_ENDPOINT_URL_STS", &*peer.url())];
    assert_eq!(key(&home.source(&more, &clock)).await, "LOGS");
}

#[tokio::test]
async fn what_a_profile_cannot_do_is_told() {
    let home = Home::new();
    let told = async |profile: &str| told(&home.source(&[("AWS_PROFILE", profile)], &clock())).await;
    assert!(told("a").await.ends_with("its source profiles lead in a circle"));
    assert!(
        told("corp")
            .await
            .ends_with("profile: the profile `corp` uses IAM Identity Center, which is not supported")
    );
    assert!(told("nobody").await.ends_with("profile: there is no profile `nobody`"));
}
