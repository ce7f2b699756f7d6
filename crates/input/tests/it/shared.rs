//! Real logs of a real kubelet and of docker.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use crate::common::{Node, Taker, messages, text};

#[tokio::test]
async fn as_many_records_as_there_are_lines_of_pods() {
    let Some(pods) = sawyer_testkit::shared("data/generated-here/var-log-pods") else { return };
    let node = Node::new();
    copy(&pods, &node.path("var/log/pods"));
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    each_file(&pods, &mut |path, content| {
        let container = path.parent().unwrap().strip_prefix(&pods).unwrap().display().to_string();
        let whole = content.split_inclusive(|byte| *byte == b'\n').filter(|line| {
            let tag = line.split(|byte| *byte == b' ').nth(2);
            line.ends_with(b"\n") && tag == Some(b"F")
        });
        *expected.entry(container).or_default() += whole.count();
    });
    let total: usize = expected.values().sum();
    assert!(total > 1000, "{total}");
    let run = node.containers(Taker::Keeps);
    let records = run.records(total).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for record in &records {
        let [namespace, pod, uid, container] =
            ["namespace", "pod", "pod_uid", "container"].map(|name| text(record, name));
        *seen.entry(format!("{namespace}_{pod}_{uid}/{container}")).or_default() += 1;
        assert!(["stdout", "stderr"].contains(&text(record, "stream").as_str()));
    }
    assert_eq!(seen, expected);
    run.stop().await;
}

#[tokio::test]
async fn as_many_records_as_there_are_lines_of_docker() {
    let Some(containers) = sawyer_testkit::shared("data/generated-here/docker/containers") else { return };
    let node = Node::new();
    copy(&containers, &node.path("var/lib/docker/containers"));
    let mut expected = 0;
    each_file(&containers, &mut |path, content| {
        if path.to_string_lossy().contains("-json.log") {
            expected += content.windows(13).filter(|part| part == b"\\n\",\"stream\":").count();
        }
    });
    assert!(expected > 100, "{expected}");
    // The container ended in the middle of a line.
    expected += 1;
    let run = node.containers(Taker::Keeps);
    let records = run.records(expected).await;
    assert!(messages(&records).iter().any(|message| message == "no newline at end"));
    assert_eq!(records.len(), expected);
    assert!(records.iter().all(|record| text(record, "attrs.tier") == "front"));
    assert!(records.iter().all(|record| !text(record, "image").is_empty()));
    run.stop().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn each_file(folder: &Path, found: &mut dyn FnMut(&Path, &[u8])) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, found);
        } else {
            let mut content = Vec::new();
            let file = fs::File::open(&path).unwrap();
            if path.extension().is_some_and(|extension| extension == "gz") {
                flate2::read::MultiGzDecoder::new(file).read_to_end(&mut content).unwrap();
            } else {
                (&file).read_to_end(&mut content).unwrap();
            }
            found(&path, &content);
        }
    }
}
