//! Formats, levels and times over real logs: what is found, and that nothing silly is.

use std::path::Path;

use super::*;

#[derive(Default)]
struct Tally {
    lines: usize,
    formats: BTreeMap<&'static str, usize>,
    levels: BTreeMap<String, usize>,
    times: usize,
}

/// Reads every line of a text, as it stands behind a docker frame or without one.
fn tally(text: &[u8]) -> Tally {
    let mut tally = Tally::default();
    let mut parser = Parser::default();
    let (mut buffer, mut replaced) = (Vec::new(), String::new());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let content = crate::docker::parse(line, &mut buffer).map_or(line, |line| line.content);
        let text = crate::text::decode(content, &mut replaced).text();
        let mut batch = batch_of([text.as_bytes()]);
        let format = parser.apply(&mut batch.edit(0), &Rules { own_time: true, ..Rules::default() });
        let record = batch.get(0);
        let level = record.get(names::LEVEL).and_then(ValueRef::as_str).unwrap_or("none");
        tally.lines += 1;
        *tally.formats.entry(format.name()).or_default() += 1;
        *tally.levels.entry(level.to_owned()).or_default() += 1;
        tally.times += usize::from(record.timestamp() != OBSERVED);
    }
    tally
}

fn check(file: &Path) -> String {
    let Tally { lines, formats, levels, times } = tally(&std::fs::read(file).unwrap());
    let name = file.file_name().unwrap().to_str().unwrap();
    let show = |counts: String| counts.replace(['{', '}', '"'], "");
    let (formats, levels) = (show(format!("{formats:?}")), show(format!("{levels:?}")));
    format!("{name}: {lines} lines; {formats}; {levels}; {times} times\n")
}

fn check_all(files: &[&str]) -> Option<String> {
    let folder = sawyer_testkit::shared("data")?;
    Some(files.iter().map(|file| check(&folder.join(file))).collect())
}

