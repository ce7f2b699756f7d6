//! The names of a simulated disk: as processes see them, and as they would be found after a loss of power.
//!
//! Owns: directories, files as things with names, and the checks of every change of names.
//! Does not own: the bytes of files (`content`), what may become durable when (`pending`).
//! Invariant: names now are the durable ones with all pending changes applied.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Component, Path};

use super::EntryOrder;
use super::content::Content;
use super::pending::{Change, Edit, Pending};
use super::random::Random;

pub(super) type NodeId = u64;

pub(super) const ROOT: NodeId = 0;

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    pub(super) content: Content,
    /// Open handles, for which the bytes stay after the name is gone.
    pub(super) handles: usize,
    /// Whether it has a name now.
    linked: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct DirNode {
    live: BTreeMap<OsString, NodeId>,
    durable: BTreeMap<OsString, NodeId>,
}

#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    pending: Pending,
}

/// Where an entry is or would be.
pub(super) struct Place<'a> {
    directory: NodeId,
    name: &'a OsStr,
}

impl Tree {
    pub(super) fn new(order: EntryOrder) -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]);
        Self { nodes, next_node: ROOT + 1, pending: Pending::new(order) }
    }

    pub(super) fn find(&self, path: &Path) -> Result<NodeId, ErrorKind> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                node = *self.dir(node)?.live.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The directory and name of `path`, which need not exist, though its directory must.
    pub(super) fn place<'a>(&self, path: &'a Path) -> Result<Place<'a>, ErrorKind> {
        let directory = self.find(crate::path::parent(path))?;
        self.dir(directory)?;
        Ok(Place { directory, name: path.file_name().ok_or(ErrorKind::InvalidInput)? })
    }

    pub(super) fn at(&self, place: &Place<'_>) -> Option<NodeId> {
        self.dir(place.directory).ok()?.live.get(place.name).copied()
    }

    pub(super) fn is_dir(&self, node: NodeId) -> bool {
        matches!(self.nodes.get(&node), Some(Node::Dir(_)))
    }

    pub(super) fn file(&self, node: NodeId) -> Result<&FileNode, ErrorKind> {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(ErrorKind::IsADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    pub(super) fn file_mut(&mut self, node: NodeId) -> Result<&mut FileNode, ErrorKind> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(ErrorKind::IsADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut FileNode> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        })
    }

    /// Names and nodes in a directory, sorted by name.
    pub(super) fn entries(&self, node: NodeId) -> Result<Vec<(OsString, NodeId)>, ErrorKind> {
        Ok(self.dir(node)?.live.iter().map(|(name, node)| (name.clone(), *node)).collect())
    }

    /// Bytes that files with a name or an open handle take.
    pub(super) fn used_bytes(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File(file) if file.linked || file.handles > 0 => file.content.live().len() as u64,
            _ => 0,
        };
        self.nodes.values().map(bytes).sum()
    }

    pub(super) fn make_file(&mut self, place: &Place<'_>) -> NodeId {
        self.make(place, Node::File(FileNode { linked: true, ..FileNode::default() }))
    }

    /// Makes the directories of `path` that are missing; durable ones if told.
    pub(super) fn make_dirs(&mut self, path: &Path, durable: bool) -> Result<(), ErrorKind> {
        let mut directory = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let place = Place { directory, name };
            let child = match self.at(&place) {
                Some(child) if self.is_dir(child) => child,
                Some(_) => return Err(ErrorKind::NotADirectory),
                None => self.make(&place, Node::Dir(DirNode::default())),
            };
            if durable {
                self.sync_dir(directory)?;
            }
            directory = child;
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> Result<(), ErrorKind> {
        let place = self.place(path)?;
        let node = self.at(&place).ok_or(ErrorKind::NotFound)?;
        self.file_mut(node)?.linked = false;
        self.unlink(place.directory, place.name, node);
        Ok(())
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> Result<(), ErrorKind> {
        let place = self.place(path)?;
        let node = self.at(&place).ok_or(ErrorKind::NotFound)?;
        self.dir(node)?;
        self.empty_dir(node)?;
        self.unlink(place.directory, place.name, node);
        Ok(())
    }

    /// As rename(2); the order of its checks is that of Linux.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), ErrorKind> {
        let (from_place, to_place) = (self.place(from)?, self.place(to)?);
        let node = self.at(&from_place).ok_or(ErrorKind::NotFound)?;
        if self.is_dir(node) && to.starts_with(from) && to != from {
            return Err(ErrorKind::InvalidInput);
        }
        if let Some(target) = self.at(&to_place) {
            if target == node {
                return Ok(());
            }
            self.check_replaceable(node, target)?;
            if let Ok(file) = self.file_mut(target) {
                file.linked = false;
            }
        }
        let edit =
            |place: &Place<'_>, child| Edit { directory: place.directory, name: place.name.into(), child };
        self.change(Change { node, edits: vec![edit(&from_place, None), edit(&to_place, Some(node))] });
        Ok(())
    }

    /// Makes the pending changes in this directory durable, and those that they depend on.
    pub(super) fn sync_dir(&mut self, directory: NodeId) -> Result<(), ErrorKind> {
        self.dir(directory)?;
        let changes = self.pending.take_for(directory);
        self.commit(&changes);
        self.collect_garbage();
        Ok(())
    }

    /// What a system may do by itself before a sync: makes none, all, or some of the pending changes durable.
    pub(super) fn write_back(&mut self, random: &mut Random) {
        let changes = self.pending.take_some(random);
        self.commit(&changes);
    }

    /// Forgets what is not durable, and whatever has no name any more.
    pub(super) fn lose_power(&mut self) {
        self.pending.clear();
        for node in self.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.live.clone_from(&dir.durable),
                Node::File(file) => file.content.lose_power(),
            }
        }
        self.close_all();
    }

    /// Closes all handles, as the death of the process does.
    pub(super) fn close_all(&mut self) {
        for file in self.files_mut() {
            file.handles = 0;
        }
        self.collect_garbage();
        let named: BTreeSet<NodeId> = self.nodes.values().flat_map(DirNode::live_children).copied().collect();
        for (node, file) in &mut self.nodes {
            if let Node::File(file) = file {
                file.linked = named.contains(node);
            }
        }
    }

    fn dir(&self, node: NodeId) -> Result<&DirNode, ErrorKind> {
        match self.nodes.get(&node) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    fn make(&mut self, place: &Place<'_>, new: Node) -> NodeId {
        let node = self.next_node;
        self.next_node += 1;
        self.nodes.insert(node, new);
        let edit = Edit { directory: place.directory, name: place.name.into(), child: Some(node) };
        self.change(Change { node, edits: vec![edit] });
        node
    }

    fn unlink(&mut self, directory: NodeId, name: &OsStr, node: NodeId) {
        self.change(Change { node, edits: vec![Edit { directory, name: name.into(), child: None }] });
    }

    fn empty_dir(&mut self, directory: NodeId) -> Result<(), ErrorKind> {
        for (name, child) in self.entries(directory)? {
            match self.file_mut(child) {
                Ok(file) => file.linked = false,
                Err(_) => self.empty_dir(child)?,
            }
            self.unlink(directory, &name, child);
        }
        Ok(())
    }

    fn check_replaceable(&self, node: NodeId, target: NodeId) -> Result<(), ErrorKind> {
        match (self.is_dir(node), self.dir(target)) {
            (true, Ok(dir)) if dir.live.is_empty() => Ok(()),
            (true, Ok(_)) => Err(ErrorKind::DirectoryNotEmpty),
            (true, Err(_)) => Err(ErrorKind::NotADirectory),
            (false, Ok(_)) => Err(ErrorKind::IsADirectory),
            (false, Err(_)) => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        for edit in &change.edits {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&edit.directory) {
                edit.apply(&mut dir.live);
            }
        }
        self.pending.push(change);
    }

    fn commit(&mut self, changes: &[Change]) {
        for edit in changes.iter().flat_map(|change| &change.edits) {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&edit.directory) {
                edit.apply(&mut dir.durable);
            }
        }
    }

    /// Drops nodes that nothing can reach any more, now or after a loss of power.
    fn collect_garbage(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        open.extend(self.pending.nodes());
        while let Some(node) = open.pop() {
            reached.insert(node);
            if let Ok(dir) = self.dir(node) {
                open.extend(
                    dir.live.values().chain(dir.durable.values()).filter(|child| !reached.contains(child)),
                );
            }
        }
        self.nodes.retain(|node, kind| {
            reached.contains(node) || matches!(kind, Node::File(file) if file.handles > 0)
        });
    }
}

impl DirNode {
    fn live_children(node: &Node) -> impl Iterator<Item = &NodeId> {
        let dir = match node {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        };
        dir.into_iter().flat_map(|dir| dir.live.values())
    }
}
