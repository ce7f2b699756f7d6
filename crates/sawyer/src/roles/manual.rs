//! The configuration reference, from the settings' own words.

use std::fmt::Write as _;

use anyhow::Result;
use sawyer_config::{Reference, Settings, reference};
use sawyer_pipeline::Kind;
use sawyer_pipeline::topology::PipelineSettings;

use super::{Role, Shared, kinds, say};

const HEAD: &str = "# Configuration reference

<!-- Made by `cargo xtask docs` from the settings' doc comments. Do not edit. -->

A configuration is one YAML file, `sawyer.yaml`, and the files that it includes: `include: conf.d/*.yaml`. `${NAME}` stands
for a variable of the environment, `${NAME:-default}` for one with a default, `${file:/path}` for the content of a file.
`sawyer check --config sawyer.yaml` reports every problem with its place.

```yaml
data: /var/lib/sawyer
inputs:
  containers:                  # a component is named; its type may be left out where the name says it
  audit: {type: files, include: [/var/log/audit/audit.log]}
pipelines:
  main:
    inputs: [containers, audit]
    steps:
      - drop: {when: 'level: debug'}
    outputs: [store]
outputs:
  store:
store:
  retention: 14d
```
";

const RELOADING: &str = "
## Changing it while Sawyer runs

Sawyer reads its files again every second, and at SIGHUP at once: the first one, those it includes, and those that
`${file:…}` names; links are followed, so that a ConfigMap that is mounted is noticed. When two readings agree on something
new, it is checked as a whole. If it is good, what was read is passed on (4 s of `drain` at most), and everything goes on with
the new settings where it was: nothing is lost or stored twice, the listener and live tails stay, and records that are
pushed meanwhile wait. If anything is wrong with it, or it cannot be opened, it is refused as a whole and the one before goes
on. The log and `/readyz` then have the reasons, `sawyer_config_reloads_total{result=\"refused\"}` counts, and
`sawyer_config_refused_problems` is not 0 until the files are right again.

`inputs`, `pipelines`, `outputs`, `alerts` and `drain` can change so; where only `alerts` does, records are not held up. A
change of anything else is refused, because it takes a restart.
";

const STEPS: &str = "
Every pipeline has the steps `multiline`, `mask` and `parse`, in this order. `steps` lists what comes behind them: the
name of a step, or a map from its name to its settings. If the list names one of the three itself, it stands there, and
each of the others stays behind the one before it. [Steps](steps.md) tells more.
";

/// `sawyer reference`
pub(crate) fn reference() -> Result<()> {
    say(text().trim_end());
    Ok(())
}

fn text() -> String {
    let kinds = kinds(widest_role(), &Shared::default());
    let mut text = HEAD.to_owned();
    text.push_str(RELOADING);
    section(&mut text, "The process", 2, &sawyer_agent::ProcessSettings::reference());
    #[cfg(feature = "server")]
    section(&mut text, "`store`", 2, &sawyer_store::StoreSettings::reference());
    #[cfg(feature = "server")]
    section(&mut text, "`queries`", 2, &sawyer_server::QuerySettings::reference());
    #[cfg(feature = "server")]
    section(&mut text, "`alerts`", 2, &sawyer_alert::AlertSettings::reference());
    section(&mut text, "`pipelines`", 2, &PipelineSettings::reference());
    text.push_str(STEPS);
    all(&mut text, "Inputs", &kinds.inputs);
    all(&mut text, "Steps", &kinds.steps);
    all(&mut text, "Outputs", &kinds.outputs);
    section(&mut text, "`buffer` of an output", 2, &buffer());
    text.push_str("\nOutputs that send to other machines have a buffer on disk, others have none unless the key `buffer` is there.\n");
    text
}

/// A buffer's own settings, and those of what is put into it.
fn buffer() -> Reference {
    use sawyer_pipeline::topology::{BufferSettings, UrgentSettings};
    let mut buffer = BufferSettings::reference();
    buffer.entries.extend(UrgentSettings::reference().entries);
    buffer
}

fn widest_role() -> Role {
    #[cfg(feature = "server")]
    return Role::Server;
    #[cfg(not(feature = "server"))]
    Role::Agent
}

fn all<P>(text: &mut String, title: &str, kinds: &[Kind<P>]) {
    let _ = write!(text, "\n## {title}\n");
    for kind in kinds {
        section(text, &format!("`{}`", kind.name), 3, &(kind.reference)());
    }
}

fn section(text: &mut String, title: &str, level: usize, about: &Reference) {
    text.push('\n');
    text.push_str(reference::markdown(title, level, about).trim_end());
    text.push('\n');
}
