use std::cmp::Reverse;

use super::*;

#[test]
fn siblings_are_known_by_their_names() {
    let numbered = |n| Rotation::Numbered(Reverse(n));
    for (pattern, name, expected) in [
        ("*.log", "app.log", Some(("app.log", Rotation::Live, false))),
        ("*.log", "app.log.2.gz", Some(("app.log", numbered(2), true))),
        ("*.log", "app.log-20261120", Some(("app.log", Rotation::Dated("20261120".into()), false))),
        ("*.log", "app-1.log", Some(("app-1.log", Rotation::Live, false))),
        ("*.log", "app.log.gz", None),
        ("*.log", ".app.log", None),
        ("syslog*", "syslog.1", Some(("syslog", numbered(1), false))),
        ("*", "wtmp", Some(("wtmp", Rotation::Live, false))),
    ] {
        assert_eq!(parse_name(pattern, name), expected, "{pattern} {name}");
    }
}
