//! The ledger of the real program closes: through rules, SIGKILL, a reload and restarts, and it is exact.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::harness::{SOON, Sawyer, pause, run, text};

const POD: &str = "host/var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app";

/// Writes lines, every fifth of which is a probe, and every tenth the first piece of a line in two pieces.
fn write(folder: &Path, from: u32, to: u32) {
    let path: PathBuf = folder.join(POD);
    fs::create_dir_all(&path).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path.join("0.log")).unwrap();
    for n in from..to {
        let line = match n {
            n if n % 5 == 0 => format!("2026-11-20T10:00:00Z stdout F probe {n}\n"),
            n if n % 10 == 1 => {
                format!("2026-11-20T10:00:00Z stdout P order {n} \n2026-11-20T10:00:00Z stdout F is whole\n")
            }
            n => format!("2026-11-20T10:00:00Z stdout F order {n}\n"),
        };
        file.write_all(line.as_bytes()).unwrap();
    }
}

fn bytes_written(folder: &Path) -> u64 {
    fs::metadata(folder.join(POD).join("0.log")).unwrap().len()
}

/// The book of the containers at an output, once so many bytes are on it.
fn book(sawyer: &mut Sawyer, output: &str, bytes: u64) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let (status, answer) = sawyer.get("/api/v1/ledger", &[]);
        assert_eq!((status, &answer["closes"]), (200, &Value::Bool(true)), "{answer}");
        let books = answer["ledger"].as_array().unwrap();
        let book = books.iter().find(|book| book["input"] == "containers" && book["output"] == *output);
        if let Some(book) = book.filter(|book| book["read"]["bytes"] == bytes) {
            return book.clone();
        }
        assert!(Instant::now() < deadline, "{bytes} bytes were written: {answer}\n{}", sawyer.log());
        pause();
    }
}

fn ended(book: &Value, fate: &str, rule: &str) -> u64 {
    let all = book["ended"].as_array().unwrap().iter();
    let of = all.filter(|ended| ended["fate"] == *fate && ended["rule"] == *rule);
    of.map(|ended| ended["records"].as_u64().unwrap()).sum()
}

fn config(rule: &str) -> String {
    format!(
        "inputs: {{containers: {{sweep_interval: 200ms}}}}\noutputs: {{store: , copy: {{type: \"null\"}}}}\npipelines:\n  \
         main: {{steps: [{{drop: {{when: 'message: probe', name: {rule}}}}}]}}\n"
    )
}

#[test]
fn closes_through_sigkill_reload_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut sawyer = Sawyer::up_with(folder, &config("probes"));
    write(folder, 0, 5000);
    sawyer.wait_for_count("*", 4000);
    // A moment later, so that it is now before a save of the offsets, now after.
    sawyer.kill();
    write(folder, 5000, 7000);
    let mut sawyer = Sawyer::up_with(folder, &config("probes"));
    let store = book(&mut sawyer, "store", bytes_written(folder));
    assert_eq!(store["read"]["records"], 7000, "{store}");
    assert_eq!(ended(&store, "filtered", "probes"), 1400, "{store}");
    let stored = ended(&store, "delivered", "") + ended(&store, "deduplicated", "stored before");
    assert_eq!(stored, 5600, "{store}");

    // Read again with another rule, while it runs.
    fs::write(folder.join("sawyer.yaml"), config("noise")).unwrap();
    sawyer.wait_for_log("the configuration has changed");
    write(folder, 7000, 8000);
    let store = book(&mut sawyer, "store", bytes_written(folder));
    let filtered = (ended(&store, "filtered", "probes"), ended(&store, "filtered", "noise"));
    assert_eq!(filtered.0 + filtered.1, 1600, "{store}");
    let copy = book(&mut sawyer, "copy", bytes_written(folder));
    assert_eq!(copy["read"]["records"], 8000, "{copy}");
    assert_eq!(ended(&copy, "delivered", ""), 6400, "{copy}");
    let (_, status, log) = sawyer.stop();
    assert!(status.success(), "{log}");
    assert!(!log.contains("does not close"), "{log}");

    let sawyer = Sawyer::up_with(folder, &config("noise"));
    let (_, answer) = sawyer.get("/api/v1/ledger", &[]);
    let again = answer["ledger"].as_array().unwrap().iter().find(|book| book["output"] == "store").unwrap();
    assert_eq!(again, &store);
    let (_, metrics) = sawyer.get("/metrics", &[]);
    let metrics = metrics.as_str().unwrap();
    let line = "sawyer_ledger_read_records_total{hop=\"input\",input=\"containers\",output=\"store\"} 8000\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains(
        "sawyer_ledger_unaccounted_records{hop=\"input\",input=\"containers\",output=\"store\"} 0\n"
    ));
    let address = sawyer.address.to_string();
    let printed = run(&["status", "--server", &address, "-o", "text"]);
    let printed = text(&printed.stdout);
    assert!(
        printed.contains("input containers → output store") && printed.ends_with("ledger: closes\n"),
        "{printed}"
    );
}

