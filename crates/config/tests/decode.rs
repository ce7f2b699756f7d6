//! Settings read from text: text in, settings or problems out.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;
use sawyer_config::{
    ByteSize, Document, Node, Problems, Secret, Setting, Settings, With, choice, kinds, read_both, settings,
};

choice! {
    /// What happens when the buffer is full.
    pub enum OnFull {
        /// The input waits.
        Block = "block",
        /// The oldest records make room.
        DropOldest = "drop_oldest",
    }
}

settings! {
    /// Waiting records.
    pub struct BufferSettings {
        /// Bytes on disk.
        #[range(ByteSize::mib(1)..=ByteSize::gib(100))]
        pub size_max: ByteSize = ByteSize::gib(1),
        /// What happens when it is full.
        pub on_full: OnFull = OnFull::Block,
    }

    /// Sends records somewhere.
    pub struct OutputSettings {
        /// Host and port.
        pub endpoint: String,
        /// Largest request.
        pub batch_max: ByteSize = ByteSize::mib(10),
        /// Longest wait.
        pub flush_interval: Duration = Duration::from_secs(1),
        /// Requests at once.
        #[range(1..=64)]
        pub workers: usize = 4,
        /// Share that is sent.
        #[range(0.0..=1.0)]
        pub sample: Option<f64>,
        /// Whether to compress.
        pub compress: bool = true,
        /// Hosts | peers.
        pub hosts: Vec<String> = vec!["a".into()],
        /// Certificates.
        pub ca_file: Option<PathBuf>,
        /// Its buffer.
        pub buffer: BufferSettings = BufferSettings::default(),
        /// Labels.
        pub labels: BTreeMap<String, u16> = BTreeMap::new(),
        /// Rows.
        pub r#type: Option<Vec<Vec<i64>>>,
        /// Password.
        pub password: Option<Secret>,
        /// Anything.
        pub script: Option<Node>
    }
}

