//! Rotation under load, as the kubelet does it, with the program killed and told to stop in between: nothing lost, nothing
//! doubled. `bench --bin rotation` is the same at full speed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{SOON, Sawyer, pause};

/// Logs that are written at the same time.
const LOGS: u32 = 2;

/// Lines of each.
const LINES: u32 = 15_000;

/// Lines written at once, and how often: some 1,500 a second.
const CHUNK: u32 = 30;
const EVERY: Duration = Duration::from_millis(20);

/// The kubelet's `containerLogMaxSize` and `containerLogMaxFiles`, in proportion to the load.
const SIZE_MAX: u64 = 100 << 10;
const FILES_MAX: usize = 5;

fn folder_of(folder: &Path, log: u32) -> PathBuf {
    folder.join(format!("host/var/log/pods/shop_cart-{log}_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app"))
}

/// Writes a log and rotates it: rename, open anew, compress the older one, remove what is too much.
fn write(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let live = folder.join("0.log");
    let open = || OpenOptions::new().create(true).append(true).open(&live).unwrap();
    let (mut file, mut rotated) = (open(), Vec::<PathBuf>::new());
    for start in (0..LINES).step_by(CHUNK as usize) {
        let lines: String = (start..start + CHUNK)
            .map(|n| {
                format!("2026-11-20T10:{:02}:{:02}.{:09}Z stdout F number {n}\n", n / 60 % 60, n % 60, n)
            })
            .collect();
        file.write_all(lines.as_bytes()).unwrap();
        thread::park_timeout(EVERY);
        if fs::metadata(&live).unwrap().len() > SIZE_MAX {
            let name = folder.join(format!("0.log.20261120-{start:06}"));
            fs::rename(&live, &name).unwrap();
            file = open();
            if let Some(older) = rotated.last_mut() {
                *older = gzip(older);
            }
            rotated.push(name);
            while rotated.len() >= FILES_MAX {
                fs::remove_file(rotated.remove(0)).unwrap();
            }
        }
    }
}

fn gzip(path: &Path) -> PathBuf {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let temporary = PathBuf::from(format!("{}.tmp", path.display()));
    let file = File::create(&temporary).unwrap();
    let done = std::process::Command::new("gzip").arg("-c").arg(path).stdout(file).status().unwrap();
    assert!(done.success());
    fs::rename(temporary, &packed).unwrap();
    fs::remove_file(path).unwrap();
    packed
}

const CONFIG: &str = "inputs: {containers: {sweep_interval: 500ms}}\noutputs: {store: }\n";

#[test]
fn nothing_is_lost_or_doubled_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut sawyer = Sawyer::up_with(folder, CONFIG);
    let writers: Vec<_> = (0..LOGS)
        .map(|log| {
            let folder = folder_of(folder, log);
            thread::spawn(move || write(&folder))
        })
        .collect();
    let until = |sawyer: &mut Sawyer, records: u32| {
        let deadline = Instant::now() + SOON;
        while sawyer.count("*") < u64::from(records) {
            assert!(Instant::now() < deadline, "{} of {records}:\n{}", sawyer.count("*"), sawyer.log());
            pause();
        }
    };
    let total = LOGS * LINES;
    until(&mut sawyer, total / 4);
    sawyer.kill();
    let mut sawyer = Sawyer::up_with(folder, CONFIG);
    until(&mut sawyer, total / 2);
    let (_, status, log) = sawyer.terminate();
    assert!(status.success(), "{log}");
    let mut sawyer = Sawyer::up_with(folder, CONFIG);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    sawyer.wait_for_count("*", u64::from(total));
    for log in 0..LOGS {
        let records = sawyer.all(&format!("pod: cart-{log}"));
        let number = |record: &serde_json::Value| -> u32 {
            record["message"].as_str().unwrap().strip_prefix("number ").unwrap().parse().unwrap()
        };
        let mut numbers: Vec<u32> = records.iter().map(number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..LINES), "every number of cart-{log} once");
    }
    let (_, answer) = sawyer.get("/api/v1/ledger", &[]);
    assert_eq!(answer["closes"], true, "{answer}");
}

/// At SIGTERM what was read is passed on before the process ends, within the time for that.
#[test]
fn what_was_read_is_passed_on_at_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let out = folder.join("out.ndjson");
    let config = format!(
        "drain: 20s\ninputs: {{containers: {{sweep_interval: 500ms}}}}\noutputs: {{copy: {{type: file, path: {}}}}}\n",
        out.display()
    );
    let pod = folder_of(folder, 0);
    fs::create_dir_all(&pod).unwrap();
    let lines: String = (0..20_000).map(|n| format!("2026-11-20T10:00:00Z stdout F number {n}\n")).collect();
    fs::write(pod.join("0.log"), lines).unwrap();
    let mut sawyer = Sawyer::up_with(folder, &config);
    let read = |sawyer: &Sawyer| {
        let (_, metrics) = sawyer.get("/metrics", &[]);
        let text = metrics.as_str().unwrap_or_default().to_owned();
        let line =
            text.lines().find(|line| line.starts_with("sawyer_input_records_total{input=\"containers\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let deadline = Instant::now() + SOON;
    while read(&sawyer) == 0 {
        assert!(Instant::now() < deadline, "{}", sawyer.log());
        thread::yield_now();
    }
    // Some of it is read, more or less, and not everything that is read is written yet.
    let at_least = read(&sawyer);
    let (took, status, log) = sawyer.terminate();
    assert!(status.success(), "{log}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    let written = fs::read_to_string(&out).unwrap().lines().count() as u64;
    assert!(written >= at_least, "{at_least} were read, and {written} written");
    // And the rest after the next start, none of it twice.
    let mut sawyer = Sawyer::up_with(folder, &config);
    let deadline = Instant::now() + SOON;
    while fs::read_to_string(&out).unwrap().lines().count() < 20_000 {
        assert!(Instant::now() < deadline, "{}", sawyer.log());
        pause();
    }
    sawyer.stop();
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 20_000);
}
