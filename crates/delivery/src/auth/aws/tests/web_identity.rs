//! IRSA: STS and a token in a file.

use super::*;

#[tokio::test]
async fn assumes_the_role_with_the_token_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", &format!("{SECRET}.one\n"));
    let clock = clock();
    let shown = clock.clone();
    let peer = Peer::start(move |number, request| {
        let form = form(request);
        assert_eq!((request.method.as_str(), form["Action"].as_str()), ("POST", "AssumeRoleWithWebIdentity"));
        assert_eq!(form["RoleArn"], "arn:aws:iam::1:role/pod");
        assert_eq!(form["RoleSessionName"], "me");
        assert!(request.header("authorization").is_none(), "the token is all it needs");
        let expected = format!("{SECRET}.{}", if number == 0 { "one" } else { "two" });
        match form["WebIdentityToken"] == expected {
            true => Play::Answer(assumed("AssumeRoleWithWebIdentity", &format!("ASIA{number}"), shown.now())),
            false => refused(400, "InvalidIdentityToken", "it is not the one"),
        }
    });
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_ROLE_SESSION_NAME", "me"),
        ("AWS_ENDPOINT_URL_STS", &peer.url()),
    ];
    let source = chain(&variables, &clock);
    assert_eq!(key(&source).await, "ASIA0");
    assert_eq!(key(&source).await, "ASIA0");
    // Kubernetes writes a new token, and later the credentials are about to expire.
    std::fs::write(&token, format!("{SECRET}.two")).unwrap();
    clock.advance(Duration::from_secs(56 * 60));
    assert_eq!(key(&source).await, "ASIA1");
    assert_eq!(peer.received().len(), 2);
}

#[tokio::test]
async fn failures_are_told_without_the_token_and_no_other_role_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", SECRET);
    let peer = Peer::start(|number, _| match number {
        0 => refused(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
        1 => Play::Answer(Reply::new(200, format!("<a>{SECRET}</a>"))),
        2 => Play::HangUp,
        _ => Play::Answer(Reply::new(503, "")),
    });
    let url = peer.url();
    let mut variables = vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ];
    let source = chain(&variables, &clock());
    let failed = "no AWS credentials: environment: AWS_ACCESS_KEY_ID is not set; web identity: \
                  assume the role arn:aws:iam::1:role/pod: ";
    let denied = format!("{url}: AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity");
    assert_eq!(told(&source).await, format!("{failed}{denied}"));
    assert_eq!(told(&source).await, format!("{failed}{url}: the answer has no credentials"));
    assert!(told(&source).await.starts_with(&format!("{failed}{url}: ")));
    assert_eq!(told(&source).await, format!("{failed}{url}: status 503: no text"));
    variables.retain(|(name, _)| *name != "AWS_ROLE_ARN");
    let without_role = told(&chain(&variables, &clock())).await;
    assert!(
        without_role.ends_with("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not")
    );
    std::fs::remove_file(&token).unwrap();
    assert!(told(&source).await.contains(&format!("read the token in {}: No such file", token.display())));
}

#[test]
fn sts_is_asked_in_the_region() {
    let sts = |region: &str| {
        let surroundings = Surroundings::of(&[]);
        let asker = Arc::new(ask::Asker::new(&surroundings));
        sts::Sts { surroundings, asker, region: region.to_owned(), clock: clock() }.endpoint()
    };
    assert_eq!(sts("ap-northeast-2"), "https://sts.ap-northeast-2.amazonaws.com/");
    assert_eq!(sts("cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn/");
}
