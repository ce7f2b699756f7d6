use super::*;

fn changes(before: &str, after: &str) -> String {
    let document = |text| Document::parse("sawyer.yaml", text).unwrap();
    fixed_changes(&document(before), &document(after), &["alerts"]).to_string()
}

#[test]
fn what_takes_a_restart_is_told_with_its_place() {
    let before = "data: /a\nlisten: 1.2.3.4:5\nstore: {retention: 14d}\nlog:\n";
    assert_eq!(changes(before, before), "");
    let free =
        "alerts: {group_wait: 3s}\ninputs: {push: }\npipelines: {a: }\noutputs: {store: }\ndrain: 9s\n";
    assert_eq!(changes(before, &format!("{before}{free}")), "");
    assert_eq!(
        changes(before, "listen: 1.2.3.4:5\nstore: {retention: 15d}\nlog: debug\n"),
        "sawyer.yaml: data: is gone, and cannot change while Sawyer runs: restart it, or put back what was there\n\
         sawyer.yaml:2:1: store: cannot change while Sawyer runs: restart it, or put back what was there\n\
         sawyer.yaml:3:1: log: cannot change while Sawyer runs: restart it, or put back what was there"
    );
}
