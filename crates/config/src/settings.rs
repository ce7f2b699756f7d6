//! Structs of settings, choices among names, and kinds of components, each written once.
//!
//! Owns: the macros `settings!`, `choice!` and `kinds!`, and what they expand to.
//! Invariant: a struct's reading, default and reference come from the same lines, so they cannot differ.

use std::ops::RangeInclusive;

use crate::at::At;
use crate::nearest::hint;
use crate::node::Kind;
use crate::problem::Problems;
use crate::reference::{Reference, TypeInfo};
use crate::setting::Setting;

/// A struct of settings, made by `settings!`.
pub trait Settings: Setting {
    /// The keys.
    const KEYS: &'static [&'static str];

    /// The description for the manual and the schema.
    fn reference() -> Reference;

    /// Reads the struct's own keys from a map that has others besides, which are not its business.
    fn read_part(at: &At<'_>, problems: &mut Problems) -> Option<Self>;
}

/// Reads two settings from one map: a key is known if either has it. The second may be an enum made by `kinds!`.
pub fn read_both<A: Settings, B: Setting>(at: &At<'_>, problems: &mut Problems) -> Option<(A, B)> {
    let first = A::read_part(at, problems);
    let second = B::read(&at.without(A::KEYS), problems);
    first.zip(second)
}

/// A component's settings: those that every kind has, and beside them in the same map those of its own kind.
///
/// `BTreeMap<String, With<OutputCommon, OutputKind>>` is a section of outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct With<C, K> {
    /// What every kind has.
    pub common: C,
    /// What only this kind has.
    pub own: K,
}

impl<C: Settings, K: Setting> Setting for With<C, K> {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<With<C, K>> {
        read_both(at, problems).map(|(common, own)| With { common, own })
    }

    fn describe() -> TypeInfo {
        TypeInfo::With { common: C::reference, own: Box::new(K::describe()) }
    }

    fn default_text(&self) -> String {
        let (common, own) = (self.common.default_text(), self.own.default_text());
        match (common.trim_end_matches('}'), own.trim_start_matches('{')) {
            ("{", _) => own,
            (_, "}") => common,
            (common, own) => format!("{common}, {own}"),
        }
    }
}

/// Reads the keys of one map. For what `settings!` expands to.
#[doc(hidden)]
#[derive(Debug)]
pub struct MapReader<'a> {
    at: At<'a>,
}

impl<'a> MapReader<'a> {
    /// Opens a map, or nothing as an empty one.
    pub fn open(at: &At<'a>, problems: &mut Problems) -> Option<MapReader<'a>> {
        if !matches!(at.node().kind, Kind::Map(_) | Kind::Null) {
            problems.expected(at, "a map of settings");
            return None;
        }
        Some(MapReader { at: at.clone() })
    }

    /// Reports keys that are not among those given.
    pub fn refuse_unknown(&self, known: &'static [&'static str], problems: &mut Problems) {
        for (key, at) in self.at.entries() {
            if !known.contains(&key.text.as_str()) {
                let candidates = known.iter().chain(self.at.taken()).copied();
                problems.push(&at, format!("unknown key{}", hint(&key.text, candidates)));
            }
        }
    }

    /// A key's value; if it is not there, what its type says to that.
    pub fn required<T: Setting>(&self, key: &str, problems: &mut Problems) -> Option<T> {
        if let Some(at) = self.at.get(key) {
            return T::read(&at, problems);
        }
        let absent = T::absent();
        if absent.is_none() {
            problems
                .push(&self.at.key(key), format!("required, and missing; expected {}", T::describe().name()));
        }
        absent
    }

    /// A key's value, or its default.
    pub fn or<T: Setting>(
        &self,
        key: &str,
        problems: &mut Problems,
        default: impl FnOnce() -> T,
    ) -> Option<T> {
        self.at.get(key).map_or_else(|| Some(default()), |at| T::read(&at, problems))
    }

    /// The value if it is within limits.
    pub fn within<T: Setting + PartialOrd>(
        &self,
        key: &str,
        problems: &mut Problems,
        value: T,
        range: &RangeInclusive<T>,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (min, max) = (range.start().default_text(), range.end().default_text());
        problems.push(
            &self.at.key(key),
            format!("expected a value from {min} to {max}, found {}", value.default_text()),
        );
        None
    }
}

