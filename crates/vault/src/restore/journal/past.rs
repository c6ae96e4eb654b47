//! What an interrupted run has left, as far as it can be believed.

use super::lines::{FolderStart, Line, MergeStart, Outcome};
use crate::tar::{Descent, Existing, Mark, Placed};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, statat};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::sync::Arc;

/// Paths are kept as hashes under a key that nobody knows: a tree of a million files takes some tens of megabytes.
#[derive(Default)]
pub(in crate::restore) struct Past {
    keys: RandomState,
    /// Position of the level to go on with; those before it are complete.
    pub first_level: usize,
    /// Of these levels.
    pub outcomes: Vec<Outcome>,
    /// Files of the complete levels; all are as they were left.
    pub verified: u64,
    pub merging: Option<MergeStart>,
    /// Nothing that was noted is believed, as it may not have reached the disk.
    pub is_new_life: bool,
    pub folders: HashMap<Vec<u8>, FolderStart>,
    /// What is finished of the level to go on with, and how it was left.
    finished: HashMap<u64, u64>,
    /// Names that were made, or were about to be; of use where the target was empty.
    owned: HashSet<u64>,
    /// Noted by this run as [`Mark::Troubled`].
    troubled: HashSet<u64>,
}

/// How far a journal can be used.
pub(super) enum Reading {
    /// Whole lines end at this byte.
    Good(Box<Past>, u64),
    /// What is there cannot be believed, for this reason; all is to be done again.
    Void(String),
}

/// Which lines still hold.
struct Survey {
    end: u64,
    levels_ended: usize,
    /// Line that said the last word about a path.
    last: HashMap<u64, u64>,
    /// Line that last announced the end of a path, and of all below it.
    gone: HashMap<u64, u64>,
    life: String,
}

impl Past {
    /// Reads the lines behind the header, which ends at `start`. Blocking.
    ///
    /// `base` is the folder the levels were restored into, if it is there, and `life` that of now.
    pub(super) fn read(
        file: &File,
        start: u64,
        (first_life, life): (&str, &str),
        (base, target): (Option<OwnedFd>, OwnedFd),
        (levels, is_staged): (usize, bool),
    ) -> io::Result<Reading> {
        let mut past = Self::default();
        let survey = past.survey(file, start, first_life)?;
        past.is_new_life = survey.life != life || life.is_empty();
        if is_staged && past.is_new_life {
            return Ok(Reading::Void("the machine, or the disk, was started anew meanwhile".into()));
        }
        let void = |path: Vec<u8>, what: &str| Reading::Void(format!("'{}' {what}", path.escape_ascii()));
        if past.merging.is_some() {
            past.keep_outcomes(levels);
            if let Some(path) = past.settle(file, start, &survey, (base, target))? {
                return Ok(void(path, "is neither where it was restored nor where it belongs"));
            }
            return Ok(Reading::Good(Box::new(past), survey.end));
        }
        past.folders.clear();
        // Only what comes after the last level tells that all folders of it have got what belongs to them.
        past.first_level = survey.levels_ended.min(levels.saturating_sub(1));
        past.outcomes.truncate(past.first_level);
        if !past.is_new_life
            && let Some(base) = base
            && let Some(path) = past.believe(file, start, &survey, base)?
        {
            return Ok(void(path, "is not as it was left"));
        }
        Ok(Reading::Good(Box::new(past), survey.end))
    }

    fn survey(&mut self, file: &File, start: u64, life: &str) -> io::Result<Survey> {
        let life = life.to_owned();
        let (last, gone) = (HashMap::new(), HashMap::new());
        let mut survey = Survey { end: start, levels_ended: 0, last, gone, life };
        let end = each_line(file, start, &mut |number, line| {
            match line {
                Line::Announced(path) => {
                    let hash = self.keys.hash_one(path.as_slice());
                    self.owned.insert(hash);
                    survey.last.insert(hash, number);
                    survey.gone.insert(hash, number);
                }
                Line::Placed(path, ..) => {
                    let hash = self.keys.hash_one(path.as_slice());
                    self.owned.insert(hash);
                    survey.last.insert(hash, number);
                }
                Line::Ended(outcome) => {
                    survey.levels_ended += 1;
                    self.outcomes.push(outcome);
                }
                Line::Merging(start) => self.merging = Some(start),
                Line::Folder(start) => {
                    if let Ok(path) = hex::decode(&start.path) {
                        self.folders.insert(path, start);
                    }
                }
                // What was noted before it may have been lost on its way to the disk.
                Line::Life(life) => {
                    survey.life = life;
                    survey.last.clear();
                }
            }
            true
        })?;
        survey.end = end;
        Ok(survey)
    }

    /// All levels are complete.
    fn keep_outcomes(&mut self, levels: usize) {
        self.first_level = levels;
        // The last one may have been restored more than once.
        if self.outcomes.len() > levels {
            let last = self.outcomes.pop();
            self.outcomes.truncate(levels.saturating_sub(1));
            self.outcomes.extend(last);
        }
    }

