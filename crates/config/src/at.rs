//! A cursor on the tree: a value, its dotted path, and the place a message about it names.
//!
//! Invariant: a problem with the value of a key names the key's place, so it is on the line people look at.

use crate::node::{Key, Kind, Node};
use crate::place::Place;

/// A value, where it is, and how it is called. Cheap to make, borrowed from the document.
#[derive(Debug, Clone)]
pub struct At<'a> {
    node: &'a Node,
    place: Place,
    path: String,
    /// Where the last key starts in the path.
    name_start: usize,
    taken: Vec<&'static str>,
}

impl<'a> At<'a> {
    /// The top of a tree.
    pub fn root(node: &'a Node) -> At<'a> {
        At { node, place: node.place.clone(), path: String::new(), name_start: 0, taken: Vec::new() }
    }

    /// The value.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The place that messages name: the key's for the value of a map, else the value's.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The dotted path, such as `outputs.main.hosts[2]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last key of the path, such as the name of a component; empty at the top and for items of a list.
    pub fn name(&self) -> &str {
        &self.path[self.name_start..]
    }

    /// A scalar as it was written; `None` for nothing, lists and maps.
    pub fn text(&self) -> Option<&'a str> {
        self.node.text()
    }

    /// The value of a key; for a key that is not there, nothing at this place under the key's path.
    /// Use it to report a problem with one setting among several.
    pub fn key(&self, key: &str) -> At<'a> {
        self.get(key).unwrap_or_else(|| self.below(key, Node::absent(), self.place.clone()))
    }

    /// The value of a key that is there and not yet taken.
    pub fn get(&self, key: &str) -> Option<At<'a>> {
        if self.taken.contains(&key) {
            return None;
        }
        self.node.entry(key).map(|(key, node)| self.child(key, node))
    }

    /// The keys and values of a map, less those taken; empty for anything else.
    pub fn entries(&self) -> Vec<(&'a Key, At<'a>)> {
        let Kind::Map(entries) = &self.node.kind else { return Vec::new() };
        let untaken = entries.iter().filter(|(key, _)| !self.taken.contains(&key.text.as_str()));
        untaken.map(|(key, node)| (key, self.child(key, node))).collect()
    }

    /// The items of a list; any other value counts as a list of one, and nothing as an empty list.
    pub fn items(&self) -> Vec<At<'a>> {
        match &self.node.kind {
            Kind::Null => Vec::new(),
            Kind::List(items) => {
                items.iter().enumerate().map(|(index, node)| self.item(index, node)).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// The same map, in which the given keys count as read by somebody else.
    pub fn without(&self, keys: &[&'static str]) -> At<'a> {
        let mut rest = self.clone();
        rest.taken.extend_from_slice(keys);
        rest
    }

    /// Keys that somebody else reads from the same map.
    pub(crate) fn taken(&self) -> &[&'static str] {
        &self.taken
    }

    fn child(&self, key: &Key, node: &'a Node) -> At<'a> {
        self.below(&key.text, node, key.place.clone())
    }

    fn below(&self, key: &str, node: &'a Node, place: Place) -> At<'a> {
        let path = join(&self.path, key);
        let name_start = path.len() - key.len();
        At { node, place, path, name_start, taken: Vec::new() }
    }

    fn item(&self, index: usize, node: &'a Node) -> At<'a> {
        let path = format!("{}[{index}]", self.path);
        At { node, place: node.place.clone(), name_start: path.len(), path, taken: Vec::new() }
    }
}

/// A path one key longer.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