/// Reads settings of a type from text, and prints them or what is wrong with them.
fn check<T: Setting + std::fmt::Debug>(text: &str) -> String {
    let read = || {
        let document = Document::parse("agent.yaml", text)?;
        let mut problems = Problems::new();
        let value = T::read(&document.at(), &mut problems);
        problems.into_result(value)
    };
    match read() {
        Ok(value) => format!("{value:#?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn missing_keys_take_their_defaults() {
    assert_snapshot!(check::<OutputSettings>("endpoint: localhost:9200\n"), @r#"
OutputSettings {
    endpoint: "localhost:9200",
    batch_max: 10MiB,
    flush_interval: 1s,
    workers: 4,
    sample: None,
    compress: true,
    hosts: [
        "a",
    ],
    ca_file: None,
    buffer: BufferSettings {
        size_max: 1GiB,
        on_full: Block,
    },
    labels: {},
    type: None,
    password: None,
    script: None,
}
"#);
}

#[test]
fn every_type_is_read() {
    assert_snapshot!(check::<OutputSettings>(r#"
endpoint: 9200
batch_max: 1.5 GiB
flush_interval: 1m30s
workers: "0x10"
sample: 1
compress: false
hosts: just one
ca_file: /etc/ca.pem
buffer: { on_full: drop_oldest }
labels: { a: 1, b: 65535 }
type: [[1, 2], 3]
password: 1234
script: { any: [thing, 1.50] }
"#), @r#"
OutputSettings {
    endpoint: "9200",
    batch_max: 1.5GiB,
    flush_interval: 90s,
    workers: 16,
    sample: Some(
        1.0,
    ),
    compress: false,
    hosts: [
        "just one",
    ],
    ca_file: Some(
        "/etc/ca.pem",
    ),
    buffer: BufferSettings {
        size_max: 1GiB,
        on_full: DropOldest,
    },
    labels: {
        "a": 1,
        "b": 65535,
    },
    type: Some(
        [
            [
                1,
                2,
            ],
            [
                3,
            ],
        ],
    ),
    password: Some(
        (hidden),
    ),
    script: Some(
        Map(
            [
                (
                    "any",
                    List(
                        [
                            Text(
                                "thing",
                            ),
                            Float(
                                1.5,
                            ),
                        ],
                    ),
                ),
            ],
        ),
    ),
}
"#);
}

#[test]
fn all_problems_come_at_once() {
    assert_snapshot!(check::<OutputSettings>(r#"
endpont: localhost
batch_max: 10 megs
flush_interval: 5
workers: 65
sample: 1.5
compress: yes
hosts: [a, [b], ~]
ca_file: ""
buffer:
  size_max: 1KiB
  on_full: dropoldest
  colour: red
labels: { a: 1, b: 65536 }
type: [[a]]
"#), @r#"
agent.yaml:2:1: endpoint: required, and missing; expected text
agent.yaml:2:1: endpont: unknown key; did you mean `endpoint`?
agent.yaml:3:1: batch_max: expected a size such as "10MiB", found "10 megs"
agent.yaml:4:1: flush_interval: expected a duration such as "5s", found 5
agent.yaml:5:1: workers: expected a value from 1 to 64, found 65
agent.yaml:6:1: sample: expected a value from 0 to 1, found 1.5
agent.yaml:7:1: compress: expected true or false, found "yes"
agent.yaml:8:12: hosts[1]: expected text, found a list
agent.yaml:8:17: hosts[2]: expected text, found nothing
agent.yaml:9:1: ca_file: expected a path, found ""
agent.yaml:11:3: buffer.size_max: expected a value from 1MiB to 100GiB, found 1KiB
agent.yaml:12:3: buffer.on_full: expected one of `block`, `drop_oldest`, found "dropoldest"; did you mean `drop_oldest`?
agent.yaml:13:3: buffer.colour: unknown key; known: `size_max`, `on_full`
agent.yaml:14:17: labels.b: expected a whole number from 0 to 65535, found 65536
agent.yaml:15:9: type[0][0]: expected a whole number, found "a"
"#);
}

#[test]
fn nothing_is_not_a_value() {
    assert_snapshot!(check::<OutputSettings>("endpoint:\nhosts:\nlabels:\nbuffer:\nworkers: ~\nca_file: ~\n"), @r#"
agent.yaml:1:1: endpoint: expected text, found nothing
agent.yaml:2:1: hosts: expected a list, found nothing
agent.yaml:5:1: workers: expected a whole number from 0, found nothing
"#);
}

#[test]
fn wrong_shapes_are_named() {
    assert_snapshot!(check::<OutputSettings>("- a\n"), @"agent.yaml:1:1: expected a map of settings, found a list");
    assert_snapshot!(check::<OutputSettings>("endpoint: {a: b}\nbuffer: 5\nlabels: []\ncompress: [true]\n"), @r#"
agent.yaml:1:1: endpoint: expected text, found a map
agent.yaml:2:1: buffer: expected a map of settings, found 5
agent.yaml:3:1: labels: expected a map, found a list
agent.yaml:4:1: compress: expected true or false, found a list
"#);
}

#[test]
fn a_struct_without_required_keys_has_a_default() {
    assert_eq!(
        BufferSettings::default(),
        BufferSettings { size_max: ByteSize::gib(1), on_full: OnFull::Block }
    );
}

settings! {
    /// Settings of a test.
    pub struct FilesSettings {
        /// Patterns.
        pub include: Vec<String>,
    }

    /// Settings of a test.
    pub struct SyslogSettings {
        /// Where to listen.
        pub port: u16 = 514,
    }

    /// Settings of a test.
    pub struct CommonSettings {
        /// Only these records.
        pub when: Option<String>,
    }
}

kinds! {
    /// Where records come from.
    pub enum InputSettings: "input" {
        /// Tails files.
        Files(FilesSettings) = "files",
        /// Listens for syslog.
        Syslog(SyslogSettings) = "syslog",
    }
}

settings! {
    /// Settings of a test.
    pub struct AgentSettings {
        /// Inputs.
        pub inputs: BTreeMap<String, InputSettings> = BTreeMap::new(),
    }
}

#[test]
fn a_component_is_of_the_type_it_says_or_is_named_after() {
    assert_snapshot!(check::<AgentSettings>(
        "inputs:\n  syslog:\n  audit: { type: files, include: /var/log/audit.log }\n"
    ), @r#"
AgentSettings {
    inputs: {
        "audit": Files(
            FilesSettings {
                include: [
                    "/var/log/audit.log",
                ],
            },
        ),
        "syslog": Syslog(
            SyslogSettings {
                port: 514,
            },
        ),
    },
}
"#);
}

#[test]
fn unknown_component_types_are_explained() {
    assert_snapshot!(check::<AgentSettings>(
        "inputs:\n  sylog: {}\n  audit: { include: x }\n  a: { type: file }\n  b: { type: [] }\n  c: 5\n  files: { port: 1 }\n"
    ), @r#"
agent.yaml:2:3: inputs.sylog: `type` is missing, and the name is not a type; did you mean `syslog`?
agent.yaml:3:3: inputs.audit: `type` is missing, and the name is not a type; known: `files`, `syslog`
agent.yaml:4:8: inputs.a.type: unknown type `file`; did you mean `files`?
agent.yaml:5:8: inputs.b.type: expected the name of a type, found a list
agent.yaml:6:3: inputs.c: expected a map of settings, found 5
agent.yaml:7:3: inputs.files.include: required, and missing; expected list of text
agent.yaml:7:12: inputs.files.port: unknown key; known: `include`
"#);
}

#[test]
fn items_of_a_list_are_components_without_a_name() {
    assert_eq!(read_ok::<Vec<InputSettings>>("{ type: syslog }")[0].kind(), "syslog");
    let inputs: BTreeMap<String, InputSettings> = read_ok("a.syslog: { type: files, include: x }");
    assert_eq!(inputs["a.syslog"].kind(), "files");
    assert_snapshot!(check::<BTreeMap<String, Vec<InputSettings>>>("syslog: [{}, { type: x }]\n"), @r#"
agent.yaml:1:10: syslog[0]: `type` is missing; known: `files`, `syslog`
agent.yaml:1:16: syslog[1].type: unknown type `x`; known: `files`, `syslog`
"#);
    assert_snapshot!(check::<AgentSettings>("inputs: { a.syslog: {} }\n"), @"agent.yaml:1:11: inputs.a.syslog: `type` is missing, and the name is not a type; did you mean `syslog`?");
}

#[test]
fn two_structs_share_a_map() {
    let read = |text: &str| {
        let document = Document::parse("agent.yaml", text).unwrap();
        let mut problems = Problems::new();
        let both = read_both::<CommonSettings, SyslogSettings>(&document.at(), &mut problems);
        problems.into_result(both).map_err(|problems| problems.to_string())
    };
    let (common, syslog) = read("when: level >= error\nport: 1514\n").unwrap();
    assert_eq!((common.when.as_deref(), syslog.port), (Some("level >= error"), 1514));
    assert_snapshot!(read("wen: x\nprot: 1\nwhen: []\n").unwrap_err(), @r#"
agent.yaml:1:1: wen: unknown key; did you mean `when`?
agent.yaml:2:1: prot: unknown key; did you mean `port`?
agent.yaml:3:1: when: expected text, found a list
"#);
}

settings! {
    /// Outputs.
    pub struct ServerSettings {
        /// Inputs with something in common.
        pub inputs: BTreeMap<String, With<CommonSettings, InputSettings>> = BTreeMap::new(),
    }
}

#[test]
fn kinds_have_settings_in_common() {
    let settings: ServerSettings = read_ok("inputs: { a: { type: syslog, when: x }, files: { include: y } }");
    assert_eq!(settings.inputs["a"].common.when.as_deref(), Some("x"));
    assert_eq!(settings.inputs["files"].own.kind(), "files");
    assert_eq!(read_ok::<ServerSettings>(&settings.default_text()), settings);
    assert_snapshot!(check::<ServerSettings>("inputs: { syslog: { wen: a, prot: 1, type: files } }"), @r#"
agent.yaml:1:11: inputs.syslog.include: required, and missing; expected list of text
agent.yaml:1:21: inputs.syslog.wen: unknown key; did you mean `when`?
agent.yaml:1:29: inputs.syslog.prot: unknown key; known: `include`, `when`, `type`
"#);
    assert_snapshot!(sawyer_config::reference::markdown("server", 1, &ServerSettings::reference()), @r#"
# server

Outputs.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `inputs` | map of input | `{}` | Inputs with something in common. |

## server.inputs.<name> (every type)

Settings of a test.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `when` | text | none | Only these records. |

## server.inputs.<name> (type `files`)

Settings of a test.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `include` | list of text | required | Patterns. |

## server.inputs.<name> (type `syslog`)

Settings of a test.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `port` | whole number | `514` | Where to listen. |
"#);
    let schema = sawyer_config::reference::json_schema_value(&ServerSettings::reference());
    let files = &schema["properties"]["inputs"]["additionalProperties"]["anyOf"][0]["$ref"];
    let files = schema.pointer(files.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
    let files = &files["properties"];
    assert_eq!(files["type"]["const"], "files");
    assert!(files["when"].is_object() && files["include"].is_object(), "{files:#}");
}

settings! {
    /// A step, which may hold steps.
    pub struct StepSettings {
        /// Its name.
        pub name: String = "".into(),
        /// Steps inside it.
        pub steps: Vec<StepSettings> = Vec::new(),
    }

    /// Nothing to set.
    pub struct EmptySettings {}

    /// A group of steps.
    pub struct GroupSettings {
        /// The steps.
        pub steps: Vec<Step> = Vec::new(),
    }
}

kinds! {
    /// A step of some kind.
    pub enum Step: "step" {
        /// Steps.
        Group(GroupSettings) = "group",
    }
}

#[test]
fn settings_may_contain_themselves() {
    let settings: StepSettings = read_ok("steps: [{ name: a, steps: { name: b } }]");
    assert_eq!(settings.steps[0].steps[0].name, "b");
    assert_snapshot!(sawyer_config::reference::markdown("step", 1, &StepSettings::reference()), @r#"
# step

A step, which may hold steps.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `name` | text | `""` | Its name. |
| `steps` | list of settings | `[]` | Steps inside it. |
"#);
    let schema = sawyer_config::reference::json_schema_value(&StepSettings::reference());
    assert_eq!(schema["$defs"].as_object().unwrap().len(), 1);
    let schema = sawyer_config::reference::json_schema_value(&GroupSettings::reference());
    assert_eq!(schema["$defs"].as_object().unwrap().len(), 1);
    assert!(sawyer_config::reference::markdown("group", 1, &GroupSettings::reference()).contains("`steps`"));
    assert_eq!(read_ok::<GroupSettings>("steps: [{ type: group, steps: { type: group } }]").steps.len(), 1);
    assert_eq!(read_ok::<EmptySettings>(""), EmptySettings::default());
}

#[test]
fn secrets_are_not_printed() {
    let text = check::<OutputSettings>("endpoint: x\npassword: hunter2\n");
    assert!(!text.contains("hunter2") && text.contains("(hidden)"), "{text}");
}

#[test]
fn defaults_read_back() {
    let written = OutputSettings {
        endpoint: "a \"b\" ${c}: d # e".into(),
        hosts: vec!["true".into(), String::new(), "- x".into(), "1.0".into()],
        ..read_ok("endpoint: x\n")
    };
    let text = written.default_text();
    assert_eq!(read_ok::<OutputSettings>(&text), written, "{text}");
}

fn read_ok<T: Setting>(text: &str) -> T {
    let document = Document::parse("agent.yaml", text).unwrap();
    let mut problems = Problems::new();
    let value = T::read(&document.at(), &mut problems);
    problems.into_result(value).unwrap()
}

#[test]
fn the_manual_has_every_key() {
    assert_snapshot!(sawyer_config::reference::markdown("outputs", 2, &OutputSettings::reference()), @r#"
## outputs

Sends records somewhere.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `endpoint` | text | required | Host and port. |
| `batch_max` | size | `10MiB` | Largest request. |
| `flush_interval` | duration | `1s` | Longest wait. |
| `workers` | whole number, `1` to `64` | `4` | Requests at once. |
| `sample` | number, `0` to `1` | none | Share that is sent. |
| `compress` | true or false | `true` | Whether to compress. |
| `hosts` | list of text | `[a]` | Hosts \| peers. |
| `ca_file` | path | none | Certificates. |
| `buffer` | settings | see below | Its buffer. |
| `labels` | map of whole number | `{}` | Labels. |
| `type` | list of list of whole number | none | Rows. |
| `password` | secret text | none | Password. |
| `script` | anything | none | Anything. |

### outputs.buffer

Waiting records.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `size_max` | size, `1MiB` to `100GiB` | `1GiB` | Bytes on disk. |
| `on_full` | `block`, `drop_oldest` | `block` | What happens when it is full.<br>`block`: The input waits.<br>`drop_oldest`: The oldest records make room. |
"#);
    assert_snapshot!(sawyer_config::reference::markdown("agent", 2, &AgentSettings::reference()), @r#"
## agent

Settings of a test.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `inputs` | map of input | `{}` | Inputs. |

### agent.inputs.<name> (type `files`)

Settings of a test.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `include` | list of text | required | Patterns. |

### agent.inputs.<name> (type `syslog`)

Settings of a test.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `port` | whole number | `514` | Where to listen. |
"#);
}

#[test]
fn the_schema_has_every_key() {
    assert_snapshot!(sawyer_config::reference::json_schema(&AgentSettings::reference()), @r##"
{
  "$defs": {
    "decode::FilesSettings(,files)": {
      "additionalProperties": false,
      "description": "Settings of a test.",
      "properties": {
        "include": {
          "anyOf": [
            {
              "items": {
                "type": [
                  "string",
                  "number",
                  "boolean"
                ]
              },
              "type": "array"
            },
            {
              "type": [
                "string",
                "number",
                "boolean"
              ]
            }
          ],
          "description": "Patterns."
        },
        "type": {
          "const": "files"
        }
      },
      "required": [
        "include"
      ],
      "type": "object"
    },
    "decode::SyslogSettings(,syslog)": {
      "additionalProperties": false,
      "description": "Settings of a test.",
      "properties": {
        "port": {
          "default": 514,
          "description": "Where to listen.",
          "type": [
            "integer",
            "string"
          ]
        },
        "type": {
          "const": "syslog"
        }
      },
      "type": "object"
    }
  },
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "additionalProperties": false,
  "description": "Settings of a test.",
  "patternProperties": {
    "^x-": {}
  },
  "properties": {
    "include": {
      "anyOf": [
        {
          "items": {
            "type": [
              "string",
              "number",
              "boolean"
            ]
          },
          "type": "array"
        },
        {
          "type": [
            "string",
            "number",
            "boolean"
          ]
        }
      ]
    },
    "inputs": {
      "additionalProperties": {
        "anyOf": [
          {
            "$ref": "#/$defs/decode::FilesSettings(,files)"
          },
          {
            "$ref": "#/$defs/decode::SyslogSettings(,syslog)"
          },
          {
            "type": "null"
          }
        ]
      },
      "default": {},
      "description": "Inputs.",
      "type": [
        "object",
        "null"
      ]
    }
  },
  "title": "AgentSettings",
  "type": "object"
}
"##);
    let schema = sawyer_config::reference::json_schema_value(&OutputSettings::reference());
    assert_eq!(schema["required"], serde_json::json!(["endpoint"]));
    assert_eq!(schema["properties"]["batch_max"]["default"], "10MiB");
    assert_eq!(schema["properties"]["hosts"]["default"], serde_json::json!(["a"]));
    assert_eq!(schema["properties"]["type"]["default"], serde_json::Value::Null);
    assert_eq!(schema["properties"]["buffer"]["default"]["on_full"], "block");
}
