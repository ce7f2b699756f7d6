//! `settings!`, `choice!` and `kinds!`: settings written once.
//!
//! Owns: their syntax. Does not own: what they call (`settings`).
//! Invariant: a struct's reading, default and reference come from the same lines, so they cannot differ.

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
