use proptest::prelude::*;

use super::*;

/// 2026-11-20T12:00:00Z
const OBSERVED: Timestamp = Timestamp::from_secs(1_795_176_000);

fn read(text: &str) -> String {
    parse(text, OBSERVED).map_or_else(|| "none".to_owned(), |time| time.to_string())
}

#[track_caller]
fn check(text: &str, wanted: &str) {
    assert_eq!(read(text), wanted, "{text}");
}

#[test]
fn observed_is_what_it_says() {
    assert_eq!(OBSERVED.to_string(), "2026-11-20T12:00:00Z");
}

#[test]
fn reads_relatives_of_rfc_3339() {
    check("2024-06-01T12:34:56Z", "2024-06-01T12:34:56Z");
    check("2024-06-01T21:34:56.123456789+09:00", "2024-06-01T12:34:56.123456789Z");
    check("2024-06-01T12:34:56.1234567891234Z", "2024-06-01T12:34:56.123456789Z");
    check("2024-06-01 12:34:56,789", "2024-06-01T12:34:56.789Z");
    check("2024-06-01 12:34:56.789 UTC", "2024-06-01T12:34:56.789Z");
    check("2024-06-01 12:34:56 +0900", "2024-06-01T03:34:56Z");
    check("2024-06-01T12:34:56-03", "2024-06-01T15:34:56Z");
    check("2024/06/01 12:34:56", "2024-06-01T12:34:56Z");
    check("2024.06.01 12:34:56", "2024-06-01T12:34:56Z");
    check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z");
    check(" 2024-06-01T12:34:56Z ", "2024-06-01T12:34:56Z");
}

#[test]
fn reads_times_with_names_of_months() {
    check("20/Nov/2026:10:00:00 +0000", "2026-11-20T10:00:00Z");
    check("20/Nov/2026:10:00:00.123 -0500", "2026-11-20T15:00:00.123Z");
    check("Fri, 20 Nov 2026 10:00:00 GMT", "2026-11-20T10:00:00Z");
    check("Fri Nov 20 10:00:00 2026", "2026-11-20T10:00:00Z");
    check("Fri Nov 20 10:00:00.123456 2026", "2026-11-20T10:00:00.123456Z");
    check("20 Nov 2026 10:00:00.123", "2026-11-20T10:00:00.123Z");
    check("Nov  2 10:00:00", "2026-11-02T10:00:00Z");
}

#[test]
fn a_time_without_a_year_takes_the_nearest() {
    check("Dec 31 23:59:59", "2026-12-31T23:59:59Z");
    check("Jan  1 00:00:00", "2027-01-01T00:00:00Z");
    let new_year = Timestamp::parse("2027-01-01T00:00:01Z").unwrap();
    assert_eq!(parse("Dec 31 23:59:59", new_year), Timestamp::parse("2026-12-31T23:59:59Z").ok());
    let klog = klog_prefix(b"1231 23:59:59.000001  12 x", new_year);
    assert_eq!(klog, Timestamp::parse("2026-12-31T23:59:59.000001Z").ok().map(|time| (time, 20)));
    assert_eq!(parse("Feb 29 10:00:00", OBSERVED), None);
}

#[test]
fn epoch_numbers_are_told_apart_by_magnitude() {
    check("1717245296", "2024-06-01T12:34:56Z");
    check("1717245296123", "2024-06-01T12:34:56.123Z");
    check("1717245296123456", "2024-06-01T12:34:56.123456Z");
    check("1717245296123456789", "2024-06-01T12:34:56.123456789Z");
    check("1717245296.123456789", "2024-06-01T12:34:56.123456789Z");
    check("1717245296123.5", "2024-06-01T12:34:56.123500Z");
    assert_eq!(from_epoch_float(1_717_245_296.123_456), parse("1717245296.123456", OBSERVED));
}

#[test]
fn refuses_what_is_no_time() {
    for text in [
        "",
        "yesterday",
        "12",
        "2024",
        "2024-06-01",
        "12:34:56",
        "20240601",
        "1.5",
        "-1717245296",
        "17172452961.",
        "2024-13-01T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-06-01T24:00:00Z",
        "2024-06-01T12:34:56Zulu",
        "2024-06-01T12:34:56Z and more",
        "Nov 31 10:00:00",
        "32/Nov/2026:10:00:00 +0000",
        "Monday",
        "NaN",
        "inf",
        "9999999999999999999999",
        "2024-06-01T12:34:56.Z",
        "1717245296.",
        "12345678901.5.5",
    ] {
        check(text, "none");
    }
}

#[test]
fn a_prefix_ends_at_the_end_of_a_word() {
    let text = "2024-06-01 12:34:56,789 INFO start";
    assert_eq!(prefix(text, OBSERVED).map(|(_, length)| &text[length..]), Some(" INFO start"));
    assert_eq!(prefix("2024-06-01T12:34:56x", OBSERVED), None);
    assert_eq!(rfc3339_prefix(b"2024-06-01T12:34:56Z stdout").map(|(_, length)| length), Some(20));
    assert_eq!(rfc3339_prefix(b"2024-06-01 12:34:56Z"), None);
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        any::<i64>().prop_map(Timestamp::from_nanos),
        (0_i64..4_102_444_800_000).prop_map(Timestamp::from_millis),
        (0_i64..4_102_444_800).prop_map(Timestamp::from_secs),
    ]
}

