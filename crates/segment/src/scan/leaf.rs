//! What is asked of single fields, answered by columns and streams.
//!
//! Owns: which columns and streams a pattern means in a block, and asking their values.
//! Invariant: a record's own field comes before the stream's of the same name, also where its value is null.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use memchr::memmem::Finder;
use sawyer_model::{Timestamp, ValueRef, names};
use sawyer_query::{FieldKind, FieldPattern, FieldTest, says_something};

use super::{Asked, Scan};
use crate::bits::Rows;
use crate::cache::Kept;
use crate::column::{Column, Cursor, Presence, kind};
use crate::error::Result;
use crate::filter::HIDDEN;
use crate::heads::StreamRuns;
use crate::layout::{BlockInfo, ColumnEntry, Directory};
use crate::segment::Segment;
use crate::segment::parts::Window;
use crate::text::{Cell, TextTest};

/// The columns of a block, each read at most once.
pub(crate) struct BlockColumns<'a> {
    segment: &'a Segment,
    block: usize,
    runs: Option<Rc<StreamRuns>>,
    columns: HashMap<u32, Arc<Kept<Column>>>,
    window: RefCell<Window>,
}

impl<'a> BlockColumns<'a> {
    pub(crate) fn new(segment: &'a Segment, block: usize) -> Self {
        Self { segment, block, runs: None, columns: HashMap::new(), window: RefCell::default() }
    }

    pub(crate) fn segment(&self) -> &'a Segment {
        self.segment
    }

    pub(crate) fn block(&self) -> usize {
        self.block
    }

    pub(crate) fn info(&self) -> &'a BlockInfo {
        &self.segment.footer.blocks[self.block]
    }

    pub(crate) fn directory(&self) -> Result<&'a Directory> {
        self.segment.directory(self.block)
    }

    /// Bytes of the columns with such names.
    pub(crate) fn bytes(&self, is_meant: &dyn Fn(&str) -> bool) -> u64 {
        self.sum(is_meant, |column| {
            // What lies with the texts of other blocks.
            let elsewhere = self.segment.footer.portion(column.name, self.block).map_or(0, |(_, portion)| {
                portion.packed.len.saturating_add(portion.raw_head.len).saturating_add(portion.raw_data_len)
            });
            (column.data.end - column.data.start + column.head.end - column.head.start)
                .saturating_add(elsewhere)
        })
    }

    /// Bytes of their heads.
    pub(crate) fn heads_bytes(&self, is_meant: &dyn Fn(&str) -> bool) -> u64 {
        self.sum(is_meant, |column| column.head.end - column.head.start)
    }

    fn sum(&self, is_meant: &dyn Fn(&str) -> bool, bytes: impl Fn(&ColumnEntry) -> u64) -> u64 {
        // A directory that cannot be read is an error once it is asked for an answer.
        let Ok(directory) = self.directory() else { return 0 };
        let meant = directory.columns.iter().filter(|column| is_meant(self.segment.name(column.name)));
        meant.map(bytes).sum()
    }

    /// The columns that a pattern means, by name where it has names.
    fn meant(&self, field: &FieldPattern) -> Result<Vec<&'a ColumnEntry>> {
        let (directory, segment) = (self.directory()?, self.segment);
        Ok(match field.names() {
            Some(names) => {
                let numbers = names.iter().filter_map(|name| segment.footer.find_name(name));
                numbers.filter_map(|number| directory.column(number)).collect()
            }
            None => {
                directory.columns.iter().filter(|column| field.matches(segment.name(column.name))).collect()
            }
        })
    }

    /// The head of a column.
    pub(crate) fn column(&mut self, entry: &ColumnEntry) -> Result<Arc<Kept<Column>>> {
        if let Some(column) = self.columns.get(&entry.name) {
            return Ok(Arc::clone(column));
        }
        let column = self.segment.column(self.block, entry, &mut self.window.borrow_mut(), true)?;
        self.columns.insert(entry.name, Arc::clone(&column));
        Ok(column)
    }

    /// Which streams the rows are of.
    pub(crate) fn runs(&mut self) -> Result<Rc<StreamRuns>> {
        if let Some(runs) = &self.runs {
            return Ok(Rc::clone(runs));
        }
        let runs = Rc::new(self.segment.read_streams(self.block, true)?);
        self.runs = Some(Rc::clone(&runs));
        Ok(runs)
    }

    /// The column of the own fields of this name.
    pub(crate) fn own(&self, name: &str) -> Result<Option<&'a ColumnEntry>> {
        let directory = self.directory()?;
        Ok(self.segment.footer.find_name(name).and_then(|number| directory.column(number)))
    }

    /// Takes out the rows that have an own field of this name.
    pub(crate) fn subtract_own(&mut self, name: &str, rows: &mut Rows) -> Result<()> {
        let Some(entry) = self.own(name)? else { return Ok(()) };
        let column = self.column(entry)?;
        let mut own = Vec::new();
        column.presence.for_each(rows, |row, _| own.push(row));
        own.into_iter().for_each(|row| rows.remove(row));
        Ok(())
    }
}

