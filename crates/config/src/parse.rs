//! YAML text to a tree with places.
//!
//! Owns: the walk over the parser's events, anchors and aliases, merge keys, limits.
//! Does not own: scanning YAML (`saphyr-parser`), what a plain scalar means (`scalar`), expansion (`expand`).
//! Invariant: keys of a map are unique; no tree is deeper than [`DEPTH_MAX`] or weighs more than [`WEIGHT_MAX`],
//! so that whoever walks a tree may recurse.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::at::join;
use crate::expand::{self, Values};
use crate::node::{Key, Kind, Node};
use crate::place::Place;
use crate::problem::{Problem, Problems};
use crate::scalar;

/// Bytes of one file. A larger one is refused before it is parsed: it is not a configuration.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// Lists and maps inside each other. A deeper file is refused, since its readers recurse.
pub(crate) const DEPTH_MAX: usize = 64;

/// Weight of a tree, aliases and variables filled in: its bytes of text, and [`NODE_WEIGHT`] for each value.
/// A file whose aliases multiply beyond it is refused before it fills the memory.
pub(crate) const WEIGHT_MAX: usize = 64 << 20;

/// About what a value takes in memory besides its text, in bytes.
const NODE_WEIGHT: usize = 96;

/// Parses one file. On a syntax error there is a problem and no tree; after other problems the tree is what could
/// be understood.
pub(crate) fn parse(
    file: &Arc<str>,
    text: &str,
    values: &dyn Values,
    problems: &mut Problems,
) -> Option<Node> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("file is larger than {FILE_BYTES_MAX} bytes");
        problems.add(Problem { place: Place::whole(file), path: String::new(), message });
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(file, values, problems);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, span)) => builder.event(event, span.start),
            Err(error) => Err((*error.marker(), syntax_message(text, error.marker(), error.info()))),
        };
        if let Err((marker, message)) = taken {
            builder.report(marker, message);
            return None;
        }
    }
    builder.root.or_else(|| Some(Node::new(Place { file: file.clone(), line: 1, column: 1 }, Kind::Null)))
}

/// A scanner's message in the user's terms.
fn syntax_message(text: &str, marker: &Marker, info: &str) -> String {
    let line = text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let indent = &line[..line.len() - line.trim_start().len()];
    if indent.contains('\t') {
        return "expected spaces as indentation, found a tab".to_owned();
    }
    let explained = match info {
        "mapping values are not allowed in this context" => {
            "expected one value, found a second `: `; quote text that contains one, or check the indentation"
        }
        "illegal placement of ':' indicator" => "unexpected `:`; is a `[` or `{` before it not closed?",
        "invalid indentation in quoted scalar" => "expected the closing quote of this text",
        "recursion limit exceeded" => return too_deep(),
        _ if info.contains("unknown anchor") => "alias refers to an anchor that is not defined before it",
        _ if info.starts_with("unexpected character: ") => {
            "text cannot start with this character; quote the text"
        }
        _ => return format!("not valid YAML: {info}"),
    };
    explained.to_owned()
}

/// What ends the parsing of a file: where, and why.
type Stop = (Marker, String);

/// A finished value with what it adds to the limits.
struct Built {
    node: Node,
    weight: usize,
    depth: usize,
}

/// An open list or map.
struct Frame {
    place: Place,
    anchor: usize,
    weight: usize,
    depth: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map(MapItems),
}

#[derive(Default)]
struct MapItems {
    entries: Vec<(Key, Node)>,
    seen: HashMap<String, Place>,
    key: Option<PendingKey>,
    merged: Vec<Node>,
}

struct PendingKey {
    key: Key,
    is_merge: bool,
}

