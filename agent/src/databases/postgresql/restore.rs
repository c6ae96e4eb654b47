//! Which levels a recovery needs, and what the server is told about where to end it.

use super::lsn::Lsn;
use freezer_model::clock::time_text;
use freezer_storage::Store;
use freezer_vault::catalogue::{self, Chain};
use freezer_vault::{Hbn, VaultError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::Path;
use std::sync::Arc;

const SETTINGS: &str = "postgresql.auto.conf";
const SIGNAL: &str = "recovery.signal";
/// A server that was a standby becomes one that stands alone.
const STANDBY: &str = "standby.signal";
/// In every data directory; its owner is the server's.
const VERSION: &str = "PG_VERSION";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// All of the log.
    End,
    Time(i64),
    Place(Lsn),
}

/// How a restored server recovers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub target: Target,
    /// The state to restore.
    pub not_after_secs: Option<i64>,
    pub warnings: Vec<String>,
}

/// The state to restore so that `time` or `place` can be reached. Each level holds the log up to its own time at least: the one wanted
/// is the first after the time, in the newest chain that began before. A level's own time is that very level.
pub(crate) async fn aim(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    time: Option<i64>,
    place: Option<Lsn>,
) -> Result<Recovery, VaultError> {
    let Some(time) = time else {
        let target = place.map_or(Target::End, Target::Place);
        return Ok(Recovery { target, not_after_secs: None, warnings: Vec::new() });
    };
    let catalogue = catalogue::list(store, hbn).await?;
    let began = |chain: &&Chain| chain.existing().next().is_some_and(|first| first.id.timestamp <= time);
    let chain = catalogue.chains.iter().rfind(began);
    let levels: Vec<i64> =
        chain.map(|chain| chain.existing().map(|level| level.id.timestamp).collect()).unwrap_or_default();
    let mut recovery = among(&levels, time);
    if let Some(place) = place {
        recovery.target = Target::Place(place);
    }
    Ok(recovery)
}

/// Among the times of a chain's levels.
fn among(levels: &[i64], time: i64) -> Recovery {
    if levels.contains(&time) {
        return Recovery { target: Target::End, not_after_secs: Some(time), warnings: Vec::new() };
    }
    let (reaching, newest) = (levels.iter().skip(1).find(|level| **level >= time), levels.last());
    let Some(level) = reaching else {
        let ends = newest.map(|newest| {
            format!(
                "the log that was saved in this chain ends about {}: the server recovers to that, and not to {}",
                time_text(*newest),
                time_text(time)
            )
        });
        let not_after_secs = newest.copied().or(Some(time));
        return Recovery { target: Target::End, not_after_secs, warnings: ends.into_iter().collect() };
    };
    Recovery { target: Target::Time(time), not_after_secs: Some(*level), warnings: Vec::new() }
}

impl Recovery {
    /// Makes the server that is started on `data` recover. Blocking.
    pub(crate) fn prepare(&self, data: &Path) -> Result<(), String> {
        self.try_prepare(data).map_err(|error| format!("{}: {error}", data.display()))
    }

    fn try_prepare(&self, data: &Path) -> io::Result<()> {
        let server = std::fs::metadata(data.join(VERSION))?;
        let own = |name: &str, body: &str| -> io::Result<()> {
            let path = data.join(name);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            io::Write::write_all(&mut file, body.as_bytes())?;
            file.sync_all()?;
            chown(&path, Some(server.uid()), Some(server.gid()))
        };
        let old = match std::fs::read_to_string(data.join(SETTINGS)) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            old => old?,
        };
        own(SETTINGS, &self.settings(&old))?;
        own(SIGNAL, "")?;
        match std::fs::remove_file(data.join(STANDBY)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The settings without those of earlier recoveries, and ours.
    fn settings(&self, old: &str) -> String {
        let is_kept = |line: &&str| {
            let line = line.trim_start();
            !line.starts_with("recovery_target") && !line.starts_with("restore_command")
        };
        let mut lines: Vec<String> = old.lines().filter(is_kept).map(str::to_owned).collect();
        lines.push(
            "# The log lies in pg_wal, where it is looked for when the command finds nothing.".to_owned(),
        );
        lines.push("restore_command = 'false'".to_owned());
        lines.push("recovery_target_timeline = 'current'".to_owned());
        match self.target {
            Target::End => {}
            Target::Time(secs) => lines.push(format!(
                "recovery_target_time = '{}+00'",
                time_text(secs).replace(['T', 'Z'], " ").trim()
            )),
            Target::Place(place) => lines.push(format!("recovery_target_lsn = '{place}'")),
        }
        if self.target != Target::End {
            lines.push("recovery_target_action = 'promote'".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_level_after_the_time_reaches_it() {
        let level = |time| {
            let found = among(&[100, 200, 300], time);
            (found.target, found.not_after_secs, found.warnings.len())
        };
        assert_eq!(level(100), (Target::End, Some(100), 0));
        assert_eq!(level(150), (Target::Time(150), Some(200), 0));
        assert_eq!(level(200), (Target::End, Some(200), 0));
        assert_eq!(level(201), (Target::Time(201), Some(300), 0));
        assert_eq!(level(301), (Target::End, Some(300), 1));
        let only = among(&[100], 101);
        assert_eq!((only.target, only.not_after_secs, only.warnings.len()), (Target::End, Some(100), 1));
        assert_eq!(among(&[], 100).not_after_secs, Some(100));
    }

    #[test]
    fn settings_of_earlier_recoveries_go() {
        let old = "# Do not edit\nwork_mem = '8MB'\nrecovery_target_name = 'x'\nrestore_command = 'cp /old/%f %p'\n";
        let told = |target| Recovery { target, not_after_secs: None, warnings: Vec::new() }.settings(old);
        let at = told(Target::Time(1_767_225_600));
        assert!(at.starts_with("# Do not edit\nwork_mem = '8MB'\n#"), "{at}");
        assert!(
            at.contains("\nrecovery_target_time = '2026-01-01 00:00:00+00'\nrecovery_target_action"),
            "{at}"
        );
        assert!(!at.contains("recovery_target_name") && !at.contains("/old/"), "{at}");
        assert!(told(Target::Place(Lsn(0x300_0000))).contains("recovery_target_lsn = '0/3000000'"));
        assert!(!told(Target::End).contains("recovery_target_action"));
    }
}