#[test]
fn own_components() {
    let files = [
        "generated-here/docker/dockerd.log",
        "generated-here/klog/api.log",
        "generated-here/klog/cm.log",
        "generated-here/klog/containerd.log",
        "generated-here/klog/etcd.log",
        "generated-here/klog/kube-audit.log",
        "generated-here/klog/kubelet.log",
        "generated-here/klog/sch.log",
        "generated-here/postgres/postgresql-2026-11-20_095100.json",
        "generated-here/postgres/postgresql-2026-11-20_095100.log",
    ];
    let Some(told) = check_all(&files) else { return };
    assert_snapshot!(told, @"
    dockerd.log: 112 lines; logfmt: 111, plain: 1; info: 104, warn: 8; 111 times
    api.log: 243 lines; klog: 241, plain: 2; error: 18, info: 209, none: 2, warn: 14; 241 times
    cm.log: 190 lines; klog: 189, plain: 1; error: 5, info: 167, none: 1, warn: 17; 189 times
    containerd.log: 221 lines; logfmt: 221; error: 2, info: 201, warn: 18; 221 times
    etcd.log: 40 lines; plain: 40; info: 37, warn: 3; 27 times
    kube-audit.log: 544 lines; json: 543, plain: 1; none: 544; 0 times
    kubelet.log: 420 lines; klog: 419, plain: 1; error: 16, info: 371, none: 1, warn: 32; 419 times
    sch.log: 7 lines; klog: 7; info: 4, warn: 3; 7 times
    postgresql-2026-11-20_095100.json: 18 lines; json: 18; error: 2, info: 16; 18 times
    postgresql-2026-11-20_095100.log: 2 lines; plain: 2; info: 1, none: 1; 2 times
    ");
}

#[test]
fn logs_of_other_programs() {
    let files = [
        "elastic-examples/apache_logs",
        "elastic-examples/kafka/kafka0/server.log.2016-12-19-20",
        "elastic-examples/kafka/kafka0/kafkaServer-gc.log",
        "loki-pattern-samples/agent-logfmt.txt",
        "loki-pattern-samples/distributor-logfmt.txt",
        "loki-pattern-samples/drone-json.txt",
        "loki-pattern-samples/ingester-logfmt.txt",
        "loki-pattern-samples/journald.txt",
        "loki-pattern-samples/kafka.txt",
        "loki-pattern-samples/kubernetes.txt",
        "loghub/Android/Android_2k.log",
        "loghub/Apache/Apache_2k.log",
        "loghub/BGL/BGL_2k.log",
        "loghub/HDFS/HDFS_2k.log",
        "loghub/HPC/HPC_2k.log",
        "loghub/Hadoop/Hadoop_2k.log",
        "loghub/HealthApp/HealthApp_2k.log",
        "loghub/Linux/Linux_2k.log",
        "loghub/Mac/Mac_2k.log",
        "loghub/OpenSSH/OpenSSH_2k.log",
        "loghub/OpenStack/OpenStack_2k.log",
        "loghub/Proxifier/Proxifier_2k.log",
        "loghub/Spark/Spark_2k.log",
        "loghub/Thunderbird/Thunderbird_2k.log",
        "loghub/Windows/Windows_2k.log",
        "loghub/Zookeeper/Zookeeper_2k.log",
    ];
    let Some(told) = check_all(&files) else { return };
    assert_snapshot!(told, @"
    apache_logs: 10000 lines; access_log: 10000; none: 10000; 10000 times
    server.log.2016-12-19-20: 721 lines; plain: 721; error: 5, info: 700, none: 15, warn: 1; 706 times
    kafkaServer-gc.log: 20596 lines; plain: 20596; none: 20596; 797 times
    agent-logfmt.txt: 1000 lines; logfmt: 1000; error: 103, info: 897; 1000 times
    distributor-logfmt.txt: 5000 lines; logfmt: 5000; debug: 5000; 5000 times
    drone-json.txt: 210 lines; json: 210; debug: 210; 210 times
    ingester-logfmt.txt: 100 lines; logfmt: 100; debug: 100; 100 times
    journald.txt: 1000 lines; klog: 489, logfmt: 132, plain: 379; error: 209, info: 408, none: 376, warn: 7; 624 times
    kafka.txt: 1000 lines; plain: 1000; info: 1000; 1000 times
    kubernetes.txt: 1000 lines; klog: 1000; info: 1000; 1000 times
    Android_2k.log: 2000 lines; plain: 2000; debug: 650, error: 3, info: 920, trace: 257, warn: 170; 0 times
    Apache_2k.log: 2000 lines; plain: 2000; error: 595, info: 1405; 2000 times
    BGL_2k.log: 2000 lines; plain: 2000; none: 2000; 0 times
    HDFS_2k.log: 2000 lines; plain: 2000; info: 1920, warn: 80; 0 times
    HPC_2k.log: 2000 lines; plain: 2000; none: 2000; 0 times
    Hadoop_2k.log: 2000 lines; plain: 2000; error: 150, fatal: 2, info: 1040, warn: 808; 2000 times
    HealthApp_2k.log: 2000 lines; plain: 2000; none: 2000; 0 times
    Linux_2k.log: 2000 lines; plain: 2000; none: 1998, warn: 2; 2000 times
    Mac_2k.log: 2000 lines; plain: 2000; error: 5, info: 4, none: 1988, warn: 3; 2000 times
    OpenSSH_2k.log: 2000 lines; plain: 2000; error: 47, fatal: 1, none: 1952; 2000 times
    OpenStack_2k.log: 2000 lines; plain: 2000; info: 1969, warn: 31; 0 times
    Proxifier_2k.log: 2000 lines; plain: 2000; none: 2000; 0 times
    Spark_2k.log: 2000 lines; plain: 2000; info: 2000; 0 times
    Thunderbird_2k.log: 2000 lines; plain: 2000; none: 2000; 0 times
    Windows_2k.log: 2000 lines; plain: 2000; info: 2000; 2000 times
    Zookeeper_2k.log: 2000 lines; plain: 2000; error: 13, info: 669, warn: 1318; 2000 times
    ");
}

#[test]
fn stack_traces_have_levels_in_their_first_line_at_most() {
    let Some(folder) = sawyer_testkit::shared("data/coroot-logparser/multiline") else { return };
    let tallies: Vec<Tally> = files_below(&folder).iter().map(|text| tally(text)).collect();
    let levelled = tallies.iter().flat_map(|tally| &tally.levels).filter(|(level, _)| *level != "none");
    assert_eq!(levelled.map(|(_, count)| count).sum::<usize>(), 5);
    assert!(tallies.iter().map(|tally| tally.lines).sum::<usize>() > 200);
}
