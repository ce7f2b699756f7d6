//! What the documents show is what the program takes.

use std::fs;
use std::path::Path;

use crate::harness::{run, text};

#[test]
fn every_example_of_steps_and_masking_is_a_good_configuration() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    for (name, least) in [("steps.md", 8), ("masking.md", 2), ("quick-start.md", 1), ("configuration.md", 1)]
    {
        let document = fs::read_to_string(docs.join(name)).unwrap();
        let examples: Vec<&str> =
            document.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(examples.len() >= least, "{name} has {} examples", examples.len());
        for example in examples {
            fs::write(&config, example).unwrap();
            let output = run(&["check", "--config", config.to_str().unwrap()]);
            assert!(output.status.success(), "{name}:\n{example}\n{}", text(&output.stderr));
        }
    }
}