/// By file: every byte of it has ended, whatever rules made of its lines, and after SIGKILL and rotation as well.
#[test]
fn every_file_has_a_book() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut sawyer = Sawyer::up_with(folder, &config("probes"));
    write(folder, 0, 3000);
    sawyer.wait_for_count("*", 2400);
    sawyer.kill();
    write(folder, 3000, 4000);
    let mut sawyer = Sawyer::up_with(folder, &config("probes"));
    sawyer.wait_for_count("*", 3200);
    let bytes = bytes_written(folder);
    let deadline = Instant::now() + SOON;
    let file = loop {
        let (status, answer) =
            sawyer.get("/api/v1/ledger/sources", &[("input", "containers"), ("path", "0.log")]);
        assert_eq!((status, &answer["closes"]), (200, &Value::from(true)), "{answer}");
        let file = answer["sources"][0].clone();
        if file["ended"]["bytes"] == bytes && file["batches_under_way"] == 0 {
            assert_eq!(answer["count"], 1, "{answer}");
            break file;
        }
        assert!(Instant::now() < deadline, "{answer}");
        pause();
    };
    assert_eq!(file["ended"]["ranges"], serde_json::json!([[0, bytes]]), "{file}");
    assert_eq!((&file["read"], &file["unread"]), (&Value::from(bytes), &Value::from(0)), "{file}");
    let (_, none) = sawyer.get("/api/v1/ledger/sources", &[("path", "elsewhere")]);
    assert_eq!((&none["count"], &none["sources"]), (&Value::from(0), &serde_json::json!([])));
    let (_, metrics) = sawyer.get("/metrics", &[]);
    assert!(
        metrics
            .as_str()
            .unwrap()
            .contains("sawyer_ledger_unaccounted_source_bytes{input=\"containers\"} 0\n")
    );
    let address = sawyer.address.to_string();
    let printed = run(&["status", "--server", &address, "-o", "text", "--files"]);
    let printed = text(&printed.stdout);
    assert!(printed.contains("/0.log\n") && printed.ends_with("ledger: closes\n"), "{printed}");
}

const FILES: [&str; 4] = ["a.log", "b.log", "c.log", "d.log"];

/// A line of one of the files: every one of which the number can be divided by `file + 2` is a probe, of others every third
/// is noise, and the rest are traces of two lines.
fn line(file: usize, n: usize) -> String {
    match n {
        n if n % (file + 2) == 0 => format!("probe {n}\n"),
        n if n % 3 == 0 => format!("noise {n}\n"),
        _ => {
            format!("java.lang.IllegalStateException: order {n}\n\tat com.example.Main.main(Main.java:{n})\n")
        }
    }
}

/// Writes lines of all files, now of this one, now of that.
fn write_files(logs: &Path, from: usize, to: usize) {
    let open = |name: &str| OpenOptions::new().create(true).append(true).open(logs.join(name)).unwrap();
    let mut files = FILES.map(open);
    for n in from..to {
        for (k, file) in files.iter_mut().enumerate() {
            file.write_all(line(k, n).as_bytes()).unwrap();
        }
    }
}

/// How many records, and of how many bytes, are lines of a file up to `to` that begin so.
fn beginning(file: usize, to: usize, with: &str) -> (usize, usize) {
    let lines = (0..to).map(|n| line(file, n)).filter(|line| line.starts_with(with));
    lines.fold((0, 0), |(records, bytes), line| (records + 1, bytes + line.len()))
}

/// The books of all files, once each has ended to its end.
fn books_of_files(sawyer: &mut Sawyer, logs: &Path) -> Vec<Value> {
    let is_over = |source: &Value| {
        let name = Path::new(source["path"].as_str().unwrap()).file_name().unwrap();
        let length = fs::metadata(logs.join(name)).unwrap().len();
        source["ended"]["bytes"] == length && source["batches_under_way"] == 0
    };
    let deadline = Instant::now() + SOON;
    loop {
        let (_, answer) = sawyer.get("/api/v1/ledger/sources", &[("input", "files")]);
        let sources = answer["sources"].as_array().unwrap();
        if sources.len() == FILES.len() && sources.iter().all(is_over) {
            assert_eq!(
                (&answer["closes"], &answer["others"]),
                (&true.into(), &serde_json::json!([])),
                "{answer}"
            );
            return sources.clone();
        }
        assert!(Instant::now() < deadline, "{answer}\n{}", sawyer.log());
        pause();
    }
}