impl Scan<'_> {
    pub(super) fn select_field(
        &mut self,
        field: &FieldPattern,
        test: &FieldTest,
        alive: &Rows,
    ) -> Result<Rows> {
        let mut open = alive.clone();
        let mut found = Rows::none(self.rows());
        let by_name = field.names().is_some();
        for name in [names::TIMESTAMP, names::OBSERVED] {
            if field.matches(name) {
                let asked = Asked { test, kind: FieldKind::of(name) };
                take(&mut open, &mut found, &self.select_times(name, asked, alive)?);
            }
        }
        // By name these two are never own fields; a pattern means own fields of these names too.
        let is_head = |name: &str| by_name && (name == names::TIMESTAMP || name == names::OBSERVED);
        let more =
            self.select_streams(&|name| field.matches(name) && !is_head(name), &open, &|name, value| {
                test.matches(FieldKind::of(name), value)
            })?;
        take(&mut open, &mut found, &more);
        let segment = self.columns.segment();
        for entry in self.columns.meant(field)? {
            let name = segment.name(entry.name);
            if !is_head(name) && !open.is_empty() {
                let asked = Asked { test, kind: FieldKind::of(name) };
                let more = self.select_column(entry, asked, &open)?;
                take(&mut open, &mut found, &more);
            }
        }
        Ok(found)
    }

    pub(super) fn select_any(&mut self, test: &FieldTest, alive: &Rows) -> Result<Rows> {
        let mut open = alive.clone();
        let mut found = Rows::none(self.rows());
        let more = self.select_streams(&|name| !name.starts_with(HIDDEN), &open, &|name, value| {
            test.matches(FieldKind::of_bare(name), value)
        })?;
        take(&mut open, &mut found, &more);
        let segment = self.columns.segment();
        for entry in &self.columns.directory()?.columns {
            let name = segment.name(entry.name);
            if !name.starts_with(HIDDEN) && !open.is_empty() {
                let asked = Asked { test, kind: FieldKind::of_bare(name) };
                let more = self.select_column(entry, asked, &open)?;
                take(&mut open, &mut found, &more);
            }
        }
        Ok(found)
    }

    pub(super) fn select_existing(&mut self, field: &FieldPattern, alive: &Rows) -> Result<Rows> {
        if [names::TIMESTAMP, names::OBSERVED].into_iter().any(|name| field.matches(name)) {
            return Ok(alive.clone());
        }
        let mut open = alive.clone();
        let mut found = Rows::none(self.rows());
        let more = self.select_streams(&|name| field.matches_or_contains(name), &open, &|_, value| {
            says_something(value)
        })?;
        take(&mut open, &mut found, &more);
        let segment = self.columns.segment();
        for entry in &self.columns.directory()?.columns {
            if field.matches_or_contains(segment.name(entry.name)) {
                let more = self.select_saying(entry, &open)?;
                take(&mut open, &mut found, &more);
            }
        }
        Ok(found)
    }

    fn select_times(&mut self, name: &'static str, asked: Asked<'_>, alive: &Rows) -> Result<Rows> {
        let times = self.times(name)?;
        let mut found = Rows::none(self.rows());
        for row in alive.iter().filter(|row| asked.matches(ValueRef::Timestamp(times[*row]))) {
            found.insert(row);
        }
        Ok(found)
    }

    /// The rows whose stream has such a field with such a value, and that have no own field of that name.
    fn select_streams(
        &mut self,
        is_meant: &dyn Fn(&str) -> bool,
        alive: &Rows,
        holds: &dyn Fn(&str, ValueRef<'_>) -> bool,
    ) -> Result<Rows> {
        let segment = self.columns.segment();
        let mut found = Rows::none(self.rows());
        // Names that records of the block have for own fields too; there are few.
        let mut overruled: Vec<(&str, Rows)> = Vec::new();
        for (stream, rows) in self.columns.runs()?.iter() {
            let fields = segment.streams()[stream].fields().iter();
            for (name, _) in fields.filter(|(name, value)| is_meant(name) && holds(name, value.as_ref())) {
                if self.columns.own(name)?.is_none() {
                    found.insert_range(rows.clone());
                    continue;
                }
                let at = overruled.iter().position(|(known, _)| **known == **name).unwrap_or_else(|| {
                    overruled.push((name, Rows::none(alive.len())));
                    overruled.len() - 1
                });
                overruled[at].1.insert_range(rows.clone());
            }
        }
        found.intersect(alive);
        for (name, mut rows) in overruled {
            rows.intersect(alive);
            self.columns.subtract_own(name, &mut rows)?;
            found.unite(&rows);
        }
        Ok(found)
    }

    /// The rows whose own value says something.
    fn select_saying(&mut self, entry: &ColumnEntry, alive: &Rows) -> Result<Rows> {
        const SILENT: u8 = 1 << kind::NULL | 1 << kind::LIST;
        let column = self.columns.column(entry)?;
        let data = self.columns.segment().data(self.columns.block(), entry);
        let mut found = Rows::none(self.rows());
        let mut cursor = Cursor::default();
        try_for_each(&column, alive, |row, rank| {
            let (kind, _) = column.values.kind_of(rank);
            if SILENT >> kind & 1 == 0
                || says_something(column.values.get(&column.head, rank, data, &mut cursor)?)
            {
                found.insert(row);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The rows whose own value satisfies a test, where values are made of whole records.
    fn select_made(&self, name: &str, alive: &Rows, matches: impl Fn(ValueRef<'_>) -> bool) -> Result<Rows> {
        self.select_by_record(alive, |record| {
            let own = record.own_fields().find(|(known, _)| *known == name);
            own.is_some_and(|(_, value)| matches(value))
        })
    }

    /// The rows whose own value satisfies a test.
    fn select_column(&mut self, entry: &ColumnEntry, asked: Asked<'_>, alive: &Rows) -> Result<Rows> {
        let mut found = Rows::none(self.rows());
        if !asked.may_hold_in(entry) {
            return Ok(found);
        }
        let column = self.columns.column(entry)?;
        if column.values.made().is_some() {
            let name = self.columns.segment().name(entry.name);
            return self.select_made(name, alive, |value| asked.matches(value));
        }
        let data = self.columns.segment().data(self.columns.block(), entry);
        let matches = |text: &str| asked.matches(ValueRef::Str(text));
        let only_texts = entry.mask == 1 << kind::STR;
        let every_row = matches!(column.presence, Presence::All { .. }) && only_texts;
        if only_texts && alive.count() * ENTRIES_PART >= self.rows() {
            let (texts, ascii_text) = (column.values.strs(), asked.test.ascii_text(asked.kind));
            if let Some(places) = texts.select_all(&column.head, ascii_text, &matches) {
                let mut all = column.presence.rows_of(places, self.rows());
                all.intersect(alive);
                return Ok(all);
            }
        }
        let needle = asked.needle().map(Finder::new);
        let whole = asked.whole();
        let test = TextTest {
            test: asked.test,
            kind: asked.kind,
            matches: &matches,
            needle: needle.as_ref(),
            whole: whole.as_deref(),
        };
        if every_row && let Some(found) = column.values.strs().select_shaped(alive, data, &test)? {
            return Ok(found);
        }
        let mut cells: [Vec<Cell>; kind::COUNT as usize] = Default::default();
        column.presence.for_each(alive, |row, rank| {
            let (kind, place) = column.values.kind_of(rank);
            cells[usize::from(kind)].push(Cell { place: place as u32, row: row as u32 });
        });
        for kind in (0..kind::COUNT).filter(|kind| !cells[usize::from(*kind)].is_empty()) {
            let cells = &cells[usize::from(kind)];
            if kind == kind::STR {
                column.values.select_strs(&column.head, cells, data, &test, &mut found)?;
            } else {
                let mut cursor = Cursor::default();
                column.values.for_each_of(
                    kind,
                    &column.head,
                    cells,
                    data,
                    &mut cursor,
                    &mut |cell, value| {
                        if asked.matches(value) {
                            found.insert(cell.row as usize);
                        }
                    },
                )?;
            }
        }
        Ok(found)
    }
}

/// All entries of a dictionary are asked if at least one in so many rows is of interest.
const ENTRIES_PART: usize = 8;

/// Moves what was found from the open rows to the found ones.
fn take(open: &mut Rows, found: &mut Rows, more: &Rows) {
    open.subtract(more);
    found.unite(more);
}

/// Calls for each wanted row that has the column, until an error.
fn try_for_each(
    column: &Column,
    wanted: &Rows,
    mut call: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let mut state = ControlFlow::Continue(());
    column.presence.for_each(wanted, |row, rank| {
        if state.is_continue()
            && let Err(error) = call(row, rank)
        {
            state = ControlFlow::Break(error);
        }
    });
    match state {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

impl<'a> Asked<'a> {
    pub(crate) fn matches(self, value: ValueRef<'_>) -> bool {
        self.test.matches(self.kind, value)
    }

    /// Whether a column can have a value that satisfies the test, by its least and greatest numbers.
    fn may_hold_in(self, entry: &ColumnEntry) -> bool {
        const TEXTS: u8 = 1 << kind::STR | 1 << kind::LIST;
        if entry.mask & TEXTS != 0 || !matches!(self.test, FieldTest::Range(_)) {
            return true;
        }
        // A comparison that holds for some number between two holds for one of the two.
        let stats = &entry.stats;
        let ints = stats.ints.map(|(least, most)| [ValueRef::Int(least), ValueRef::Int(most)]);
        let floats = stats.floats.map(|(least, most)| [ValueRef::Float(least), ValueRef::Float(most)]);
        let time = |nanos| ValueRef::Timestamp(Timestamp::from_nanos(nanos));
        let times = stats.times.map(|(least, most)| [time(least), time(most)]);
        [ints, floats, times].into_iter().flatten().flatten().any(|value| self.matches(value))
    }

    /// Letters without which no text satisfies the test.
    fn needle(self) -> Option<&'a [u8]> {
        match self.test {
            FieldTest::Contains(test) if !test.ignores_case() && !test.part().is_empty() => {
                Some(test.part().as_bytes())
            }
            _ => None,
        }
    }

    /// The one text of digits, in lower case, that satisfies the test.
    fn whole(self) -> Option<String> {
        match self.test {
            FieldTest::Words(test) | FieldTest::Phrase(test) if self.kind != FieldKind::Text => {
                Some(test.text().to_ascii_lowercase())
            }
            FieldTest::Exact(test) => Some(test.text().to_owned()),
            _ => None,
        }
    }
}
