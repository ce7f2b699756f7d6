//! Which machine's entries are those of this node.
//!
//! Owns: finding the id of the node's machine. Does not own: what is done with it.
//! Invariant: an id is given only where the node's own files, or the start of its kernel, say so.

use std::path::{Path, PathBuf};

use super::file::JournalFile;

/// The journal that the system writes at the moment.
const SYSTEM: &str = "system.journal";
/// Differs from start to start, and is the same in all containers of a machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The machine of a node whose `/etc/machine-id` is at `file`.
///
/// In a container that file is often not there, because a mount of a single file fails where the node has none.
/// Then it is the machine whose journal was written to since the kernel started.
pub(super) fn of_node(file: &Path, folders: &[PathBuf]) -> Option<[u8; 16]> {
    id(file).or_else(|| of_boot(id(Path::new(BOOT))?, folders))
}

fn of_boot(boot: [u8; 16], folders: &[PathBuf]) -> Option<[u8; 16]> {
    let inner = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let inner = inner.map(|entry| entry.path().join(SYSTEM));
    let paths = folders.iter().map(|folder| folder.join(SYSTEM)).chain(inner);
    let mut headers = paths.filter_map(|path| Some(*JournalFile::open(&path, 0, 0).ok()?.header()));
    headers.find(|header| header.boot_id == boot).map(|header| header.machine_id)
}

/// An id of 128 bits as text, with or without hyphens.
fn id(path: &Path) -> Option<[u8; 16]> {
    let text = std::fs::read_to_string(path).ok()?.trim().replace('-', "");
    Some(u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32)?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest journal: a header, and nothing behind it.
    fn journal(folder: &Path, machine: [u8; 16], boot: [u8; 16]) {
        std::fs::create_dir_all(folder).unwrap();
        let mut bytes = [0; 272];
        bytes[..8].copy_from_slice(b"LPKSHHRH");
        bytes[40..56].copy_from_slice(&machine);
        bytes[56..72].copy_from_slice(&boot);
        bytes[88..96].copy_from_slice(&272_u64.to_le_bytes());
        std::fs::write(folder.join(SYSTEM), bytes).unwrap();
    }

    #[test]
    fn the_nodes_own_file_decides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("machine-id");
        std::fs::write(&file, "000102030405060708090a0b0c0d0e0f\n").unwrap();
        let wanted = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(of_node(&file, &[]), Some(wanted));
    }

    #[test]
    fn without_it_the_journal_of_the_present_start_does() {
        let folder = tempfile::tempdir().unwrap();
        let boot = id(Path::new(BOOT)).expect("Linux has it");
        journal(&folder.path().join("other"), [7; 16], [9; 16]);
        let folders = [folder.path().to_owned(), folder.path().join("absent")];
        assert_eq!(of_node(&folder.path().join("machine-id"), &folders), None);
        journal(&folder.path().join("own"), [8; 16], boot);
        assert_eq!(of_node(&folder.path().join("machine-id"), &folders), Some([8; 16]));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("machine-id");
        std::fs::write(&file, "uninitialized\n").unwrap();
        assert_eq!(of_node(&file, &[]), None);
    }
}
