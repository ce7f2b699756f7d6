//! Secrets of all kinds, made by chance.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sawyer_testkit::Dice;

/// A secret as it stands in a log.
pub(crate) struct Secret {
    pub(crate) kind: &'static str,
    /// With the name or frame by which it is known; may have several lines.
    pub(crate) text: String,
    /// What nobody may see.
    pub(crate) cores: Vec<Core>,
}

pub(crate) struct Core {
    pub(crate) text: String,
    /// Whether any part of it that is long enough stands nowhere else; else only the whole is searched.
    pub(crate) is_random: bool,
}

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const DIGITS: &str = "0123456789";
const WORD: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// A secret of the kind with this number; the numbers go round.
pub(crate) fn secret(number: usize, dice: &mut Dice) -> Secret {
    const KINDS: [fn(&mut Dice) -> Secret; 14] = [
        marked,
        marked,
        aws,
        jwt,
        bearer,
        password,
        password,
        url,
        private_key,
        private_key,
        email,
        card,
        resident,
        phone,
    ];
    // Every kind comes with every way of standing in a log.
    KINDS[(number / 16 + number) % KINDS.len()](dice)
}

fn random(kind: &'static str, core: String, text: impl Fn(&str) -> String) -> Secret {
    Secret { kind, text: text(&core), cores: vec![Core { text: core, is_random: true }] }
}

fn fixed(kind: &'static str, text: String) -> Secret {
    Secret { kind, cores: vec![Core { text: text.clone(), is_random: false }], text }
}