/// A key without the mark of a raw identifier: `type` for `r#type`.
#[doc(hidden)]
pub const fn plain_key(key: &'static str) -> &'static str {
    match key.as_bytes() {
        [b'r', b'#', ..] => key.split_at(2).1,
        _ => key,
    }
}

/// A doc comment without the blank that starts each line.
#[doc(hidden)]
pub fn doc_text(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

/// Reads one of some names. For what `choice!` expands to.
#[doc(hidden)]
pub fn read_choice<T: Copy>(at: &At<'_>, problems: &mut Problems, values: &[(&'static str, T)]) -> Option<T> {
    let found = at.text().and_then(|text| values.iter().find(|(name, _)| *name == text));
    if found.is_none() {
        let names: Vec<String> = values.iter().map(|(name, _)| format!("`{name}`")).collect();
        let near =
            at.text().and_then(|text| crate::nearest::nearest(text, values.iter().map(|(name, _)| *name)));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let found = at.node().found();
        problems.push(at, format!("expected one of {}, found {found}{near}", names.join(", ")));
    }
    found.map(|(_, value)| *value)
}

/// Declares a struct of settings: its fields, their defaults and their doc comments are all there is to write.
///
/// ```
/// # use sawyer_config::{ByteSize, settings};
/// # use std::time::Duration;
/// settings! {
///     /// Sends records to a peer.
///     pub struct PeerSettings {
///         /// Host and port. Without `=` a key is required.
///         pub address: String,
///         /// An `Option` without `=` defaults to nothing.
///         pub proxy: Option<String>,
///         /// Everything else takes its default after `=`. A range limits what is accepted.
///         #[range(ByteSize::kib(1)..=ByteSize::gib(1))]
///         pub batch_max: ByteSize = ByteSize::mib(10),
///     }
/// }
/// ```
/// It derives `Debug`, `Clone` and `PartialEq`, implements [`Setting`](crate::Setting) and
/// [`Settings`](crate::Settings), and `Default` if no key is required. Fields take doc comments and `#[range(..)]`
/// only, in this order.
#[macro_export]
macro_rules! settings {
    () => {};
    ($(#[doc = $doc:literal])* $vis:vis struct $name:ident { $($body:tt)* } $($more:tt)*) => {
        $crate::__settings! { @fields [$($doc)*] [$vis] $name [full] [] $($body)* }
        $crate::settings! { $($more)* }
    };
}

/// Takes the fields one by one as `{ [doc] [vis] name [type] [default] [range] }`, then writes the struct.
#[doc(hidden)]
#[macro_export]
macro_rules! __settings {
    (@fields $doc:tt $vis:tt $name:ident $full:tt [$($done:tt)*]
        $(#[doc = $fdoc:literal])* $(#[range($range:expr)])? $fvis:vis $field:ident : Option<$inner:ty>
        $(, $($rest:tt)*)?) => {
        $crate::__settings! { @fields $doc $vis $name $full
            [$($done)* { [$($fdoc)*] [$fvis] $field [Option<$inner>] [optional] [optional $($range)?] }] $($($rest)*)? }
    };
    (@fields $doc:tt $vis:tt $name:ident $full:tt [$($done:tt)*]
        $(#[doc = $fdoc:literal])* $(#[range($range:expr)])? $fvis:vis $field:ident : $type:ty = $default:expr
        $(, $($rest:tt)*)?) => {
        $crate::__settings! { @fields $doc $vis $name $full
            [$($done)* { [$($fdoc)*] [$fvis] $field [$type] [= $default] [$($range)?] }] $($($rest)*)? }
    };
    (@fields $doc:tt $vis:tt $name:ident $full:tt [$($done:tt)*]
        $(#[doc = $fdoc:literal])* $(#[range($range:expr)])? $fvis:vis $field:ident : $type:ty
        $(, $($rest:tt)*)?) => {
        $crate::__settings! { @fields $doc $vis $name []
            [$($done)* { [$($fdoc)*] [$fvis] $field [$type] [required] [$($range)?] }] $($($rest)*)? }
    };
    (@fields [$($doc:literal)*] [$vis:vis] $name:ident $full:tt
        [$({ [$($fdoc:literal)*] [$fvis:vis] $field:ident [$type:ty] $default:tt $range:tt })*]) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $fdoc])* $fvis $field: $type,)*
        }

        impl $crate::Settings for $name {
            const KEYS: &'static [&'static str] = &[$($crate::plain_key(stringify!($field))),*];

            fn reference() -> $crate::Reference {
                $crate::Reference {
                    name: stringify!($name),
                    id: concat!(module_path!(), "::", stringify!($name)),
                    doc: $crate::doc_text(&[$($doc),*]),
                    entries: vec![$($crate::Entry {
                        key: $crate::plain_key(stringify!($field)),
                        value: <$type as $crate::Setting>::describe(),
                        default: $crate::__settings!(@default_text [$type] $default),
                        range: $crate::__settings!(@range_text [$type] $range),
                        doc: $crate::doc_text(&[$($fdoc),*]),
                    }),*],
                }
            }

            #[allow(unused_variables, reason = "a struct may have no fields")]
            fn read_part(at: &$crate::At<'_>, problems: &mut $crate::Problems) -> Option<Self> {
                let reader = $crate::MapReader::open(at, problems)?;
                $(let $field = $crate::__settings!(@read reader problems $field [$type] $default $range);)*
                Some(Self { $($field: $field?),* })
            }
        }

        impl $crate::Setting for $name {
            fn read(at: &$crate::At<'_>, problems: &mut $crate::Problems) -> Option<Self> {
                $crate::MapReader::open(at, problems)?
                    .refuse_unknown(<Self as $crate::Settings>::KEYS, problems);
                <Self as $crate::Settings>::read_part(at, problems)
            }

            fn describe() -> $crate::TypeInfo {
                $crate::TypeInfo::Settings {
                    name: stringify!($name),
                    reference: <Self as $crate::Settings>::reference,
                }
            }

            fn default_text(&self) -> String {
                let entries: Vec<String> = vec![$(format!(
                    "{}: {}",
                    $crate::plain_key(stringify!($field)),
                    $crate::Setting::default_text(&self.$field),
                )),*];
                format!("{{{}}}", entries.join(", "))
            }
        }

        $crate::__settings! { @default $full $name [$({ $field $default })*] }
    };

    (@default [] $($rest:tt)*) => {};
    (@default [full] $name:ident [$({ $field:ident $default:tt })*]) => {
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::__settings!(@value $default)),* }
            }
        }
    };
    (@value [= $default:expr]) => { $default };
    (@value [optional]) => { None };

    (@default_text [$type:ty] [= $default:expr]) => {{
        let default: $type = $default;
        Some($crate::Setting::default_text(&default))
    }};
    (@default_text [$type:ty] [optional]) => { Some("null".to_owned()) };
    (@default_text [$type:ty] [required]) => {
        <$type as $crate::Setting>::absent().map(|absent| $crate::Setting::default_text(&absent))
    };

    (@range_text [$type:ty] []) => { None };
    (@range_text [$type:ty] [optional]) => { None };
    (@range_text [$type:ty] [optional $range:expr]) => {{
        let range = $range;
        Some(($crate::Setting::default_text(range.start()), $crate::Setting::default_text(range.end())))
    }};
    (@range_text [$type:ty] [$range:expr]) => {{
        let range: std::ops::RangeInclusive<$type> = $range;
        Some(($crate::Setting::default_text(range.start()), $crate::Setting::default_text(range.end())))
    }};

    (@read $reader:ident $problems:ident $field:ident [$type:ty] $default:tt []) => {
        $crate::__settings!(@read_plain $reader $problems $field [$type] $default)
    };
    (@read $reader:ident $problems:ident $field:ident [$type:ty] $default:tt [optional]) => {
        $crate::__settings!(@read_plain $reader $problems $field [$type] $default)
    };
    (@read $reader:ident $problems:ident $field:ident [$type:ty] $default:tt [optional $range:expr]) => {
        $crate::__settings!(@read_plain $reader $problems $field [$type] $default).and_then(|value| match value {
            None => Some(None),
            Some(value) => $reader
                .within($crate::plain_key(stringify!($field)), $problems, value, &$range)
                .map(Some),
        })
    };
    (@read $reader:ident $problems:ident $field:ident [$type:ty] $default:tt [$range:expr]) => {
        $crate::__settings!(@read_plain $reader $problems $field [$type] $default).and_then(|value| {
            $reader.within($crate::plain_key(stringify!($field)), $problems, value, &$range)
        })
    };
    (@read_plain $reader:ident $problems:ident $field:ident [$type:ty] [= $default:expr]) => {
        $reader.or::<$type>($crate::plain_key(stringify!($field)), $problems, || $default)
    };
    (@read_plain $reader:ident $problems:ident $field:ident [$type:ty] [$mode:ident]) => {
        $reader.required::<$type>($crate::plain_key(stringify!($field)), $problems)
    };
}

