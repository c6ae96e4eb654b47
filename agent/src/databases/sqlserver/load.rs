//! Saved databases into a server that runs.

use super::conf::SqlServerConf;
use super::save::{DOCUMENT, FOLDER, FULL, Kept, Note};
use super::sqlcmd::{SEPARATOR, Sqlcmd, name, text};
use super::staged::{Area, join};
use crate::databases::program::Ending;
use freezer_vault::Monitor;
use std::path::Path;
use std::sync::Arc;

/// What of a server is restored, and how.
pub(crate) struct Load {
    pub conf: SqlServerConf,
    /// Where the logs end; `None`: all of them.
    pub until_secs: Option<i64>,
    /// Databases that are there are replaced.
    pub replaces: bool,
}

/// Restores what lies in `area`; answers what is worth knowing. Blocking, where tokio runs.
pub(crate) fn load(load: &Load, area: &Area, monitor: &Arc<Monitor>) -> Result<Vec<String>, String> {
    let server = Sqlcmd { conf: load.conf.clone(), ending: Ending::with(monitor) };
    let document = area.path().join(DOCUMENT);
    let fail = |cause: String| format!("{}: {cause}", document.display());
    let read = std::fs::read(&document).map_err(|error| fail(error.to_string()))?;
    let note: Note = serde_json::from_slice(&read).map_err(|error| fail(error.to_string()))?;
    let chosen = choose(&load.conf, &note)?;
    let there = server.list()?.databases;
    if let Some(kept) =
        chosen.iter().find(|kept| there.iter().any(|it| it.name.eq_ignore_ascii_case(&kept.name)))
        && !load.replaces
    {
        return Err(format!(
            "the server has a database {} already; replace_databases replaces it",
            kept.name
        ));
    }
    let mut warnings = Vec::new();
    let until = match load.until_secs {
        Some(secs) => {
            let local = local_time(&server, secs)?;
            warnings.push(format!(
                "the logs were replayed up to {local} by the server's own clock, with the offset from UTC that it has now"
            ));
            format!(", STOPAT = {}", text(&local))
        }
        None => String::new(),
    };
    area.share()?;
    for kept in chosen {
        restore(&server, load, area, kept, &until)?;
    }
    Ok(warnings)
}

fn choose<'a>(conf: &SqlServerConf, note: &'a Note) -> Result<Vec<&'a Kept>, String> {
    if let Some(missing) =
        conf.names.iter().find(|name| !note.databases.iter().any(|kept| kept.name == **name))
    {
        return Err(format!("the backup has no database {missing}, which sql_server_conf names"));
    }
    let is_wanted = |kept: &&Kept| {
        (conf.names.is_empty() || conf.names.contains(&kept.name)) && !conf.exclude.contains(&kept.name)
    };
    Ok(note.databases.iter().filter(is_wanted).collect())
}

fn restore(server: &Sqlcmd, load: &Load, area: &Area, kept: &Kept, until: &str) -> Result<(), String> {
    let database = name(&kept.name);
    let folder = join(&join(&area.server_path, FOLDER), &kept.folder);
    let full = text(&join(&folder, FULL));
    let moves = match &load.conf.data_folder {
        Some(data) => {
            moves(&server.ask(&format!("RESTORE FILELISTONLY FROM DISK = {full}"))?, data, &kept.folder)?
        }
        None => String::new(),
    };
    let replace = if load.replaces { ", REPLACE" } else { "" };
    let logs = logs(&area.path().join(FOLDER).join(&kept.folder))?;
    server.ask(&format!(
        "RESTORE DATABASE {database} FROM DISK = {full} WITH CHECKSUM, NORECOVERY{replace}{moves}"
    ))?;
    // From here on the database is there, and of no use before the end.
    let mut rest: Vec<String> = logs
        .iter()
        .map(|log| {
            let disk = text(&join(&folder, log));
            format!("RESTORE LOG {database} FROM DISK = {disk} WITH CHECKSUM, NORECOVERY{until}")
        })
        .collect();
    rest.push(format!("RESTORE DATABASE {database} WITH RECOVERY"));
    rest.iter().try_for_each(|statement| server.ask(statement).map(drop)).map_err(|cause| {
        format!(
            "{cause}; database {} is left restoring: restore it again with replace_databases, or drop it",
            kept.name
        )
    })
}

/// Backups of a log, oldest first: their names begin with the place in the log where they end.
fn logs(folder: &Path) -> Result<Vec<String>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let found = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        if found.starts_with("log-") {
            names.push(found);
        }
    }
    names.sort();
    Ok(names)
}

/// Where a database's files go.
fn moves(lines: &[String], data: &str, folder: &str) -> Result<String, String> {
    let mut moves = String::new();
    for (count, line) in lines.iter().enumerate() {
        let fields: Vec<&str> = line.split(SEPARATOR).collect();
        let [logical, _, kind, ..] = fields.as_slice() else {
            return Err(format!("RESTORE FILELISTONLY answers '{}'", line.escape_debug()));
        };
        let ending = match (*kind, count) {
            ("L", _) => ".ldf",
            ("D", 0) => ".mdf",
            ("D", _) => ".ndf",
            // Folders of streams.
            _ => "",
        };
        let place = join(data, &format!("{folder}_{count}{ending}"));
        moves += &format!(", MOVE {} TO {}", text(logical), text(&place));
    }
    Ok(moves)
}

/// A time as the server's clock has it: SQL Server knows no zones here.
fn local_time(server: &Sqlcmd, secs: i64) -> Result<String, String> {
    let lines = server.ask("SELECT DATEDIFF(minute, GETUTCDATE(), GETDATE())")?;
    let minutes = lines.first().and_then(|line| line.trim().parse::<i64>().ok());
    let local = minutes.and_then(|minutes| chrono::DateTime::from_timestamp(secs + minutes * 60, 0));
    let local = local.ok_or("the server does not say what time it has")?;
    Ok(local.format("%Y-%m-%dT%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_into_the_folder_that_is_named() {
        let line = |text: &str| text.replace('|', &SEPARATOR.to_string());
        let lines = [line("it's|C:\\old\\a.mdf|D|PRIMARY"), line("log|C:\\old\\a.ldf|L|NULL")];
        assert_eq!(
            moves(&lines, "D:\\data\\", "bank-01").unwrap(),
            ", MOVE N'it''s' TO N'D:\\data\\bank-01_0.mdf', MOVE N'log' TO N'D:\\data\\bank-01_1.ldf'"
        );
        assert!(moves(&["Msg 1".to_owned()], "/data", "x").is_err());
    }
}
