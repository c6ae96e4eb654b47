//! A cluster as the source of a chain.

use super::conf::{PostgresqlConf, usual_slot};
use super::log::Rows;
use super::lsn::{Lsn, file_name};
use super::server::{Server, Slot, State};
use crate::databases::program::Ending;
use freezer_vault::Monitor;
use freezer_vault::backup::{Feed, Members, Owner, TarError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Of the data directory, where the server looks for its log.
const LOG_FOLDER: &str = "pg_wal";
const LABEL: &str = "backup_label";

/// What a level leaves for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    system: String,
    timeline: u32,
    segment_bytes: u64,
    /// First byte of the log that no level has.
    next: u64,
    /// Whom the server's files belong to.
    uid: u32,
    gid: u32,
}

pub struct Cluster {
    server: Server,
    now_secs: i64,
    /// Set when there are to be increments.
    going_on: Option<GoingOn>,
    /// What a level that is written now leaves behind.
    reached: Mutex<Option<Lsn>>,
}

struct GoingOn {
    slot: String,
    state: State,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Looks at the server, if there are to be increments.
    pub async fn look(
        conf: PostgresqlConf,
        backup_name: &str,
        is_incremental: bool,
        now_secs: i64,
        monitor: &Arc<Monitor>,
    ) -> Result<Self, String> {
        let slot = conf.slot.clone().unwrap_or_else(|| usual_slot(backup_name));
        let server = Server { conf, ending: Ending::with(monitor) };
        let asked = server.clone();
        let look = move || -> Result<Option<GoingOn>, String> {
            let state = is_incremental.then(|| asked.state(&slot)).transpose()?;
            Ok(state.map(|state| GoingOn { slot, state }))
        };
        let going_on = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())??;
        Ok(Self { server, now_secs, going_on, reached: Mutex::new(None) })
    }

    /// What whoever wrote the access file should know.
    pub fn warning(&self) -> Option<String> {
        self.server.conf.warning()
    }

    /// The level is committed: the server need not keep what is in it. Answers what went wrong, which harms no backup.
    pub async fn release(self: Arc<Self>) -> Option<String> {
        let released = tokio::task::spawn_blocking(move || {
            let place = *self.reached.lock().unwrap_or_else(PoisonError::into_inner);
            match (&self.going_on, place) {
                (Some(GoingOn { slot, .. }), Some(place)) => self.server.release(slot, place),
                _ => Ok(()),
            }
        });
        let cause = match released.await {
            Ok(released) => released.err()?,
            Err(error) => error.to_string(),
        };
        Some(format!("the server goes on keeping the log that is saved now, until the next backup: {cause}"))
    }

    /// A slot that keeps the log from before the base backup on.
    fn prepare(&self, going_on: &GoingOn) -> Result<(), String> {
        match going_on.state.slot {
            Slot::Keeps(_) => return Ok(()),
            Slot::Lost => self.server.drop_slot(&going_on.slot)?,
            Slot::Missing => {}
        }
        self.server.make_slot(&going_on.slot)
    }

    fn leave(&self, note: &Note, members: &mut Members<'_>) {
        members.leave_note(serde_json::to_vec(note).unwrap_or_default());
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(Lsn(note.next));
    }

    fn base(&self, members: &mut Members<'_>) -> Result<Start, TarError> {
        let mut program = self.server.base("freezer").map_err(TarError::Stream)?;
        let saved = members.archive(&mut program, LABEL);
        match (saved, program.end()) {
            (Err(TarError::Cancelled), _) => Err(TarError::Cancelled),
            (_, Err(_)) if self.server.ending.is_due() => Err(TarError::Cancelled),
            (_, Err(cause)) => Err(TarError::Stream(cause)),
            (Err(error), Ok(())) => Err(error),
            (Ok(label), Ok(())) => {
                let start = label.and_then(|(owner, label)| {
                    let (place, timeline) = begins(&String::from_utf8_lossy(&label))?;
                    Some(Start { place, timeline, owner })
                });
                start.ok_or_else(|| {
                    TarError::Stream(format!("the base backup has no {LABEL} that says where it begins"))
                })
            }
        }
    }

    fn save_file(&self, name: &str, note: &Note, members: &mut Members<'_>) -> Result<(), TarError> {
        let (uid, gid, segment_bytes) = (note.uid, note.gid, note.segment_bytes);
        let program = self.server.read_log(name, segment_bytes).map_err(TarError::Stream)?;
        let mut rows = Rows::new(program);
        let saved = members.file(
            &format!("{LOG_FOLDER}/{name}"),
            Owner { uid, gid, ..Owner::private(self.now_secs) },
            segment_bytes,
            &mut rows,
        );
        // The end of the rows is the proof that all of them came.
        let rest = std::io::copy(&mut rows, &mut std::io::sink());
        match (saved, rows.into_inner().end(), rest) {
            (Err(TarError::Cancelled), ..) => Err(TarError::Cancelled),
            (_, Err(_), _) if self.server.ending.is_due() => Err(TarError::Cancelled),
            (_, Err(cause), _) => Err(TarError::Stream(cause)),
            (Err(error), Ok(()), _) => Err(error),
            (Ok(()), Ok(()), Ok(0)) => Ok(()),
            (Ok(()), Ok(()), Ok(more)) => Err(TarError::Stream(format!("{name} is {more} bytes too long"))),
            (Ok(()), Ok(()), Err(error)) => Err(TarError::Stream(format!("{name}: {error}"))),
        }
    }
}

