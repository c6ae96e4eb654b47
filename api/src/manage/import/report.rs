//! What an import found and did, as a table, with a line for each row that was not taken.

use std::io::{self, Write};

/// Some rows could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("{left_out} rows were not taken over; see the list above. What it does not name was taken over")]
pub struct Partial {
    left_out: usize,
}

/// How one row fared.
pub(super) enum Fate {
    Taken,
    AlreadyThere,
    /// Taken by an earlier import; it may have been deleted here since.
    TakenBefore,
    /// Cannot be kept; why.
    LeftOut(String),
    /// Of no use to anybody, as upstream itself would say; why.
    Void(String),
}

#[derive(Default)]
pub(super) struct Table {
    name: &'static str,
    found: u64,
    deleted: u64,
    taken: u64,
    already_there: u64,
    void: Vec<String>,
    left_out: Vec<String>,
}

impl Table {
    pub fn new(name: &'static str, deleted: u64) -> Self {
        Self { name, deleted, ..Self::default() }
    }

    pub fn note(&mut self, id: &str, fate: Fate) {
        self.found += 1;
        let line = |why: String| format!("{} {id}: {why}", self.name);
        match fate {
            Fate::Taken => self.taken += 1,
            Fate::AlreadyThere | Fate::TakenBefore => self.already_there += 1,
            Fate::LeftOut(why) => self.left_out.push(line(why)),
            Fate::Void(why) => self.void.push(line(why)),
        }
    }

    /// Something about a row that was taken, and that upstream skips as well.
    pub fn remark(&mut self, id: &str, what: &str) {
        self.void.push(format!("{} {id}: {what}", self.name));
    }
}

#[derive(Default)]
pub(super) struct Report {
    pub tables: Vec<Table>,
}

impl Report {
    pub fn print(&self, is_dry: bool, out: &mut dyn Write) -> io::Result<()> {
        let taken = if is_dry { "would import" } else { "imported" };
        writeln!(
            out,
            "{:<17} {:>8} {taken:>13} {:>14} {:>8} {:>8} {:>8}",
            "table", "found", "already there", "left out", "void", "deleted"
        )?;
        for table in &self.tables {
            writeln!(
                out,
                "{:<17} {:>8} {:>13} {:>14} {:>8} {:>8} {:>8}",
                table.name,
                table.found,
                table.taken,
                table.already_there,
                table.left_out.len(),
                table.void.len(),
                table.deleted
            )?;
        }
        for (title, lines) in [
            ("Left out, because they cannot be kept:", self.lines(|table| &table.left_out)),
            ("Void, skipped by Freezer in Python as well:", self.lines(|table| &table.void)),
        ] {
            if !lines.is_empty() {
                writeln!(out, "\n{title}")?;
            }
            for line in lines {
                writeln!(out, "  {line}")?;
            }
        }
        if is_dry {
            writeln!(out, "\nDry run: nothing was written.")?;
        }
        Ok(())
    }

    fn lines(&self, of: impl Fn(&Table) -> &Vec<String>) -> Vec<&String> {
        self.tables.iter().flat_map(of).collect()
    }

    pub fn verdict(&self) -> Result<(), Partial> {
        match self.tables.iter().map(|table| table.left_out.len()).sum() {
            0 => Ok(()),
            left_out => Err(Partial { left_out }),
        }
    }
}
