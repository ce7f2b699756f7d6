//! Exports in Parquet are read by an engine that is not ours: DuckDB, which `tools/python-packages` fetches.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

use std::process::Command;

use serde_json::{Value, json};

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

use harness::{Sawyer, run, text};

#[test]
fn duckdb_finds_in_an_export_what_was_pushed() {
    let Some(packages) =
        sawyer_testkit::packages("python-packages", &["duckdb==2.0.1"], "no Python packages: DuckDB")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut sawyer =
        Sawyer::up_with(folder.path(), &format!("outputs: {{store: }}\n{}", harness::AS_WRITTEN));
    let lines: String = (0..3000)
        .map(|n| match n % 3 {
            0 => format!("{{\"msg\":\"m{n}\",\"level\":\"error\",\"status\":500,\"took\":{n},\"big\":{n}}}\n"),
            1 => format!("{{\"msg\":\"Grüße {n}\",\"level\":\"info\",\"status\":200,\"took\":{n}.5,\"tags\":[\"a\",\"b\"]}}\n"),
            _ => format!("{{\"msg\":\"m{n}\",\"level\":\"info\",\"big\":\"text\",\"retried\":true}}\n"),
        })
        .collect();
    assert_eq!(sawyer.post("/api/v1/ingest", lines.as_bytes()).0, 200);
    sawyer.wait_for_count("", 3000);

    let address = format!("http://{}", sawyer.address);
    let file = folder.path().join("all.parquet");
    let export = |more: &[&str]| {
        let out = run(&[&["export", "--server", &address, "--to", file.to_str().unwrap()], more].concat());
        assert!(out.status.success() && out.stderr.is_empty(), "{}", text(&out.stderr));
    };
    let ask = |question: &str| -> Value {
        let program = "import duckdb, json, sys\n\
            print(json.dumps(duckdb.sql(sys.argv[1].replace('FILE', repr(sys.argv[2]))).fetchall(), default=str))";
        let out = Command::new("python3")
            .args(["-c", program, question, file.to_str().unwrap()])
            .env("PYTHONPATH", &packages)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    export(&[]);
    assert_eq!(
        ask("select level, count(*), sum(status), count(distinct _id) from FILE group by 1 order by 1"),
        json!([["error", 1000, 500_000, 1000], ["info", 2000, 200_000, 2000]])
    );
    assert_eq!(
        ask("select column_name, column_type from (describe from FILE) \
             where column_name in ('took', 'status', 'retried', 'big', 'tags', 'timestamp') order by 1"),
        json!([
            ["big", "VARCHAR"],
            ["retried", "BOOLEAN"],
            ["status", "BIGINT"],
            ["tags", "VARCHAR"],
            ["timestamp", "TIMESTAMPTZ_NS"],
            ["took", "DOUBLE"]
        ])
    );
    assert_eq!(
        ask("select message, took, tags, big from FILE where took in (1.5, 3) order by took"),
        json!([["Grüße 1", 1.5, "[\"a\",\"b\"]", null], ["m3", 3.0, null, "3"]])
    );
    assert_eq!(ask("select count(*) from FILE where timestamp > now() - interval 1 hour"), json!([[3000]]));

    export(&["level: error and took < 30", "--without-original"]);
    assert_eq!(ask("select count(*), max(took) from FILE"), json!([[10, 27]]));

    let printed = run(&["export", "--server", &address, "took: 3"]);
    let lines: Vec<Value> =
        text(&printed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["message"]), (1, &"m3".into()), "records, and no line that is none");
}
