use proptest::prelude::*;

use super::*;

mod harmless;

const PERSONAL: [Kind; 4] = [Kind::Email, Kind::CardNumber, Kind::ResidentNumber, Kind::PhoneNumber];

fn credentials() -> Masker {
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !PERSONAL.contains(kind)).collect();
    Masker::new(&kinds, Vec::new(), "[masked:{kind}]")
}

fn mask_with(masker: &Masker, text: &str) -> String {
    let mut counts = vec![0; masker.kinds()];
    masker.mask(text, &mut counts).unwrap_or_else(|| text.to_owned())
}

fn check(text: &str) -> String {
    mask_with(&credentials(), text)
}

fn check_all<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    lines.into_iter().map(|line| format!("{}\n", check(line))).collect()
}

#[test]
fn masks_values_by_their_names() {
    insta::assert_snapshot!(check_all([
        "password=hunter2 user=x",
        "password: hunter2",
        "Password = \"hunter2\" next",
        r#"{"password":"hun\"ter\\","x":1}"#,
        r#"{"password" : 12345, "x":1}"#,
        r#"{"a":"{\"password\":\"hun\\\"ter2\",\"b\":12}","api_key":"abcdefgh1"}"#,
        r#"{"a":"{\"password\":123,\"b\":12}"}"#,
        r#"{"passwd":["a","b, c"],"x":["y"]}"#,
        r#"msg="login" DB_PASSWORD='a b c' x=1"#,
        "mysql --password hunter2 --user x",
        "mysql --password=hunter2 --user x",
        "<password>hunter2</password><user>x</user>",
        "url?client_secret=abc&user=x",
        "url?a=1&access_token=abcdefgh1&user=x",
        "Server=db;Uid=x;Pwd=hunter2;Database=y",
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=abc/def+ghi==;EndpointSuffix=y",
        ":password=>\"hunter2\", :user=>\"x\"",
        "{password:hunter2 user:x}",
        "비밀번호: 1q2w3e4r!",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "token=abcdefabcdef1234 rest",
        "X-Api-Key: abcdefgh12345 rest",
        "password=\"never closed",
    ]), @r##"
    password=[masked:password] user=x
    password: [masked:password]
    Password = "[masked:password]" next
    {"password":"[masked:password]","x":1}
    {"password" : "[masked:password]", "x":1}
    {"a":"{\"password\":\"[masked:password]\",\"b\":12}","api_key":"[masked:password]"}
    {"a":"{\"password\":\"[masked:password]\",\"b\":12}"}
    {"passwd":["[masked:password]","[masked:password]"],"x":["y"]}
    msg="login" DB_PASSWORD='[masked:password]' x=1
    mysql --password [masked:password] --user x
    mysql --password=[masked:password] --user x
    <password>[masked:password]</password><user>x</user>
    url?client_secret=[masked:password]&user=x
    url?a=1&access_token=[masked:password]&user=x
    Server=db;Uid=x;Pwd=[masked:password];Database=y
    DefaultEndpointsProtocol=https;AccountName=x;AccountKey=[masked:password];EndpointSuffix=y
    :password=>"[masked:password]", :user=>"x"
    {password:[masked:password] user:x}
    비밀번호: [masked:password]
    aws_secret_access_key = [masked:password]
    token=[masked:password] rest
    X-Api-Key: [masked:password] rest
    password="[masked:password]
    "##);
}

#[test]
fn masks_what_is_known_by_its_form() {
    insta::assert_snapshot!(check_all([
        "key AKIAIOSFODNN7EXAMPLE end",
        "AKIAIOSFODNN7EXAMPLE,wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY end",
        "x AIzaSyA0123456789abcdefghijklmnopqrstuvw y",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345.",
        "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx ok",
        "(eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U)",
        "Authorization: Bearer abc.def",
        r#"{"Authorization":"Basic dXNlcjpwYXNz","x":1}"#,
        r#"{"Authorization":["Bearer abcdef"],"x":1}"#,
        r#"{"m":"{\"Authorization\":\"Digest username=\\\"a\\\", response=\\\"b\\\"\"}","x":1}"#,
        "map[Authorization:[Bearer abcdef] Accept:[*/*]]",
        "curl -H 'authorization: token abcdef' -v",
        "got bearer 0123456789abcdef here",
        "postgres://user:pa:ss@host:5432/db",
        "postgres://user:pa/ss@host:5432/db",
        "https://0123456789abcdef0123@host/x",
        "user:pa@ss@tcp(db:3306)/x",
        r#"{"u":"https:\/\/user:pass@host\/x"}"#,
        "https://x.blob.core.windows.net/c?sv=2022&sig=abcdefghij0123456789abcdefghij0123456789abc%3D&se=x",
        "abc8Q~0123456789abcdefghijABCDEFGHIJ0123 x",
        "cut off ghp_0123456789",
        "cut off …[12 bytes cut]… and Bearer eyJhbGciOiJI",
    ]), @r##"
    key [masked:aws_key] end
    [masked:aws_key],[masked:aws_key] end
    x [masked:gcp_key] y
    [masked:service_token].
    [masked:service_token] ok
    ([masked:jwt])
    Authorization: Bearer [masked:bearer_token]
    {"Authorization":"Basic [masked:bearer_token]","x":1}
    {"Authorization":["Bearer [masked:bearer_token]"],"x":1}
    {"m":"{\"Authorization\":\"Digest [masked:bearer_token]\"}","x":1}
    map[Authorization:[Bearer [masked:bearer_token]] Accept:[*/*]]
    curl -H 'authorization: token [masked:bearer_token]' -v
    got bearer [masked:bearer_token] here
    postgres://user:[masked:url_password]@host:5432/db
    postgres://user:[masked:url_password]@host:5432/db
    https://[masked:url_password]@host/x
    user:[masked:url_password]@tcp(db:3306)/x
    {"u":"https:\/\/user:[masked:url_password]@host\/x"}
    https://x.blob.core.windows.net/c?sv=2022&sig=[masked:azure_key]&se=x
    [masked:azure_key] x
    cut off [masked:service_token]
    cut off …[12 bytes cut]… and Bearer [masked:bearer_token]
    "##);
}

#[test]
fn leaves_prose_and_names_alone() {
    for line in [
        "Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2",
        "Invalid password: too short",
        "token: unexpected",
        "max_tokens=4096 total_tokens=123456789012",
        "nextPageToken=abcdef1234567890abcdef",
        "secret=\"my-app-tls-1a2b3c4d\"",
        "MountVolume.SetUp succeeded for volume \"default-token-x2k9f\"",
        "PWD=/root ; USER=root",
        "password=**** user=x",
        "password=${DB_PASSWORD}",
        "password=<redacted>",
        "password: null",
        "{\"password\":null,\"token\":\"\"}",
        "--authorization-mode=Node,RBAC",
        "https://host:8080/@scope/package",
        "https://user@host/x",
        "https://host/a:b@c and https://host?x=a:b@c",
        "disk-0123456789abcdefABCDEFGHIJ0123456789abcdef",
        "-----BEGIN CERTIFICATE-----\nMIIBhTCCASugAwIBAgIQIRi6zePL6mKjOipn\n-----END CERTIFICATE-----",
        "the bearer authentication scheme",
        "bypass=1234567890abcdef",
    ] {
        assert_eq!(check(line), line);
    }
}

const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,1\n\n\
    MIIEowIBAAKCAQEAxU0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ\nKLMNOPQRSTUVWXYZ0123456789+/abcdefghijklmnopqrstuvwxyzABCDEFGHIJ\n\
    Zm9vYmFy==\n-----END RSA PRIVATE KEY-----";

#[test]
fn masks_private_keys() {
    assert_eq!(check(KEY), "[masked:private_key]");
    assert_eq!(check(&format!("a {KEY} b")), "a [masked:private_key] b");
    let json = serde_json::json!({"private_key": KEY, "x": 1}).to_string();
    assert_eq!(check(&json), r#"{"private_key":"[masked:private_key]","x":1}"#);
    let twice = serde_json::json!({"m": json}).to_string();
    assert_eq!(check(&twice), r#"{"m":"{\"private_key\":\"[masked:private_key]\",\"x\":1}"}"#);
    // Cut off on either side.
    let (head, tail) = KEY.split_at(150);
    assert_eq!(check(&format!("a {head}")), "a [masked:private_key]");
    assert_eq!(check(&format!("a {head}…[12 bytes cut]…{tail} b")), "a [masked:private_key] b");
    assert_eq!(check(&format!("…[12 bytes cut]…{tail} b")), "…[12 bytes cut]…[masked:private_key] b");
    let mut packed = String::new();
    crate::text::base64(KEY.as_bytes(), &mut packed);
    assert_eq!(check(&format!("client-key-data: {packed}")), "client-key-data: [masked:private_key]");
    assert!(leaves_key_open(head) && !leaves_key_open(KEY));
    assert!(KEY.lines().skip(1).all(continues_key));
}

#[test]
fn masks_personal_data_by_choice() {
    let masker = Masker::new(&PERSONAL, Vec::new(), "<{kind}>");
    let lines = [
        "to kim.min-su+x@shop.example.co.kr, ok",
        "card 4111 1111 1111 1111 and 4111111111111112",
        "amex 378282246310005, id 1795176000123",
        "rrn 900101-1234568 or 9001011234568 or 901301-1234567",
        "rrn new 210315-3123456 but 2103153123456",
        "call 010-1234-5678, 01012345678, 02-123-4567 or +82 10 1234 5678.",
        "not 2026-11-20 12:00:00.123456789 nor 10.0.0.1 nor 0101234567890 nor a010-1234-5678",
        "user@host git@github.com:x/y a@b.c1",
        "1 010-1234-5678 2 900101-1234568 2026-11-20 4111-1111-1111-1111 12",
    ];
    let masked: String = lines.iter().map(|line| format!("{}\n", mask_with(&masker, line))).collect();
    insta::assert_snapshot!(masked, @r##"
    to <email>, ok
    card <card_number> and 4111111111111112
    amex <card_number>, id 1795176000123
    rrn <resident_number> or <resident_number> or 901301-1234567
    rrn new <resident_number> but 2103153123456
    call <phone_number>, <phone_number>, <phone_number> or <phone_number>.
    not 2026-11-20 12:00:00.123456789 nor 10.0.0.1 nor 0101234567890 nor a010-1234-5678
    user@host <email>:x/y a@b.c1
    1 <phone_number> 2 <resident_number> 2026-11-20 <card_number> 12
    "##);
}

#[test]
fn masks_own_patterns_and_counts() {
    let own =
        ["emp-\\d+", "ticket (?<secret>\\d+)"].map(|text| (text[..3].to_owned(), Regex::new(text).unwrap()));
    let masker = Masker::new(&[Kind::Password], own.into(), "***{kind}***");
    let mut counts = vec![0; masker.kinds()];
    let masked = masker.mask("emp-12 ticket 34 password=emp-56 emp-7", &mut counts).unwrap();
    assert_eq!(masked, "***emp*** ticket ***tic*** password=***password*** ***emp***");
    assert_eq!(
        (counts[Kind::Password.index()], counts[Kind::Own(0).index()], counts[Kind::Own(1).index()]),
        (1, 2, 1)
    );
    assert_eq!(masker.mask("key AKIAIOSFODNN7EXAMPLE", &mut counts), None, "not wanted");
}

#[test]
fn names_tell_secrets() {
    let masker = credentials();
    assert_eq!(masker.by_name("db.password", "hunter2"), Some(Kind::Password));
    assert_eq!(masker.by_name("usage.tokens", "123456789012a"), None);
    assert_eq!(masker.by_name("password", "[masked:password]"), None);
    assert_eq!(masker.by_name("password", ""), None);
}

/// Forms of secrets, as regular expressions; what is in the group must not survive.
const SECRETS: &[&str] = &[
    "AKIA[A-Z2-7]{16}",
    "AIza[0-9A-Za-z_-]{35}",
    "ghp_[0-9A-Za-z]{36}",
    "github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}",
    "glpat-[0-9A-Za-z_-]{20}",
    "xoxb-[0-9]{12}-[0-9]{12}-[0-9A-Za-z]{24}",
    "sk_live_[0-9A-Za-z]{24}",
    "npm_[0-9A-Za-z]{36}",
    "eyJ[0-9A-Za-z]{20,40}\\.eyJ[0-9A-Za-z_-]{20,60}\\.[0-9A-Za-z_-]{43}",
];

/// Names of secrets; the value may be anything.
const NAMES: &[&str] =
    &["password", "DB_PASSWORD", "client_secret", "user.passwd", "spring.datasource.password", "secretKey"];

fn secret() -> impl Strategy<Value = String> {
    prop::sample::select(SECRETS).prop_flat_map(|form| prop::string::string_regex(form).unwrap())
}

/// How a text is put into another.
fn wrapped(text: &str, way: usize) -> String {
    match way {
        0 => text.to_owned(),
        1 => serde_json::json!({"message": text, "n": 1}).to_string(),
        2 => serde_json::json!({"log": wrapped(text, 1), "a": ["b"]}).to_string(),
        3 => format!("2026-11-20 ERROR {text}"),
        _ => format!("{text} and so on"),
    }
}

fn is_json_if_it_was(text: &str, masked: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_err()
        || serde_json::from_str::<serde_json::Value>(masked).is_ok()
}

proptest! {
    #[test]
    fn no_known_form_survives(secret in secret(), way in 0usize..5, before in "([a-z]{1,8}[ :=(\"'])?", after in "([ ,;)\"'.][a-z]{1,8})?") {
        let text = wrapped(&format!("{before}{secret}{after}"), way);
        let masked = check(&text);
        prop_assert!(!masked.contains(&secret), "{text} -> {masked}");
        prop_assert!(is_json_if_it_was(&text, &masked), "{text} -> {masked}");
        prop_assert_eq!(check(&masked), masked);
    }

    #[test]
    fn no_quoted_value_survives(name in prop::sample::select(NAMES), value in "[A-Za-z0-9가-힣][ -~가-힣]{5,29}", way in 0usize..5) {
        prop_assume!(check(&value) == value);
        let text = wrapped(&serde_json::json!({name: value, "b": "c"}).to_string(), way);
        let masked = check(&text);
        let inner = serde_json::json!(value).to_string();
        prop_assert!(!masked.contains(inner.trim_matches('"')), "{text} -> {masked}");
        prop_assert!(is_json_if_it_was(&text, &masked), "{text} -> {masked}");
        prop_assert_eq!(check(&masked), masked);
    }

    #[test]
    fn no_bare_value_survives(name in prop::sample::select(NAMES), value in "[!@#%^*+~?]?[A-Za-z0-9]{4}[A-Za-z0-9!@#%^*_+~.,;/?-]{2,20}", way in 0usize..5, sep in prop::sample::select(&["=", ": ", " = ", ":"][..])) {
        prop_assume!(check(&value) == value);
        let text = wrapped(&format!("x=1 {name}{sep}{value} y=2"), way);
        let masked = check(&text);
        prop_assert!(!masked.contains(&value), "{text} -> {masked}");
        prop_assert!(is_json_if_it_was(&text, &masked), "{text} -> {masked}");
        prop_assert_eq!(check(&masked), masked);
    }

    #[test]
    fn numbers_in_json_stay_json(name in prop::sample::select(NAMES), value in any::<u32>(), way in 0usize..3) {
        let text = wrapped(&serde_json::json!({name: value, "b": 1}).to_string(), way);
        let masked = check(&text);
        prop_assert!(!masked.contains(&format!("{value},")), "{text} -> {masked}");
        prop_assert!(is_json_if_it_was(&text, &masked), "{text} -> {masked}");
    }

    #[test]
    fn private_keys_survive_no_cut(from in 0usize..KEY.len(), len in 0usize..KEY.len(), way in 0usize..3) {
        let part = &KEY[from..(from + len).min(KEY.len())];
        let text = wrapped(part, way);
        let masked = check(&text);
        prop_assert!(is_json_if_it_was(&text, &masked), "{text} -> {masked}");
        // A piece without its first and last line tells nobody that it is a key.
        let tells = part.contains("-----BEGIN RSA PRIVATE KEY-----") || part.contains("-----END RSA PRIVATE KEY-----");
        if tells {
            for word in part.split('\n').filter(|line| line.len() == 64) {
                prop_assert!(!masked.contains(word), "{text} -> {masked}");
            }
        }
    }

    #[test]
    fn nothing_panics(text in "(AKIA|eyJ|password|token|://|@tcp\\(|-----BEGIN |-----END |uthorization|Bearer |sig=|8Q~|LS0tLS1CRUdJTi|@|010-|[\"'\\\\{}\\[\\]=:<> .-]|PRIVATE KEY-----|[a-z0-9]{1,20}|\\PC){0,24}") {
        let masker = Masker::new(&Kind::ALL, Vec::new(), "[masked:{kind}]");
        let masked = mask_with(&masker, &text);
        let _ = mask_with(&masker, &masked);
        let mut hits = Vec::new();
        masker.find(&text, &mut hits);
        prop_assert!(hits.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
        let _ = (leaves_key_open(&text), continues_key(&text));
    }
}

proptest! {
    /// Texts of which a longer one is made of are masked as they are alone, in whatever order they are asked for.
    #[test]
    fn a_part_of_a_marked_text_is_masked_as_it_is_alone(
        parts in prop::collection::vec(
            "(AKIAIOSFODNN7EXAMPLE|password=|hunter2|eyJ|://|u:p@h|-----BEGIN RSA PRIVATE KEY-----|Bearer |a@b\\.kr|sk-|[a-zA-Z0-9: /\\n]){0,6}",
            1..12,
        ),
        cuts in prop::collection::vec(0_usize..40, 12),
        personal in any::<bool>(),
    ) {
        let kinds = if personal { Kind::ALL.to_vec() } else { Kind::ALL[..9].to_vec() };
        let masker = Masker::new(&kinds, Vec::new(), "[{kind}]");
        let all = parts.concat();
        let mut marks = Marks::default();
        masker.mark(&all, &mut marks);
        let mut ranges = Vec::new();
        let mut at = 0;
        for cut in cuts {
            let end = all.ceil_char_boundary((at + cut).min(all.len()));
            ranges.push(at..end);
            at = end;
        }
        let backwards = ranges.clone().into_iter().rev();
        for range in ranges.clone().into_iter().chain(backwards) {
            let text = &all[range.clone()];
            let (mut counts, mut alone) = (vec![0; masker.kinds()], vec![0; masker.kinds()]);
            let marked = masker.mask_marked(text, range, &mut marks, &mut counts);
            prop_assert_eq!(marked, masker.mask(text, &mut alone), "{}", text);
            prop_assert_eq!(counts, alone);
        }
    }
}
