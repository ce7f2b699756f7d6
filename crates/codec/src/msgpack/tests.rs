use proptest::prelude::*;

use super::*;

fn json(bytes: &[u8]) -> Result<String, MsgpackError> {
    let mut out = Vec::new();
    write_json(&mut Reader::new(bytes), &mut out, &mut Amiss::default())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn values_of_all_kinds_become_json() {
    for (bytes, wanted) in [
        (&b"\xc0"[..], "null"),
        (b"\xc3", "true"),
        (b"\x7f", "127"),
        (b"\xff", "-1"),
        (b"\xcc\xff", "255"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
        (b"\xca\x7f\xc0\x00\x00", "\"NaN\""),
        (b"\xa3abc", "\"abc\""),
        (b"\xc4\x03a\"b", "\"a\\\"b\""),
        (b"\xa2\xff\xfe", "\"\u{fffd}\u{fffd}\""),
        (b"\x93\x01\xc2\x90", "[1,false,[]]"),
        (b"\x82\xa1a\x01\x02\x81\xa1b\xc0", "{\"a\":1,\"2\":{\"b\":null}}"),
        (b"\xd7\x00\x67\x48\x58\x50\x00\x00\x00\x07", "\"2024-11-28T11:47:28.000000007Z\""),
        (b"\xd4\x05\xff", "\"/w==\""),
    ] {
        assert_eq!(json(bytes).as_deref(), Ok(wanted), "{bytes:x?}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    assert_eq!(json(b""), Err(MsgpackError::Short));
    assert_eq!(json(b"\xc1"), Err(MsgpackError::Reserved));
    assert_eq!(json(b"\xdb\xff\xff\xff\xffabc"), Err(MsgpackError::Short));
    assert_eq!(json(b"\xdf\xff\xff\xff\xff\x01"), Err(MsgpackError::Short));
    assert_eq!(json(b"\x81\x90\x01"), Err(MsgpackError::Key));
    assert_eq!(
        json(&[b"\x91".repeat(JSON_DEPTH_MAX + 1), b"\x01".to_vec()].concat()),
        Err(MsgpackError::Deep)
    );
}

#[test]
fn times_of_all_forms_are_read() {
    let time = |token| event_time(token).map(|time| time.to_string());
    assert_eq!(time(Token::Int(1_795_168_800)).as_deref(), Some("2026-11-20T10:00:00Z"));
    assert_eq!(time(Token::Float(1_795_168_800.25)).as_deref(), Some("2026-11-20T10:00:00.250Z"));
    let nanos = [0x6b, 0x00, 0x1a, 0x20, 0, 0, 0, 7];
    assert_eq!(time(Token::Ext(0, &nanos)).as_deref(), Some("2026-11-20T10:00:00.000000007Z"));
    assert_eq!(time(Token::Ext(0, &nanos[..7])), None);
    assert_eq!(time(Token::Ext(1, &nanos)), None);
    assert_eq!(time(Token::Float(f64::NAN)), None);
}

#[test]
fn a_value_that_arrives_byte_by_byte_is_seen_when_it_is_whole() {
    let value = b"\x93\xa3tag\xdc\x00\x02\x92\x01\x81\xa1a\xd9\x03xyz\x92\x02\x80\x81\xa4size\x02";
    let mut sizer = Sizer::default();
    for end in 0..value.len() {
        assert_eq!(sizer.end(&value[..end]), Ok(None));
    }
    assert_eq!(sizer.end(&[&value[..], b"\xc0"].concat()), Ok(Some(value.len())));
}

proptest! {
    #[test]
    fn no_bytes_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = json(&bytes) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
        let size = Sizer::default().end(&bytes);
        let mut reader = Reader::new(&bytes);
        match reader.skip() {
            Ok(value) => prop_assert_eq!(size, Ok(Some(value.len()))),
            Err(MsgpackError::Short) => prop_assert_eq!(size, Ok(None)),
            Err(error) => prop_assert_eq!(size, Err(error)),
        }
    }
}
