//! EKS Pod Identity: an agent on this machine and a token in a file.

use super::*;

#[tokio::test]
async fn asks_the_agent_with_the_token_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", &format!("{SECRET}.one"));
    let clock = clock();
    let shown = clock.clone();
    let peer = Peer::start(move |number, request| {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/v1/credentials"));
        let expected = format!("{SECRET}.{}", if number == 0 { "one" } else { "two" });
        if request.header("authorization") != Some(&expected) {
            return Play::Answer(Reply::new(403, r#"{"code":"InvalidToken"}"#));
        }
        let expires = shown.now().saturating_add(HOUR * 6);
        Play::Answer(Reply::new(200, json(&format!("ASIA{number}"), expires)))
    });
    let address = format!("{}/v1/credentials", peer.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the file comes first"),
    ];
    let source = chain(&variables, &clock);
    assert_eq!(key(&source).await, "ASIA0");
    std::fs::write(&token, format!("{SECRET}.two\n")).unwrap();
    clock.advance(HOUR * 6 - Duration::from_secs(290));
    assert_eq!(key(&source).await, "ASIA1");
    assert_eq!(peer.received().len(), 2);
}

#[tokio::test]
async fn old_credentials_serve_while_the_agent_is_away() {
    let clock = clock();
    let expires = clock.now().saturating_add(HOUR);
    let peer = Peer::start(move |number, _| match number {
        0 => Play::Answer(Reply::new(200, json("ASIA0", expires))),
        1 => Play::Answer(Reply::new(500, "the agent restarts")),
        _ => Play::Answer(Reply::new(200, format!(r#"{{"AccessKeyId":"{SECRET}"}}"#))),
    });
    let address = format!("{}/x", peer.url());
    let source = chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address)], &clock);
    assert_eq!(key(&source).await, "ASIA0");
    clock.advance(HOUR - Duration::from_secs(100));
    assert_eq!(key(&source).await, "ASIA0");
    assert_eq!(peer.received().len(), 2);
    clock.advance(Duration::from_secs(100));
    let told = told(&source).await;
    assert!(told.ends_with(&format!("container: {}: the answer has no credentials", peer.url())), "{told}");
}

#[tokio::test]
async fn a_foreign_address_is_not_given_the_token() {
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://agent.example/v1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET),
    ];
    let told = told(&chain(&variables, &clock())).await;
    let expected = "container: AWS_CONTAINER_CREDENTIALS_FULL_URI names http://agent.example, which is neither https nor \
                    an address of this machine";
    assert!(told.ends_with(expected), "{told}");
}

#[tokio::test]
async fn a_token_with_a_line_feed_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", &format!("a\r\nX-Evil: {SECRET}"));
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let told = told(&chain(&variables, &clock())).await;
    assert!(told.ends_with("the authorization token has characters that cannot stand in a header"), "{told}");
}
