//! Harmless text of real programs must stay as it is.

use super::*;

/// At most one line in so many may be touched that has no secret.
const LINES_PER_FALSE_ALARM_MIN: usize = 10_000;

/// Places in the data that do have secrets, or are made to look so.
const WITH_SECRETS: &[&str] = &[
    // Signed requests of AWS' test suite.
    "Authorization: AWS4-HMAC-SHA256 ",
    "X-Amz-Security-Token:",
    "x-amz-security-token:",
    // Requests of real clients.
    "\"authorization\": \"Basic ",
    "\"authorization\": \"ApiKey ",
    // The kubelet tells the default of a password.
    "--storage-driver-password=",
];

#[test]
fn harmless_lines_are_left_alone() {
    check(&credentials());
}

#[test]
fn harmless_numbers_are_left_alone() {
    check(&Masker::new(
        &[Kind::CardNumber, Kind::ResidentNumber, Kind::PhoneNumber],
        Vec::new(),
        "[masked:{kind}]",
    ));
}

fn check(masker: &Masker) {
    let Some(folder) = sawyer_testkit::shared("data") else { return };
    let mut counts = vec![0; masker.kinds()];
    let (mut lines, mut touched) = (0, Vec::new());
    for bytes in crate::testing::files_below(&folder) {
        for line in bytes.split(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            lines += 1;
            if let Some(masked) = masker.mask(&text, &mut counts) {
                touched.push(masked);
            }
        }
    }
    touched.retain(|line| !WITH_SECRETS.iter().any(|known| line.contains(known)));
    eprintln!("{} of {lines} harmless lines are touched", touched.len());
    assert!(touched.len() * LINES_PER_FALSE_ALARM_MIN <= lines, "{} of {lines}: {touched:#?}", touched.len());
}