/// Declares an enum of which a setting takes one name: each variant has a doc comment and its name in YAML.
///
/// ```
/// # use sawyer_config::choice;
/// choice! {
///     /// What happens when the buffer is full.
///     pub enum OnFull {
///         /// The input waits.
///         Block = "block",
///         /// The oldest records make room.
///         DropOldest = "drop_oldest",
///     }
/// }
/// assert_eq!(OnFull::DropOldest.as_str(), "drop_oldest");
/// ```
/// It derives `Debug`, `Clone`, `Copy`, `PartialEq`, `Eq`, `PartialOrd`, `Ord` and `Hash`, and implements `Display` and
/// [`Setting`](crate::Setting).
#[macro_export]
macro_rules! choice {
    () => {};
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $text:literal),+ $(,)? }
        $($more:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[doc = $vdoc])* $variant,)+
        }

        #[allow(dead_code, unreachable_pub, reason = "not every choice needs all of them, nor is every one public")]
        impl $name {
            /// All values.
            pub const ALL: &'static [(&'static str, $name)] = &[$(($text, $name::$variant)),+];

            /// The name in YAML.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Setting for $name {
            fn read(at: &$crate::At<'_>, problems: &mut $crate::Problems) -> Option<Self> {
                $crate::read_choice(at, problems, Self::ALL)
            }

            fn describe() -> $crate::TypeInfo {
                $crate::TypeInfo::Choice { values: vec![$(($text, $crate::doc_text(&[$($vdoc),*]))),+] }
            }

            fn default_text(&self) -> String {
                $crate::yaml_text(self.as_str())
            }
        }

        $crate::choice! { $($more)* }
    };
}

