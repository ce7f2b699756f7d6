use std::fs;

use sawyer_config::Document;

use super::*;

#[test]
fn names_of_pods_are_read() {
    let owner = pods::pod_owner("kube-system_dns-5d78c_8e4a5afb-0ab6").unwrap();
    assert_eq!(owner.namespace.as_deref(), Some("kube-system"));
    assert_eq!(owner.pod.as_deref(), Some("dns-5d78c"));
    assert_eq!(owner.pod_uid.as_deref(), Some("8e4a5afb-0ab6"));
    for name in ["", "a", "a_b", "a_b_c_d", "_b_c", "a__c", "a_b_"] {
        assert_eq!(pods::pod_owner(name), None, "{name}");
    }
}

fn problems(text: &str) -> String {
    let document = Document::parse("test.yaml", text).unwrap();
    let mut problems = Problems::new();
    let plan = read(&document.at(), &mut problems);
    problems.into_result(plan).unwrap_err().to_string()
}

#[test]
fn settings_are_checked() {
    assert_eq!(
        problems("pod: /x\nexclude: [a/b/c/d]\nline_max: 1GiB\nread_from: start\n"),
        "test.yaml:1:1: pod: unknown key; did you mean `pods`?\n\
         test.yaml:3:1: line_max: expected a value from 1KiB to 8MiB, found 1GiB\n\
         test.yaml:4:1: read_from: expected one of `beginning`, `end`, found \"start\""
    );
    assert_eq!(
        problems("exclude: [a/b/c/d]"),
        "test.yaml:1:1: exclude: expected `namespace`, `namespace/pod` or `namespace/pod/container`, found \"a/b/c/d\""
    );
}

#[test]
fn folders_may_be_left_out_or_be_missing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("var/log/pods")).unwrap();
    let settings = ContainersSettings { docker: None, ..ContainersSettings::default() };
    let mut containers = Containers::new(settings, Some(root.path()));
    let there: Vec<bool> = containers.places().into_iter().map(|(_, there)| there).collect();
    assert_eq!(there, [true, false]);
    let mut scan = Scan::default();
    containers.scan(&mut scan);
    assert!(scan.files.is_empty() && scan.errors.is_empty());
    // The folder that is there, and the one in which the missing one would appear.
    assert_eq!(scan.folders, ["var/log/pods", "var/log"].map(|folder| root.path().join(folder)));
}
