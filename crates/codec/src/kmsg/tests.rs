use proptest::prelude::*;

use super::*;
use crate::testing::{OBSERVED, show_record, stream};

fn read(bytes: &[u8]) -> Option<(KmsgHead, String)> {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&stream());
    let booted = Timestamp::from_secs(1_795_168_800);
    let head = KmsgReader::default().read(bytes, SourceId(7), booted, OBSERVED, stream, &mut batch)?;
    Some((head, show_record(batch.get(0))))
}

#[test]
fn a_record_of_the_kernel_is_read() {
    let (head, shown) = read(
        b"4,339,5140900,-,caller=T1;usb 1-1: new \\x0aspeed \\ device\n SUBSYSTEM=usb\n DEVICE=+usb:1-1\n",
    )
    .unwrap();
    assert_eq!(head, KmsgHead { priority: 4, sequence: 339, since_boot: Duration::from_micros(5_140_900) });
    insta::assert_snapshot!(shown, @r#"
    timestamp = 2026-11-20T10:00:05.140900Z
    message = "usb 1-1: new \nspeed \\ device"
    level = "warn"
    kernel.sequence = 339
    kernel.subsystem = "usb"
    kernel.device = "+usb:1-1"
    "#);
    for bytes in [&b""[..], b"no head", b"x,1,2,-;a", b"1,2;a"] {
        assert_eq!(read(bytes), None);
    }
}

proptest! {
    #[test]
    fn no_bytes_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "6,[0-9]{1,3},[0-9]{1,3},-;[ -~\\\\x\n=]{0,40}") {
        read(&bytes);
        prop_assert!(read(text.as_bytes()).is_some());
    }
}
