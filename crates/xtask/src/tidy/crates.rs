//! Holds the crate table of ARCHITECTURE.md against the manifests.
//!
//! Owns: the meaning of the table: a crate may use crates of lower rows only; `dev` crates may be used by
//! tests only.
//! Does not own: outside dependencies (`deny.toml`).
//! Invariant: every crate has one row and one section, and every row and section has its crate.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{File, Finding};

const MAP: &str = "ARCHITECTURE.md";

/// A crate's place in the table. The order of the variants is the order of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Layer(u32),
    Dev,
}

/// Folder name of a crate → its row, and the line of the table that says so.
type Table = BTreeMap<String, (Row, usize)>;

/// A crate of the workspace as its manifest describes it.
pub(super) struct Package {
    /// The name of its folder.
    pub(super) folder: String,
    /// The path of its manifest.
    pub(super) manifest: String,
    /// The names of everything it depends on.
    pub(super) dependencies: Vec<String>,
    edges: Vec<Edge>,
}

/// A dependency on another crate of the workspace.
struct Edge {
    name: String,
    folder: String,
    dev: bool,
}

/// Crates and edges that disagree with the table.
pub(super) fn check(packages: &[Package], files: &[File]) -> Result<Vec<Finding>> {
    let text_of = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let map = text_of(MAP).with_context(|| format!("{MAP} is missing; it holds the table of crates"))?;
    let mut findings = Vec::new();
    let table = table(map, &mut findings);
    check_names(map, &table, packages, &mut findings);
    check_entries(map, files, &mut findings);
    for package in packages {
        let manifest = text_of(&package.manifest).unwrap_or_default();
        check_edges(&table, package, manifest, &mut findings);
        if !manifest.contains("[lints]\nworkspace = true") {
            let advice = "inherit the lints of the workspace: `[lints]` with `workspace = true`";
            findings.push(Finding::new(&package.manifest, 1, advice));
        }
    }
    Ok(findings)
}

/// Reads the rows `| row | crate | question |` of the first table whose header begins with "row".
fn table(map: &str, findings: &mut Vec<Finding>) -> Table {
    let mut table = Table::new();
    let rows = map
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .skip_while(|(_, line)| !line.starts_with("| row |"))
        .take_while(|(_, line)| line.starts_with('|'))
        .skip(2);
    for (line, text) in rows {
        let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
        let row = match cells[0] {
            "dev" => Some(Row::Dev),
            number => number.parse().ok().map(Row::Layer),
        };
        let name = cells.get(1).and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
        match (row, name) {
            (Some(row), Some(name)) if !table.contains_key(name) => {
                table.insert(name.to_owned(), (row, line));
            }
            _ => findings.push(Finding::new(
                MAP,
                line,
                "write each crate once, as a row ``| number or dev | `crate` | question |``",
            )),
        }
    }
    table
}

fn check_names(map: &str, table: &Table, packages: &[Package], findings: &mut Vec<Finding>) {
    for (name, (_, line)) in table {
        if !packages.iter().any(|package| package.folder == *name) {
            findings.push(Finding::new(MAP, *line, format!("remove `{name}`: there is no crates/{name}")));
        }
    }
    for package in packages {
        let name = &package.folder;
        if !table.contains_key(name) {
            findings.push(Finding::new(&package.manifest, 1, format!("add `{name}` to the table in {MAP}")));
        }
        let heading = format!("### `{name}`");
        if !map.lines().any(|line| line == heading) {
            let advice = format!("describe the crate in {MAP}, in a section `{heading}`");
            findings.push(Finding::new(&package.manifest, 1, advice));
        }
    }
    for (index, line) in map.lines().enumerate() {
        let Some(name) = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`')) else { continue };
        if !packages.iter().any(|package| package.folder == name) {
            let advice = format!("remove the section: there is no crates/{name}");
            findings.push(Finding::new(MAP, index + 1, advice));
        }
    }
}

/// What a section calls the entry of its crate is defined there: `Entry: ...` with the names in backticks.
fn check_entries(map: &str, files: &[File], findings: &mut Vec<Finding>) {
    let mut section = "";
    for (index, line) in map.lines().enumerate() {
        if let Some(name) = line.strip_prefix("### `") {
            section = name.trim_end_matches('`');
        }
        let Some(entries) = line.strip_prefix("Entry: ") else { continue };
        let sources = format!("crates/{section}/src/");
        for path in entries.split('`').skip(1).step_by(2) {
            let name = path.rsplit("::").next().unwrap_or(path).trim_end_matches('!');
            let defined =
                files.iter().any(|file| file.path.starts_with(&sources) && defines(&file.text, name));
            if !defined {
                let advice =
                    format!("`{path}` is not defined in crates/{section}: name the entry that is there");
                findings.push(Finding::new(MAP, index + 1, advice));
            }
        }
    }
}

/// Whether the source has an item of this name.
fn defines(source: &str, name: &str) -> bool {
    const ITEMS: [&str; 7] = ["struct ", "enum ", "trait ", "fn ", "mod ", "type ", "macro_rules! "];
    source.lines().any(|line| {
        ITEMS.iter().any(|item| {
            let after = line.split_once(item).and_then(|(_, rest)| rest.strip_prefix(name));
            after.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    })
}

fn check_edges(table: &Table, package: &Package, manifest: &str, findings: &mut Vec<Finding>) {
    let Some(&(own, _)) = table.get(&package.folder) else { return };
    for edge in &package.edges {
        let Some(&(other, _)) = table.get(&edge.folder) else { continue };
        let allowed = match other {
            Row::Dev => edge.dev || own == Row::Dev,
            Row::Layer(_) => other < own,
        };
        if !allowed {
            let line =
                manifest.lines().position(|line| line.starts_with(&edge.name)).map_or(1, |index| index + 1);
            let advice = format!(
                "`{}` ({}) may not use `{}` ({}): depend on lower rows only, or move what is shared down",
                package.folder,
                row_name(own),
                edge.folder,
                row_name(other)
            );
            findings.push(Finding::new(&package.manifest, line, advice));
        }
    }
}

fn row_name(row: Row) -> String {
    match row {
        Row::Layer(number) => format!("row {number}"),
        Row::Dev => "for tests only".to_owned(),
    }
}

/// The crates of the workspace at `root`, as cargo understands their manifests.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("read the output of cargo metadata")?;
    let list = metadata["packages"].as_array().context("cargo metadata: no list of packages")?;
    list.iter().map(|package| read_package(root, package)).collect()
}

fn read_package(root: &Path, package: &Value) -> Result<Package> {
    let manifest = Path::new(package["manifest_path"].as_str().context("a package without a manifest")?);
    let root = root.canonicalize().context("resolve the root folder")?;
    let manifest = manifest.strip_prefix(&root).context("a package outside the repository")?;
    let folder = folder_name(manifest.parent().context("a manifest without a folder")?);
    let all = || package["dependencies"].as_array().into_iter().flatten();
    // The name that the sources use.
    let named =
        |dependency: &Value| dependency["rename"].as_str().or(dependency["name"].as_str()).map(str::to_owned);
    let names = all().filter_map(named);
    let edges = all().filter_map(|dependency| {
        Some(Edge {
            name: dependency["name"].as_str()?.to_owned(),
            folder: folder_name(Path::new(dependency["path"].as_str()?)),
            dev: dependency["kind"].as_str() == Some("dev"),
        })
    });
    let manifest = manifest.to_string_lossy().into_owned();
    Ok(Package { folder, manifest, dependencies: names.collect(), edges: edges.collect() })
}

fn folder_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
