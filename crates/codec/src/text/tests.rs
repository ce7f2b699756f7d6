use proptest::prelude::*;

use super::*;

#[test]
fn valid_text_passes_with_nul() {
    let text = "결제 \0 x";
    assert_eq!(decode(text.as_bytes(), &mut String::new()), Decoded::Valid(text));
}

#[test]
fn invalid_bytes_are_replaced() {
    assert_eq!(decode(b"a\xffb\xe2\x82c\0", &mut String::new()), Decoded::Replaced("a\u{fffd}b\u{fffd}c\0"));
    assert_eq!(base64(b"a\xff", &mut String::from("old")), "Yf8=");
}

proptest! {
    #[test]
    fn agrees_with_the_standard_library(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut buffer = String::new();
        prop_assert_eq!(decode(&bytes, &mut buffer).text(), &*String::from_utf8_lossy(&bytes));
    }
}