/// Turns events into a tree.
struct Builder<'a> {
    file: &'a Arc<str>,
    values: &'a dyn Values,
    problems: &'a mut Problems,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    weight: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(file: &'a Arc<str>, values: &'a dyn Values, problems: &'a mut Problems) -> Builder<'a> {
        Builder { file, values, problems, stack: Vec::new(), anchors: HashMap::new(), weight: 0, root: None }
    }

    fn event(&mut self, event: Event<'_>, marker: Marker) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err((marker, "expected one document in a file, found a second one".to_owned()))
            }
            Event::Scalar(text, style, anchor, tag) if self.awaits_key() => {
                let is_merge = text == "<<" && style == ScalarStyle::Plain;
                self.anchor_key(&text, marker, anchor)?;
                tag.map_or(Ok(()), |tag| Err((marker, format!("tag `{tag}` is not supported on a key"))))?;
                self.key(&text, marker, is_merge)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), marker)?;
                let weight = weight(&node);
                self.attach(Built { node, weight, depth: 0 }, anchor, marker)
            }
            Event::Alias(id) => self.alias(id, marker),
            Event::SequenceStart(anchor, tag) => {
                self.open(Items::List(Vec::new()), anchor, tag.as_deref(), "seq", marker)
            }
            Event::MappingStart(anchor, tag) => {
                self.open(Items::Map(MapItems::default()), anchor, tag.as_deref(), "map", marker)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(marker),
            _ => Ok(()),
        }
    }

    fn alias(&mut self, id: usize, marker: Marker) -> Result<(), Stop> {
        let Some(Built { node, weight, depth }) = self.anchors.get(&id) else {
            return Err((marker, "alias stands inside the value it refers to".to_owned()));
        };
        if self.awaits_key() {
            let text = node.text().unwrap_or_default().to_owned();
            return self.key(&text, marker, false);
        }
        if self.stack.len() + depth > DEPTH_MAX {
            return Err((marker, too_deep()));
        }
        if self.weight + weight > WEIGHT_MAX {
            return Err((marker, too_heavy()));
        }
        let built = Built { node: node.clone(), weight: *weight, depth: *depth };
        self.attach(built, 0, marker)
    }

    fn open(
        &mut self,
        items: Items,
        anchor: usize,
        tag: Option<&Tag>,
        own_tag: &str,
        marker: Marker,
    ) -> Result<(), Stop> {
        if self.awaits_key() {
            return Err((marker, "expected text as a key, found a list or a map".to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == own_tag)) {
            return Err((marker, format!("tag `{tag}` is not supported")));
        }
        if self.stack.len() >= DEPTH_MAX {
            return Err((marker, too_deep()));
        }
        let place = self.place(marker);
        self.stack.push(Frame { place, anchor, weight: NODE_WEIGHT, depth: 0, items });
        self.add_weight(NODE_WEIGHT, marker)
    }

    fn close(&mut self, marker: Marker) -> Result<(), Stop> {
        let frame = self.stack.pop().expect("the parser ends only what it has begun");
        let kind = match frame.items {
            Items::List(items) => Kind::List(items),
            Items::Map(map) => Kind::Map(map.finish()),
        };
        let node = Node::new(frame.place, kind);
        // The weight of what was inside is in the total already.
        self.weight -= frame.weight;
        self.attach(Built { node, weight: frame.weight, depth: frame.depth + 1 }, frame.anchor, marker)
    }

    /// Puts a finished value where it belongs.
    fn attach(&mut self, built: Built, anchor: usize, marker: Marker) -> Result<(), Stop> {
        self.add_weight(built.weight, marker)?;
        if anchor != 0 {
            self.add_weight(built.weight, marker)?;
            self.anchors.insert(anchor, Built { node: built.node.clone(), ..built });
        }
        let path = self.path();
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(built.node);
            return Ok(());
        };
        frame.weight += built.weight;
        frame.depth = frame.depth.max(built.depth);
        match &mut frame.items {
            Items::List(items) => items.push(built.node),
            Items::Map(map) => {
                let PendingKey { key, is_merge } = map.key.take().expect("keys were handled before");
                if is_merge {
                    return map.merge(built.node).map_err(|message| (marker, message));
                }
                let place = key.place.clone();
                if let Err(message) = map.insert(key, built.node) {
                    self.problems.add(Problem { place, path, message });
                }
            }
        }
        Ok(())
    }

    /// Remembers an anchored key, which an alias may repeat as a value.
    fn anchor_key(&mut self, text: &str, marker: Marker, anchor: usize) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        let node = Node::new(self.place(marker), Kind::Text(text.to_owned()));
        let weight = weight(&node);
        self.anchors.insert(anchor, Built { node, weight, depth: 0 });
        self.add_weight(weight, marker)
    }

    fn key(&mut self, text: &str, marker: Marker, is_merge: bool) -> Result<(), Stop> {
        if text.is_empty() {
            return Err((marker, "expected text as a key, found nothing".to_owned()));
        }
        let key = Key { text: text.to_owned(), place: self.place(marker) };
        let key_weight = NODE_WEIGHT + text.len();
        if let Some(Frame { items: Items::Map(map), weight, .. }) = self.stack.last_mut() {
            map.key = Some(PendingKey { key, is_merge });
            *weight += key_weight;
        }
        self.add_weight(key_weight, marker)
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { items: Items::Map(MapItems { key: None, .. }), .. }))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        marker: Marker,
    ) -> Result<Node, Stop> {
        let place = self.place(marker);
        let is_plain = match tag {
            None => style == ScalarStyle::Plain,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => false,
            Some(tag) => return Err((marker, format!("tag `{tag}` is not supported"))),
        };
        if !expand::is_needed(text) {
            return Ok(if is_plain {
                plain(place, text)
            } else {
                Node::new(place, Kind::Text(text.to_owned()))
            });
        }
        match expand::expand(text, self.values) {
            Ok(done) if is_plain && !done.secret => Ok(filled_in(place, &done.text)),
            Ok(done) => Ok(Node { secret: done.secret, ..Node::new(place, Kind::Text(done.text)) }),
            Err(messages) => {
                for message in messages {
                    self.report(marker, message);
                }
                Ok(Node::new(place, Kind::Text(text.to_owned())))
            }
        }
    }

    fn add_weight(&mut self, weight: usize, marker: Marker) -> Result<(), Stop> {
        self.weight += weight;
        if self.weight > WEIGHT_MAX { Err((marker, too_heavy())) } else { Ok(()) }
    }

    fn report(&mut self, marker: Marker, message: String) {
        let (place, path) = (self.place(marker), self.path());
        self.problems.add(Problem { place, path, message });
    }

    fn place(&self, marker: Marker) -> Place {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place { file: self.file.clone(), line: number(marker.line()), column: number(marker.col() + 1) }
    }

    /// The path of the value now being read.
    fn path(&self) -> String {
        self.stack.iter().fold(String::new(), |path, frame| match &frame.items {
            Items::List(items) => format!("{path}[{}]", items.len()),
            Items::Map(MapItems { key: Some(PendingKey { key, .. }), .. }) => join(&path, &key.text),
            Items::Map(_) => path,
        })
    }
}

