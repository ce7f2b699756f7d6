use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cache::Cache;
use crate::source::{Bytes, ReadAt};

const ALL: [Class; CLASSES] = [Class::Heads, Class::Texts, Class::Plain];

fn write(pieces: &[(Class, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut squeezer) = (Vec::new(), Squeezer::new(9));
    let mut sink = |piece: &[u8]| {
        file.extend_from_slice(piece);
        Ok::<(), ()>(())
    };
    pieces.iter().for_each(|(class, piece)| squeezer.add(*class, piece, &mut sink).unwrap());
    let len = squeezer.finish(&mut sink).unwrap();
    assert_eq!(len, file.len() as u64);
    file
}

fn open(file: Vec<u8>) -> crate::error::Result<Squeezed> {
    Squeezed::open(Bytes { source: Arc::new(file), verify: true }, &Cache::default())
}

fn piece() -> impl Strategy<Value = (Class, Vec<u8>)> {
    let bytes = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..300),
        // More than a chunk has room for, and some of it compresses.
        1 => (1usize..2 << 20, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ];
    (prop::sample::select(ALL.to_vec()), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_range_reads_as_it_was_written(
        pieces in prop::collection::vec(piece(), 0..7),
        ranges in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..20),
    ) {
        let whole: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.clone()).collect();
        let squeezed = open(write(&pieces)).unwrap();
        prop_assert_eq!(squeezed.len(), whole.len() as u64);
        for (start, end) in ranges {
            let (start, end) = (start.index(whole.len() + 1), end.index(whole.len() + 1));
            let (start, end) = (start.min(end), start.max(end));
            let mut found = vec![0; end - start];
            squeezed.read_exact_at(&mut found, start as u64).unwrap();
            prop_assert!(found == whole[start..end], "{start}..{end}");
        }
        prop_assert!(squeezed.read_exact_at(&mut [0], whole.len() as u64).is_err());
    }

    #[test]
    fn any_index_is_one_or_none(bytes: Vec<u8>, end in 0u64..1000) {
        if let Ok(index) = Index::parse(&bytes, end) {
            prop_assert_eq!(Index::parse(&index.encode(), end), Ok(index));
        }
    }
}

#[test]
fn a_damaged_chunk_is_told_where_it_is_read() {
    let mut file = write(&[(Class::Heads, vec![7; 1000]), (Class::Texts, b"abc".repeat(500))]);
    file[10] ^= 1;
    let squeezed = open(file).unwrap();
    let error = squeezed.read_exact_at(&mut [0; 8], 0).unwrap_err();
    assert_eq!(error.to_string(), "a chunk is damaged: offset=8");
    squeezed.read_exact_at(&mut [0; 8], 1000).unwrap();
}