proptest! {
    #[test]
    fn writes_as_the_model_prints(time in any_time()) {
        let mut out = Vec::new();
        write_rfc3339(time, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
    }

    #[test]
    fn writes_each_as_it_would_alone(times in prop::collection::vec((any_time(), 0..4_i64, 0..1_000_000_000_i64), 1..20)) {
        let mut writer = TimeWriter::default();
        for (time, seconds, nanos) in times {
            // Several of about the same second.
            for nanos in [0, nanos, seconds * 1_000_000_000 + nanos] {
                let time = Timestamp::from_nanos(time.nanos().saturating_add(nanos));
                let mut out = Vec::new();
                writer.write(time, &mut out);
                prop_assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
            }
        }
    }

    #[test]
    fn reads_what_it_writes(time in any_time()) {
        let text = time.to_string();
        prop_assert_eq!(parse(&text, OBSERVED), Some(time));
        prop_assert_eq!(rfc3339_prefix(text.as_bytes()), Some((time, text.len())));
    }

    #[test]
    fn agrees_with_the_model_on_rfc_3339(
        date in (1600_u32..2300, 0_u32..14, 0_u32..33), clock in (0_u32..26, 0_u32..61, 0_u32..60), offset in -23_i32..24,
    ) {
        let text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{:+03}:30", date.0, date.1, date.2, clock.0, clock.1, clock.2, offset,
        );
        let read = rfc3339_prefix(text.as_bytes()).map(|(time, _)| time);
        prop_assert_eq!(read, Timestamp::parse(&text).ok(), "{}", text);
    }

    #[test]
    fn every_format_reads_back(secs in 946_684_800_i64..4_102_444_800, nanos in 0_i64..1_000_000_000) {
        let time = Timestamp::from_nanos(secs * 1_000_000_000 + nanos);
        let whole = Timestamp::from_secs(secs);
        let zoned = time.to_jiff_text("%Y-%m-%d %H:%M:%S,%9f +0000");
        prop_assert_eq!(parse(&zoned, OBSERVED), Some(time));
        for format in ["%d/%b/%Y:%H:%M:%S +0000", "%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y", "%Y/%m/%d %H:%M:%S"] {
            let text = time.to_jiff_text(format);
            prop_assert_eq!(parse(&text, OBSERVED), Some(whole), "{}", text);
        }
        let short = time.to_jiff_text("%b %e %H:%M:%S");
        prop_assert_eq!(parse(&short, time), Some(whole), "{}", short);
        let klog = time.to_jiff_text("%m%d %H:%M:%S.%9f");
        prop_assert_eq!(klog_prefix(klog.as_bytes(), time), Some((time, klog.len())));
        prop_assert_eq!(from_epoch(time.nanos()), Some(time));
        prop_assert_eq!(from_epoch(time.millis()), Some(Timestamp::from_millis(time.millis())));
        prop_assert_eq!(from_epoch(secs), Some(whole));
    }

    #[test]
    fn the_usual_form_reads_as_any(
        nanos in any::<i64>(), places in 0_usize..12, at in 0_usize..33, byte in any::<u8>(), change in any::<bool>(),
        behind in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let time = Timestamp::from_nanos(nanos.rem_euclid(Timestamp::MAX.nanos())).to_jiff_text("%Y-%m-%dT%H:%M:%S.%9f00");
        let mut text = time.as_bytes()[..if places == 0 { 19 } else { 20 + places - 1 }].to_vec();
        text.push(b'Z');
        text.extend(behind);
        if let Some(changed) = text.get_mut(at).filter(|_| change) {
            *changed = byte;
        }
        let (quick, strict) = (usual(&text), strict(&text));
        prop_assert!(quick.is_none() || quick == strict, "{:?} {:?}", quick, strict);
        prop_assert!(quick.is_some() || change || places == 1 || places > 10);
    }

    #[test]
    fn never_panics(text in any::<String>(), at in 0_usize..40, char in any::<char>()) {
        let _ = (parse(&text, OBSERVED), prefix(&text, OBSERVED), rfc3339_prefix(text.as_bytes()));
        let mut text: Vec<char> = "Fri, 20 Nov 2026 10:00:00.123456789 +09:00".chars().collect();
        text[at] = char;
        let text: String = text.into_iter().collect();
        for observed in [OBSERVED, Timestamp::MIN, Timestamp::MAX] {
            let _ = (parse(&text, observed), prefix(text.get(5..).unwrap_or(""), observed), klog_prefix(text.as_bytes(), observed));
        }
    }
}

trait JiffText {
    fn to_jiff_text(self, format: &str) -> String;
}

impl JiffText for Timestamp {
    fn to_jiff_text(self, format: &str) -> String {
        self.to_jiff().strftime(format).to_string()
    }
}
