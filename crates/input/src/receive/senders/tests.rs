use sawyer_config::{Document, Setting};

use super::*;

fn senders(text: &str) -> Result<Senders, String> {
    let document = Document::parse("sawyer.yaml", text).unwrap();
    let mut problems = Problems::new();
    let at = document.at();
    let plan = SendersSettings::read(&at, &mut problems)
        .and_then(|settings| settings.check(Says::Namespaces, &at, &mut problems));
    let plan = problems.into_result(plan).map_err(|problems| problems.to_string())?;
    Ok(plan.open("syslog", "in"))
}

fn peer(address: &str, certified: bool) -> Peer {
    Peer { address: address.parse().ok(), certified }
}

/// The name of who is admitted.
fn admit(senders: &Senders, address: &str) -> Option<String> {
    let admitted = senders.admit(peer(address, false))?;
    let client = admitted.sender.stream.get(CLIENT).cloned();
    Some(client.map_or("-".to_owned(), |name| format!("{name:?}")))
}

#[test]
fn only_this_machine_may_send_unless_told_otherwise() {
    let here = senders("").unwrap();
    assert!(admit(&here, "127.0.0.1").is_some() && admit(&here, "::ffff:127.0.0.1").is_some());
    assert!(admit(&here, "").is_some(), "over a path");
    assert!(admit(&here, "10.0.0.7").is_none() && here.admit(peer("10.0.0.7", true)).is_some());
    assert!(admit(&senders("allow_unauthenticated: true").unwrap(), "10.0.0.7").is_some());
}

#[test]
fn the_narrowest_network_tells_the_sender() {
    let senders = senders(
        "senders:\n  site: {networks: [10.0.0.0/8, '2001:db8::/32']}\n  rack: {networks: [10.1.2.0/24]}\n  one: {networks: \
         [10.1.2.3, '::1']}\n",
    )
    .unwrap();
    let named = |name: &str| Some(format!("Str({name:?})"));
    for (address, expected) in [
        ("10.255.0.1", named("site")),
        ("::ffff:10.9.9.9", named("site")),
        ("2001:db8:ffff::1", named("site")),
        ("10.1.2.255", named("rack")),
        ("10.1.3.0", named("site")),
        ("10.1.2.3", named("one")),
        ("::1", named("one")),
        ("127.0.0.1", Some("-".to_owned())),
        ("11.0.0.1", None),
        ("2001:db9::1", None),
    ] {
        assert_eq!(admit(&senders, address), expected, "{address}");
    }
    let all = self::senders("senders: {all: {networks: [0.0.0.0/0]}}").unwrap();
    assert_eq!((admit(&all, "200.1.1.1"), admit(&all, "2001:db8::1")), (named("all"), None));
    for network in ["::/0", "::/1", "::/95"] {
        let all = self::senders(&format!("senders: {{all: {{networks: ['{network}']}}}}")).unwrap();
        let told = ["200.1.1.1", "::ffff:200.1.1.1", "::5"].map(|address| admit(&all, address));
        assert_eq!(told, [None, None, named("all")], "{network}");
    }
}

#[test]
fn wrong_settings_are_told() {
    let wrong = "senders:\n  a: {networks: []}\n  b: {networks: [10.1.2.3/16, 10.0.0.0/33, x]}\n  c: {networks: [10.0.0.0/8]}\n  \
                 d: {networks: [10.0.0.0/8], namespaces: ['a*b']}\n";
    let told = senders(wrong).unwrap_err();
    let expected = "sawyer.yaml:2:7: senders.a.networks: expected networks, found none
sawyer.yaml:3:7: senders.b.networks: expected networks such as 10.1.0.0/16, or addresses, found `10.0.0.0/33`
sawyer.yaml:3:7: senders.b.networks: expected networks such as 10.1.0.0/16, or addresses, found `10.1.2.3/16`
sawyer.yaml:3:7: senders.b.networks: expected networks such as 10.1.0.0/16, or addresses, found `x`
sawyer.yaml:5:7: senders.d.networks: expected networks of its own, found `10.0.0.0/8` of `c`
sawyer.yaml:5:31: senders.d.namespaces: expected names of namespaces, with a `*` at the end at most";
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn each_address_has_a_rate_of_its_own_within_a_bound() {
    let senders = senders("allow_unauthenticated: true\nrecords_per_second: 1\n").unwrap();
    let address = |number: u32| std::net::Ipv4Addr::from_bits(number).to_string();
    let spent = |number: u32| {
        let admitted = senders.admit(peer(&address(number), false)).unwrap();
        let spent = admitted.rate.check().is_err();
        admitted.rate.charge(5, 0);
        spent
    };
    assert!(!spent(1) && spent(1) && !spent(2));
    for number in 3..=ADDRESSES_MAX as u32 {
        assert!(!spent(number));
    }
    assert!(!spent(1_000_001) && spent(1_000_002) && spent(1_000_003), "those beyond share one");
    tokio::time::advance(IDLE_MIN).await;
    assert!(!spent(2_000_001) && !spent(2_000_002), "those that were silent are forgotten");
    assert!(senders.addresses.lock().known.len() < 10);
}

#[tokio::test(start_paused = true)]
async fn addresses_of_one_network_of_ipv6_share_a_rate_with_each_sender() {
    let senders = senders(
        "allow_unauthenticated: true\nrecords_per_second: 1\nsenders: {one: {networks: ['2001:db8::1'], records_per_second: 1}}\n",
    )
    .unwrap();
    let spent = |address: &str| {
        let rate = senders.admit(peer(address, false)).unwrap().rate;
        let spent = rate.check().is_err();
        rate.charge(5, 0);
        spent
    };
    assert!(!spent("2001:db8::2") && spent("2001:db8::ffff:2") && !spent("2001:db8:0:1::2"));
    assert!(!spent("2001:db8::1"), "a sender in it has its own");
    assert!(!spent("10.0.0.1") && !spent("10.0.0.2") && spent("::ffff:10.0.0.1"));
}