impl Feed for Cluster {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        if let Some(going_on) = &self.going_on {
            self.prepare(going_on).map_err(TarError::Stream)?;
        }
        let start = self.base(members)?;
        // The server refuses a data directory that others can look into.
        let (uid, gid) = (start.owner.uid, start.owner.gid);
        members.directory("", Owner { mode: 0o700, uid, gid, mtime_secs: self.now_secs })?;
        if let Some(GoingOn { state, .. }) = &self.going_on {
            let State { system, segment_bytes, .. } = state;
            let next = start.place.0 - start.place.0 % segment_bytes.max(&1);
            let (system, timeline, segment_bytes) = (system.clone(), start.timeline, *segment_bytes);
            self.leave(&Note { system, timeline, segment_bytes, next, uid, gid }, members);
        }
        Ok(())
    }

    fn refuses(&self, note: &[u8]) -> Option<String> {
        let Some(GoingOn { slot, state }) = &self.going_on else { return Some("not incremental".to_owned()) };
        let Ok(note) = serde_json::from_slice::<Note>(note) else {
            return Some("it was not made to be continued".to_owned());
        };
        if note.system != state.system || note.segment_bytes != state.segment_bytes {
            return Some("it is of another cluster".to_owned());
        }
        if note.timeline != state.timeline {
            return Some(format!(
                "the server has gone over from timeline {} to {}",
                note.timeline, state.timeline
            ));
        }
        match state.slot {
            Slot::Missing => Some(format!("slot {slot} is not there any more, so the log may have a gap")),
            Slot::Lost => Some(format!("the server could not keep the log for slot {slot}")),
            Slot::Keeps(from) if from.0 > note.next => {
                Some(format!("slot {slot} keeps the log from {from} only, so it has a gap"))
            }
            Slot::Keeps(_) => None,
        }
    }

    fn go_on(&self, note: &[u8], members: &mut Members<'_>) -> Result<(), TarError> {
        let note: Note = serde_json::from_slice(note).map_err(|error| TarError::Stream(error.to_string()))?;
        let (timeline, end) = self.server.end_file(note.segment_bytes).map_err(TarError::Stream)?;
        if timeline != note.timeline {
            let text =
                format!("the server is on timeline {timeline} now; the next backup starts a new chain");
            return Err(TarError::Stream(text));
        }
        for segment in note.next / note.segment_bytes.max(1)..end {
            let name = file_name(timeline, segment, note.segment_bytes);
            self.save_file(&name, &note, members)?;
        }
        self.leave(&Note { next: end.saturating_mul(note.segment_bytes), ..note }, members);
        Ok(())
    }
}

/// Where a base backup begins.
struct Start {
    place: Lsn,
    timeline: u32,
    owner: Owner,
}

/// Place and timeline, from the server's label.
fn begins(label: &str) -> Option<(Lsn, u32)> {
    let line = |start: &str| label.lines().find_map(|line| line.strip_prefix(start));
    let place = line("START WAL LOCATION: ")?.split_whitespace().next()?;
    let timeline = line("START TIMELINE: ")?.trim().parse().ok()?;
    Some((Lsn::parse(place).ok()?, timeline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_says_where_a_base_backup_begins() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n\
            BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-26 16:00:00 UTC\nLABEL: freezer\nSTART TIMELINE: 3\n";
        assert_eq!(begins(label), Some((Lsn(0x200_0028), 3)));
        assert_eq!(begins("LABEL: x\n"), None);
    }
}