impl MapItems {
    fn insert(&mut self, key: Key, node: Node) -> Result<(), String> {
        if let Some(first) = self.seen.get(&key.text) {
            return Err(format!("defined twice; first at {first}"));
        }
        self.seen.insert(key.text.clone(), key.place.clone());
        self.entries.push((key, node));
        Ok(())
    }

    fn merge(&mut self, node: Node) -> Result<(), String> {
        match node.kind {
            Kind::Map(_) => self.merged.push(node),
            Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                self.merged.extend(items);
            }
            _ => return Err(format!("expected a map to merge after `<<`, found {}", node.found())),
        }
        Ok(())
    }

    /// The map's own entries, and after them those of merged maps that it does not have itself.
    fn finish(mut self) -> Vec<(Key, Node)> {
        for node in std::mem::take(&mut self.merged) {
            let Kind::Map(entries) = node.kind else { continue };
            for (key, value) in entries {
                // An entry that is there already wins; that is what merging means.
                let _already_there = self.insert(key, value);
            }
        }
        self.entries
    }
}

/// A plain scalar in which variables were filled in: a number may come of it, but only an empty text is nothing.
fn filled_in(place: Place, text: &str) -> Node {
    match plain(place.clone(), text) {
        node if node.is_null() && !text.is_empty() => Node::new(place, Kind::Text(text.to_owned())),
        node => node,
    }
}

/// A plain scalar by the core schema.
fn plain(place: Place, text: &str) -> Node {
    let kind = scalar::resolve(text);
    let written = (!matches!(kind, Kind::Text(_) | Kind::Null)).then(|| text.into());
    Node { written, ..Node::new(place, kind) }
}

fn weight(node: &Node) -> usize {
    NODE_WEIGHT + node.text().map_or(0, str::len)
}

fn too_deep() -> String {
    format!("nested deeper than {DEPTH_MAX} levels")
}

fn too_heavy() -> String {
    format!("takes more than {} MiB with its aliases and variables filled in", WEIGHT_MAX >> 20)
}
