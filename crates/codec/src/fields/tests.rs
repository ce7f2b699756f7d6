use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[test]
fn buffers_are_used_again_and_given_back_when_large() {
    let mut fields = Fields::default();
    for round in 0..3 {
        fields.field("a", ValueRef::Int(round));
        fields.field("b", ValueRef::Str("x"));
        let told = fields.read(|fields| fields.map(|(name, _)| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(told, ["a", "b"]);
        fields.clear();
        assert_eq!(fields.slots(), 0);
    }
    fields.field("large", ValueRef::Str(&"x".repeat(2 * KEPT_BYTES_MAX)));
    fields.clear();
    assert!(fields.text.capacity() < KEPT_BYTES_MAX);
}

#[test]
fn a_text_is_not_said_again_and_again() {
    let mut fields = Fields::default();
    let text = "x".repeat(1000);
    fields.begin(&text);
    // As arrays within arrays are, each with all that it holds.
    for depth in 0..16 {
        fields.field(&format!("a{depth}"), ValueRef::Json(&text));
    }
    assert_eq!(fields.slots(), TIMES_MAX + 1);
    fields.begin(&text);
    fields.field("a", ValueRef::Json(&text));
    assert_eq!(fields.slots(), 1, "the next text has its own");
}

proptest! {
    #[test]
    fn agrees_with_a_map(given in prop::collection::vec(("[a-d]{1,2}|[0-9]{3}", any::<i64>()), 0..200), rounds in 1_usize..3) {
        let mut fields = Fields::default();
        for _ in 0..rounds {
            fields.clear();
            let mut wanted: HashMap<&str, Vec<i64>> = HashMap::new();
            for (name, value) in &given {
                fields.field(name, ValueRef::Int(*value));
                wanted.entry(name).or_default().push(*value);
            }
            let mut count = 0;
            fields.read(|fields| for (name, value) in fields {
                count += 1;
                let value: Vec<ValueRef<'_>> = match value {
                    ValueRef::List(list) => list.iter().collect(),
                    single => vec![single],
                };
                assert_eq!(value, wanted[name].iter().map(|value| ValueRef::Int(*value)).collect::<Vec<_>>());
            });
            prop_assert_eq!(count, wanted.len());
        }
    }
}