/// Declares an enum of component kinds, told apart by the key `type`, or by the component's name without it.
///
/// ```
/// # use sawyer_config::{kinds, settings};
/// # settings! { pub struct FilesSettings { pub include: String } pub struct SyslogSettings { pub port: u16 = 514 } }
/// kinds! {
///     /// Where records come from.
///     pub enum InputSettings: "input" {
///         /// Tails files.
///         Files(FilesSettings) = "files",
///         /// Listens for syslog.
///         Syslog(SyslogSettings) = "syslog",
///     }
/// }
/// ```
/// It derives `Debug`, `Clone` and `PartialEq`, and implements [`Setting`](crate::Setting), so that
/// `BTreeMap<String, InputSettings>` is a section of named components. `kind()` is the name in YAML.
#[macro_export]
macro_rules! kinds {
    () => {};
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident : $what:literal {
            $($(#[doc = $vdoc:literal])* $variant:ident($settings:ty) = $text:literal),+ $(,)?
        }
        $($more:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis enum $name {
            $($(#[doc = $vdoc])* $variant($settings),)+
        }

        #[allow(dead_code, unreachable_pub, reason = "not every enum needs all of them, nor is every one public")]
        impl $name {
            /// All kinds.
            pub const KINDS: &'static [&'static str] = &[$($text),+];

            /// The kind's name in YAML.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $($name::$variant(_) => $text,)+
                }
            }

            /// All kinds with their settings, for the manual.
            pub fn kinds() -> Vec<$crate::KindInfo> {
                vec![$($crate::KindInfo {
                    kind: $text,
                    reference: <$settings as $crate::Settings>::reference,
                }),+]
            }

            /// Reads the settings of a component whose kind is known.
            pub fn read_kind(
                component: &$crate::Component<'_>,
                problems: &mut $crate::Problems,
            ) -> Option<Self> {
                match component.kind {
                    $($text => <$settings as $crate::Setting>::read(&component.at, problems).map(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl $crate::Setting for $name {
            fn read(at: &$crate::At<'_>, problems: &mut $crate::Problems) -> Option<Self> {
                let component = $crate::read_component(at, Self::KINDS, problems)?;
                Self::read_kind(&component, problems)
            }

            fn describe() -> $crate::TypeInfo {
                $crate::TypeInfo::Kinds { name: $what, kinds: Self::kinds }
            }

            fn default_text(&self) -> String {
                let settings = match self {
                    $($name::$variant(settings) => $crate::Setting::default_text(settings),)+
                };
                format!("{{type: {}, {}", self.kind(), settings.trim_start_matches('{'))
            }
        }

        $crate::kinds! { $($more)* }
    };
}
