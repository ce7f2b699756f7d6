//! How YAML is read, included, expanded, checked and explained.
//!
//! Owns: the machinery. Settings live with the component they set; this crate knows none of them.
//! Does not own: the meaning of any key, except `include` at the top and `type` in a component.
//! Invariant: all problems of a configuration are found in one reading, each with its place; no text makes the
//! machinery panic, recurse deeply or take more than bounded memory.
//!
//! # A component's settings
//! Write the struct once with `settings!`; reading, defaults, the manual and the JSON schema follow from it.
//! The settings are what the user typed; `check` turns them into a plan, and may report more problems.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//! use sawyer_config::{At, ByteSize, Document, Problems, Setting, Settings, choice, reference, settings};
//!
//! choice! {
//!     /// What happens when the buffer is full.
//!     pub enum OnFull {
//!         /// The input waits.
//!         Block = "block",
//!         /// The oldest records make room, and are counted.
//!         DropOldest = "drop_oldest",
//!     }
//! }
//!
//! settings! {
//!     /// Sends records over HTTP.
//!     pub struct HttpSettings {
//!         /// Where to. No default, so the key is required.
//!         pub endpoint: String,
//!         /// Largest request. Larger ones are fewer, but lost requests cost more.
//!         #[range(ByteSize::kib(64)..=ByteSize::gib(1))]
//!         pub batch_max: ByteSize = ByteSize::mib(10),
//!         /// Longest wait for a full request.
//!         pub flush_interval: Duration = Duration::from_secs(1),
//!         /// What happens when the buffer is full.
//!         pub on_full: OnFull = OnFull::Block,
//!         /// A proxy on the way. None by default.
//!         pub proxy: Option<String>,
//!         /// Headers to add.
//!         pub headers: BTreeMap<String, String> = BTreeMap::new(),
//!     }
//! }
//!
//! /// What was checked.
//! struct HttpPlan { host: String, settings: HttpSettings }
//!
//! impl HttpSettings {
//!     fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<HttpPlan> {
//!         let Some(host) = self.endpoint.strip_prefix("https://") else {
//!             problems.expected(&at.key("endpoint"), "a URL that starts with https://");
//!             return None;
//!         };
//!         Some(HttpPlan { host: host.to_owned(), settings: self })
//!     }
//! }
//!
//! fn plan(text: &str) -> Result<HttpPlan, Problems> {
//!     let document = Document::parse("agent.yaml", text)?;
//!     let mut problems = Problems::new();
//!     let at = document.at();
//!     let plan = HttpSettings::read(&at, &mut problems)
//!         .and_then(|settings| settings.check(&at, &mut problems));
//!     problems.into_result(plan)
//! }
//!
//! let good = plan("endpoint: https://logs:443\nbatch_max: 64KiB\n").expect("nothing is wrong");
//! assert_eq!((good.host.as_str(), good.settings.batch_max), ("logs:443", ByteSize::kib(64)));
//!
//! let problems = plan("endpont: https://logs\nbatch_max: 10 megs\non_full: dropoldest\n").err().expect("much is wrong");
//! assert_eq!(problems.to_string(), r#"agent.yaml:1:1: endpoint: required, and missing; expected text
//! agent.yaml:1:1: endpont: unknown key; did you mean `endpoint`?
//! agent.yaml:2:1: batch_max: expected a size such as "10MiB", found "10 megs"
//! agent.yaml:3:1: on_full: expected one of `block`, `drop_oldest`, found "dropoldest"; did you mean `drop_oldest`?"#);
//!
//! let manual = reference::markdown("http", 2, &HttpSettings::reference());
//! assert!(manual.contains("| `batch_max` | size, `64KiB` to `1GiB` | `10MiB` | Largest request."));
//! ```
//!
//! # Named components
//! `kinds!` declares the kinds of a section such as `inputs`; a `BTreeMap<String, InputSettings>` in another
//! `settings!` reads it. Where kinds are not known at compile time, use [`read_components`].
//! Keys common to all kinds are a second struct, read from the same map with [`With`] or [`read_both`].

mod at;
mod components;
mod document;
mod expand;
mod glob;
mod include;
mod macros;
mod nearest;
mod node;
mod parse;
mod place;
mod problem;
mod quantity;
mod scalar;
mod secret;
mod setting;
mod settings;
mod size;

pub mod duration;
pub mod reference;

pub use at::At;
pub use components::{Component, TYPE, read_component, read_components};
pub use document::{Document, Loader};
pub use nearest::nearest;
pub use node::{Key, Kind, Node};
pub use place::Place;
pub use problem::{PROBLEMS_MAX, Problem, Problems};
pub use reference::{Entry, JsonType, KindInfo, Reference, TypeInfo};
pub use secret::Secret;
pub use setting::{Setting, read_scalar, yaml_text};
pub use settings::{Settings, With, read_both};
pub use size::{ByteSize, NotASize};

#[doc(hidden)]
pub use settings::{MapReader, doc_text, plain_key, read_choice};