    /// Files are on their way from `base` into the target: answers the path of one that is in neither. Moving a file changes no
    /// more than its ctime.
    fn settle(
        &mut self,
        file: &File,
        start: u64,
        survey: &Survey,
        (base, target): (Option<OwnedFd>, OwnedFd),
    ) -> io::Result<Option<Vec<u8>>> {
        let is_kept = self.merging.as_ref().is_some_and(|start| start.existing == Existing::Keep);
        let mut base = base.map(|base| Descent::new(Arc::new(base), false));
        let mut target = Descent::new(Arc::new(target), false);
        let (mut count, mut lost) = (0, None);
        each_line(file, start, &mut |number, line| {
            if let Line::Placed(path, placed, _) = line
                && self.is_last_word(survey, &path, number)
            {
                let is_it = |found: Placed| is_same(&found, &placed, Mark::Linked);
                let waits = base.as_mut().and_then(|base| look_at(base, &path)).is_some_and(is_it);
                if waits || look_at(&mut target, &path).is_some_and(|found| is_kept || is_it(found)) {
                    count += 1;
                } else {
                    lost = Some(path);
                }
            }
            lost.is_none()
        })?;
        self.verified = count;
        Ok(lost)
    }

    /// Looks whether all files of complete levels are as they were left, and answers the path of one that is not; learns what is
    /// finished of the level that is not complete.
    fn believe(
        &mut self,
        file: &File,
        start: u64,
        survey: &Survey,
        base: OwnedFd,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut descent = Descent::new(Arc::new(base), false);
        let (mut level, mut changed) = (0, None);
        each_line(file, start, &mut |number, line| {
            match line {
                Line::Ended(_) => level += 1,
                Line::Placed(path, placed, mark) if self.is_last_word(survey, &path, number) => {
                    if level >= self.first_level {
                        if mark != Mark::Troubled {
                            let hash = self.keys.hash_one(path.as_slice());
                            let print = self.print(&placed, mark == Mark::Linked);
                            self.finished.insert(hash, print);
                        }
                    } else if look_at(&mut descent, &path).is_some_and(|found| is_same(&found, &placed, mark))
                    {
                        self.verified += 1;
                    } else {
                        changed = Some(path);
                    }
                }
                _ => {}
            }
            changed.is_none()
        })?;
        Ok(changed)
    }

    /// Neither was it noted again nor did it, or a folder above it, go.
    fn is_last_word(&self, survey: &Survey, path: &[u8], number: u64) -> bool {
        if survey.last.get(&self.keys.hash_one(path)) != Some(&number) {
            return false;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut folders = ends.filter_map(|at| path.get(..at));
        folders.all(|folder| survey.gone.get(&self.keys.hash_one(folder)).is_none_or(|gone| *gone < number))
    }

    fn print(&self, placed: &Placed, is_linked: bool) -> u64 {
        self.keys.hash_one((is_linked, without_ctime(placed, is_linked)))
    }

    pub(super) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    pub(super) fn expects(&self, path: &[u8]) -> bool {
        self.has_finished() && self.finished.contains_key(&self.keys.hash_one(path))
    }

    pub(super) fn holds(&self, path: &[u8], placed: &Placed) -> bool {
        let noted = self.finished.get(&self.keys.hash_one(path));
        noted.is_some_and(|noted| *noted == self.print(placed, false) || *noted == self.print(placed, true))
    }

    pub(super) fn owns(&self, path: &[u8]) -> bool {
        self.owned.contains(&self.keys.hash_one(path))
    }

    pub(super) fn own(&mut self, path: &[u8]) {
        self.owned.insert(self.keys.hash_one(path));
    }

    /// What comes next is not what was there.
    pub(super) fn forget(&mut self, path: &[u8]) {
        if self.has_finished() {
            self.finished.remove(&self.keys.hash_one(path));
        }
    }

    /// How far the note can be trusted, after what was noted before: another name of a file does not mend what could not be set.
    pub(super) fn marked(&mut self, path: &[u8], mark: Mark) -> Mark {
        if self.troubled.is_empty() && mark != Mark::Troubled {
            return mark;
        }
        let hash = self.keys.hash_one(path);
        match mark {
            Mark::Troubled => {
                self.troubled.insert(hash);
            }
            Mark::Linked if self.troubled.contains(&hash) => return Mark::Troubled,
            Mark::Linked => {}
            Mark::Whole => {
                self.troubled.remove(&hash);
            }
        }
        mark
    }

    pub(super) fn forget_files(&mut self) {
        self.finished = HashMap::new();
    }
}

/// As much of it as no other name of the file changes.
fn without_ctime(placed: &Placed, is_linked: bool) -> Placed {
    let ctime = if is_linked { placed.mtime } else { placed.ctime };
    Placed { ctime, ..*placed }
}

fn is_same(found: &Placed, noted: &Placed, mark: Mark) -> bool {
    let is_linked = mark == Mark::Linked;
    without_ctime(found, is_linked) == without_ctime(noted, is_linked)
}

/// What has this name now.
pub(in crate::restore) fn look_at(descent: &mut Descent, path: &[u8]) -> Option<Placed> {
    let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at)?, path.get(at + 1..)?),
        None => (&b""[..], path),
    };
    let folder = descent.go(folder).ok()?;
    statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| Placed::of(&stat))
}

/// Shows the lines from `start` on with their numbers, until one is torn, or `each` has seen enough. Answers where the last of
/// them ends.
fn each_line(file: &File, start: u64, each: &mut dyn FnMut(u64, Line) -> bool) -> io::Result<u64> {
    let mut file = file;
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let (mut end, mut number, mut text) = (start, 0u64, Vec::new());
    loop {
        text.clear();
        let count = reader.read_until(b'\n', &mut text)?;
        if text.pop() != Some(b'\n') {
            return Ok(end);
        }
        let Some(line) = Line::parse(&text) else { return Ok(end) };
        end = end.saturating_add(count as u64);
        number += 1;
        if !each(number, line) {
            return Ok(end);
        }
    }
}