/// Records, and bytes, that an output did not get by a rule.
fn left_out(source: &Value, output: &str, rule: &str) -> (usize, usize) {
    let mut all = source["left_out"].as_array().unwrap().iter();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let left = all.find(|left| left["output"] == *output && left["rule"] == *rule);
    left.map_or((0, 0), |left| (number(&left["records"]), number(&left["bytes"])))
}

/// Of each file it is told which rule took how many of its lines, exactly: through SIGKILL.
#[test]
fn which_rule_took_the_lines_of_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let logs = folder.join("host/logs");
    fs::create_dir_all(&logs).unwrap();
    let config = "inputs:\n  files: {type: files, include: ['/logs/*.log'], sweep_interval: 200ms}\n\
         outputs: {store: , copy: {type: \"null\"}}\n\
         pipelines:\n  main:\n    steps:\n      - {drop: {when: 'message: probe', name: probes}}\n      \
         - {route: {routes: [{when: 'message: order', outputs: [store, copy]}], default: [copy]}}\n";
    let mut sawyer = Sawyer::up_with(folder, config);
    write_files(&logs, 0, 2000);
    sawyer.wait_for_count("*", (0..FILES.len()).map(|file| beginning(file, 2000, "java").0 as u64).sum());
    // A moment later, so that it is now before a save of the offsets, now after.
    sawyer.kill();
    write_files(&logs, 2000, 3000);
    let mut sawyer = Sawyer::up_with(folder, config);
    let sources = books_of_files(&mut sawyer, &logs);
    for (k, name) in FILES.iter().enumerate() {
        let is_it = |source: &&Value| source["path"].as_str().unwrap().ends_with(name);
        let source = sources.iter().find(is_it).unwrap();
        let left = |rule: &str| (left_out(source, "store", rule), left_out(source, "copy", rule));
        let (probes, noise) = (beginning(k, 3000, "probe"), beginning(k, 3000, "noise"));
        assert_eq!((left("probes"), left("route")), ((probes, probes), (noise, (0, 0))), "{source}");
        // A trace of which only the first line is read again is a record alone then, which was there before.
        let (traces, ((joined, _), (of_copy, _))) = (beginning(k, 3000, "java").0, left(""));
        let before = left("stored before").0.0;
        assert!(joined == of_copy && joined <= traces && joined + before >= traces, "{source}");
    }
    let address = sawyer.address.to_string();
    let printed = run(&["status", "--server", &address, "-o", "text", "--files", "--path", "/a.log"]);
    let printed = text(&printed.stdout);
    assert!(printed.contains("1,500 records") && printed.contains("→ store: filtered: probes"), "{printed}");
    let (_, status, log) = sawyer.stop();
    assert!(status.success() && !log.contains("fault of Sawyer's"), "{log}");
}

/// The hop from a buffer to its target has a book of its own, which survives SIGKILL with what waits.
#[test]
fn a_buffer_has_a_book_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let out = folder.join("out.ndjson");
    let config = format!(
        "inputs: {{containers: {{sweep_interval: 200ms}}}}\noutputs: {{copy: {{type: file, path: {}, buffer: {{kind: disk}}}}}}\n",
        out.display()
    );
    write(folder, 0, 1000);
    let mut sawyer = Sawyer::up_with(folder, &config);
    let first = book(&mut sawyer, "copy", bytes_written(folder));
    assert_eq!((ended(&first, "buffered", ""), &first["hop"]), (1000, &Value::from("input")), "{first}");
    let deadline = Instant::now() + SOON;
    let delivered = |sawyer: &mut Sawyer| {
        let (_, answer) = sawyer.get("/api/v1/ledger", &[]);
        assert_eq!(answer["closes"], true, "{answer}");
        let books = answer["ledger"].as_array().unwrap();
        books.iter().find(|book| book["hop"] == "buffer").map_or(0, |book| ended(book, "delivered", ""))
    };
    while delivered(&mut sawyer) < 1000 {
        assert!(Instant::now() < deadline, "{}", sawyer.log());
        pause();
    }
    sawyer.kill();
    write(folder, 1000, 1500);
    let mut sawyer = Sawyer::up_with(folder, &config);
    book(&mut sawyer, "copy", bytes_written(folder));
    // What was not saved as delivered when it was killed is delivered again, and what was read again is buffered again.
    while delivered(&mut sawyer) < 1500 {
        assert!(Instant::now() < deadline, "{}", sawyer.log());
        pause();
    }
    let lines = fs::read_to_string(&out).unwrap().lines().count();
    assert!(lines >= 1500, "{lines}");
}