/// Keys that say whose they are.
fn marked(dice: &mut Dice) -> Secret {
    let forms: [(&'static str, &str, usize); 16] = [
        ("github", "ghp_", 36),
        ("github", "gho_", 36),
        ("github", "ghs_", 36),
        ("gitlab", "glpat-", 20),
        ("google", "AIza", 35),
        ("google oauth", "ya29.a0", 60),
        ("google client", "GOCSPX-", 28),
        ("stripe", "sk_live_", 24),
        ("stripe", "rk_live_", 24),
        ("npm", "npm_", 36),
        ("hugging face", "hf_", 34),
        ("digitalocean", "dop_v1_", 64),
        ("slack", "xoxb-", 0),
        ("slack webhook", "https://hooks.slack.com/services/", 0),
        ("sendgrid", "SG.", 0),
        ("pypi", "pypi-AgEIcHlwaS5vcmc", 60),
    ];
    let (kind, mark, len) = forms[dice.below(forms.len() as u64) as usize];
    match kind {
        "slack" => {
            let numbers = format!("{}-{}-", dice.text(DIGITS, 12), dice.text(DIGITS, 12));
            random(kind, dice.text(ALNUM, 24), |core| format!("{mark}{numbers}{core}"))
        }
        "slack webhook" => {
            let ids = format!("T{}/B{}/", dice.text(UPPER, 9), dice.text(UPPER, 9));
            random(kind, dice.text(ALNUM, 24), |core| format!("{mark}{ids}{core}"))
        }
        "sendgrid" => {
            let id = dice.text(ALNUM, 22);
            random(kind, dice.text(ALNUM, 43), |core| format!("{mark}{id}.{core}"))
        }
        // Parts of a hexadecimal number may stand anywhere.
        "digitalocean" => fixed(kind, format!("{mark}{}", dice.text("0123456789abcdef", len))),
        _ => random(kind, dice.text(ALNUM, len), |core| format!("{mark}{core}")),
    }
}

fn aws(dice: &mut Dice) -> Secret {
    if dice.below(2) == 0 {
        let mark = dice.one_of(&["AKIA", "ASIA"]);
        return random("aws key", dice.text(UPPER, 16), |core| format!("{mark}{core}"));
    }
    let name = dice.one_of(&["aws_secret_access_key=", "AWS_SECRET_ACCESS_KEY: ", "secretAccessKey="]);
    random("aws secret", dice.text(ALNUM, 40), |core| format!("{name}{core}"))
}

fn jwt(dice: &mut Dice) -> Secret {
    let payload = format!("{{\"sub\":\"{}\",\"iat\":1795176000}}", dice.text(ALNUM, 30));
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
    let signature = dice.text(ALNUM, 43);
    Secret {
        kind: "jwt",
        text: format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{payload}.{signature}"),
        cores: vec![
            Core { text: payload[12..48].to_owned(), is_random: true },
            Core { text: signature, is_random: true },
        ],
    }
}

fn bearer(dice: &mut Dice) -> Secret {
    let frame = dice.one_of(&["Authorization: Bearer ", "authorization=Bearer ", "sent Bearer "]);
    let core = dice.text(ALNUM, 40);
    if dice.below(3) > 0 {
        return random("bearer", core, |core| format!("{frame}{core}"));
    }
    let encoded = STANDARD.encode(format!("user:{core}"));
    Secret {
        kind: "basic",
        text: format!("Authorization: Basic {encoded}"),
        cores: vec![Core { text: encoded[8..].to_owned(), is_random: true }],
    }
}

fn password(dice: &mut Dice) -> Secret {
    let len = 12 + dice.below(16) as usize;
    let core = format!("{}{}", dice.text(ALNUM, 8), dice.text(&format!("{ALNUM}!#%_."), len));
    // A stop at the end may be one of the sentence.
    let core = format!("{}x", core.trim_end_matches(['.', '!']));
    let name =
        dice.one_of(&["password=", "DB_PASSWORD=", "client_secret=", "api_key=", "passwd: ", "--password "]);
    random("password", core, |core| format!("{name}{core}"))
}

fn url(dice: &mut Dice) -> Secret {
    let scheme = dice.one_of(&["https", "postgres", "redis", "amqp", "mongodb+srv"]);
    random("url", dice.text(ALNUM, 20), |core| format!("{scheme}://app:{core}@db.shop.svc/x"))
}

/// A private key in PEM, over many lines, or in base64 as in a Secret of Kubernetes.
fn private_key(dice: &mut Dice) -> Secret {
    let name = dice.one_of(&["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"]);
    let lines: Vec<String> = (0..4 + dice.below(20)).map(|_| dice.text(ALNUM, 64)).collect();
    let pem = format!("-----BEGIN {name}-----\n{}\n-----END {name}-----", lines.join("\n"));
    if dice.below(4) == 0 {
        let text = STANDARD.encode(pem);
        let core = Core { text: text[60..text.len() - 60].to_owned(), is_random: true };
        return Secret { kind: "private key in base64", text, cores: vec![core] };
    }
    let cores = lines.into_iter().map(|text| Core { text, is_random: true }).collect();
    Secret { kind: "private key", text: pem, cores }
}

fn email(dice: &mut Dice) -> Secret {
    let host = dice.one_of(&["example.com", "shop.co.kr", "mail.example.org"]);
    random("email", dice.text(WORD, 14), |core| format!("{core}@{host}"))
}

/// A card's number, with its check digit (ISO/IEC 7812-1, Luhn).
fn card(dice: &mut Dice) -> Secret {
    let mut digits: Vec<u64> =
        format!("4{}", dice.text(DIGITS, 14)).bytes().map(|b| u64::from(b - b'0')).collect();
    let doubled =
        |(at, digit): (usize, &u64)| if at % 2 == 0 { (digit * 2) / 10 + (digit * 2) % 10 } else { *digit };
    let sum: u64 = digits.iter().enumerate().map(doubled).sum();
    digits.push((10 - sum % 10) % 10);
    let digits: String = digits.iter().map(u64::to_string).collect();
    let separator = dice.one_of(&["", " ", "-"]);
    let groups: Vec<&str> = (0..4).map(|at| &digits[at * 4..at * 4 + 4]).collect();
    fixed("card", groups.join(separator))
}

fn resident(dice: &mut Dice) -> Secret {
    let born = format!("{:02}{:02}{:02}", 50 + dice.below(50), 1 + dice.below(12), 1 + dice.below(28));
    fixed("resident number", format!("{born}-{}{}", 1 + dice.below(2), dice.text(DIGITS, 6)))
}

fn phone(dice: &mut Dice) -> Secret {
    let number = dice.one_of(&["010-", "+82-10-"]);
    fixed("phone", format!("{number}{}{}-{}", 2 + dice.below(8), dice.text(DIGITS, 3), dice.text(DIGITS, 4)))
}
