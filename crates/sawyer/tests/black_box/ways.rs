//! Several ways from one input into one store.

use std::fs;

use crate::harness::Sawyer;

#[test]
fn pipelines_that_share_input_and_output_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let container = folder.path().join("host/var/log/pods/shop_cart-1_0a1b2c3d/app");
    fs::create_dir_all(&container).unwrap();
    let line = |n: u32| {
        let level = if n.is_multiple_of(3) { "error" } else { "info" };
        format!("2026-11-20T10:00:00Z stdout F {{\"level\":\"{level}\",\"n\":{n}}}\n")
    };
    fs::write(container.join("0.log"), (0..300).map(line).collect::<String>()).unwrap();
    let config = folder.path().join("sawyer.yaml");
    let text = "inputs: {containers: }\n\
        pipelines:\n\
        \x20 errors: {steps: [{keep: {when: 'level: error'}}, {set: {fields: {way: errors}}}]}\n\
        \x20 others: {steps: [{drop: {when: 'level: error'}}, {set: {fields: {way: others}}}]}\n\
        outputs: {store: }\n";
    fs::write(&config, text).unwrap();
    let (host, data) = (folder.path().join("host"), folder.path().join("data"));
    let args = [
        "--config",
        config.to_str().unwrap(),
        "--host-root",
        host.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    let mut sawyer = Sawyer::start("up", &args);
    sawyer.wait_for_count("pod: *", 300);
    assert_eq!(sawyer.count("way: errors and level: error"), 100);
    assert_eq!(sawyer.count("way: others and level: info"), 200);
    sawyer.kill();
    // Reading begins anew, and the store has all of it.
    fs::remove_dir_all(data.join("state")).unwrap();
    fs::write(container.join("1.log"), line(300)).unwrap();
    let mut sawyer = Sawyer::start("up", &args);
    sawyer.wait_for_count("n: 300", 1);
    sawyer.wait_for_count("pod: *", 301);
}
