//! What lies in a folder of CRI files, read in the simplest way there is.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A line that a container wrote, with all that is known of it from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Written {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) stream: String,
    pub(crate) time: String,
    pub(crate) line: String,
}

/// Every complete logical line below a `pods` folder. Rotated files come before the live one, `.gz` included.
pub(crate) fn written(pods: &Path) -> Vec<Written> {
    let mut all = Vec::new();
    for pod in folders(pods) {
        let name = pod.file_name().unwrap().to_str().unwrap().to_owned();
        let mut parts = name.splitn(3, '_');
        let (namespace, pod_name) = (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned());
        for container in folders(&pod) {
            let container_name = container.file_name().unwrap().to_str().unwrap().to_owned();
            let mut pieces: BTreeMap<String, (String, String)> = BTreeMap::new();
            for row in rows(&container) {
                let mut words = row.splitn(4, ' ');
                let (time, stream) = (words.next().unwrap(), words.next().unwrap());
                let (tag, rest) = (words.next().unwrap(), words.next().unwrap_or(""));
                // A line that was split has the time at which it began.
                let begun = || (time.to_owned(), String::new());
                pieces.entry(stream.to_owned()).or_insert_with(begun).1.push_str(rest);
                if tag == "F" {
                    let (time, line) = pieces.remove(stream).unwrap();
                    all.push(Written {
                        namespace: namespace.clone(),
                        pod: pod_name.clone(),
                        container: container_name.clone(),
                        stream: stream.to_owned(),
                        time,
                        line,
                    });
                }
            }
        }
    }
    all
}

/// The complete rows of a container's files, oldest first.
fn rows(container: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(container).unwrap().map(|entry| entry.unwrap().path()).collect();
    // `0.log.<time>` sorts by time; the live file has no time and is the youngest of its number.
    files.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (number, rest) = name.split_once(".log").unwrap();
        let time = rest.trim_start_matches('.').trim_end_matches(".gz").to_owned();
        (number.parse::<u32>().unwrap(), time.is_empty(), time)
    });
    let mut rows = Vec::new();
    for path in files {
        let mut text = fs::read(&path).unwrap();
        if path.extension().is_some_and(|ending| ending == "gz") {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(&text[..]).read_to_end(&mut plain).unwrap();
            text = plain;
        }
        let text = String::from_utf8(text).unwrap();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        rows.extend(complete.lines().map(str::to_owned));
    }
    rows
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// The same facts out of records from the API.
pub(crate) fn found(records: &[Value]) -> Vec<Written> {
    let text = |record: &Value, name: &str| {
        record[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {record}")).to_owned()
    };
    let line = |record: &Value| match record["_original"].as_str() {
        Some(line) => line.to_owned(),
        None => text(record, "message"),
    };
    let found = records.iter().map(|record| Written {
        namespace: text(record, "namespace"),
        pod: text(record, "pod"),
        container: text(record, "container"),
        stream: text(record, "stream"),
        time: text(record, "timestamp"),
        line: line(record),
    });
    found.collect()
}

/// The same instant, whatever the number of digits and the zone.
pub(crate) fn instant(time: &str) -> i64 {
    sawyer_model::Timestamp::parse(time).unwrap().nanos()
}

/// Compares two lists of lines whatever their order, and says what differs.
pub(crate) fn assert_same(mut found: Vec<Written>, mut wanted: Vec<Written>) {
    for line in found.iter_mut().chain(&mut wanted) {
        line.time = instant(&line.time).to_string();
    }
    found.sort();
    wanted.sort();
    let missing: Vec<&Written> = wanted.iter().filter(|line| found.binary_search(line).is_err()).collect();
    let extra: Vec<&Written> = found.iter().filter(|line| wanted.binary_search(line).is_err()).collect();
    assert!(missing.is_empty(), "{} are missing, such as {:#?}", missing.len(), missing[0]);
    assert!(extra.is_empty(), "{} were never written, such as {:#?}", extra.len(), extra[0]);
    assert_eq!(found.len(), wanted.len(), "some are there twice");
}
