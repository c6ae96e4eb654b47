//! Statements for a SQL Server, by the vendor's `sqlcmd`. The password goes to it in its environment, which only the account that
//! runs it can read.

use super::conf::SqlServerConf;
use crate::databases::access::hide;
use crate::databases::program::{Ending, Program};
use std::process::Command;

/// Between columns: in no name that is accepted.
pub(super) const SEPARATOR: char = '\u{1f}';
/// Seconds to wait for a login.
const LOGIN_SECS: &str = "30";

#[derive(Clone)]
pub(super) struct Sqlcmd {
    pub conf: SqlServerConf,
    pub ending: Ending,
}

/// A database of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    pub name: String,
    pub is_online: bool,
    /// FULL, BULK_LOGGED or SIMPLE.
    pub recovery_model: String,
    /// Up to where its log was backed up; `None` when that has not begun.
    pub log_lsn: Option<u128>,
    /// Changes when the database is restored.
    pub fork: String,
}

/// What a server says of itself.
#[derive(Debug)]
pub(super) struct Listed {
    pub server: String,
    pub databases: Vec<Database>,
}

/// Names go as hexadecimal digits: they may hold anything.
const LIST: &str = "SELECT CONCAT('server', CHAR(31), CONVERT(varchar(600), CONVERT(varbinary(256), \
    CONVERT(nvarchar(128), SERVERPROPERTY('ServerName'))), 2)); \
    SELECT CONCAT('database', CHAR(31), CONVERT(varchar(600), CONVERT(varbinary(256), d.name), 2), CHAR(31), d.state_desc, CHAR(31), \
    d.recovery_model_desc, CHAR(31), CONVERT(varchar(30), r.last_log_backup_lsn), CHAR(31), CONVERT(varchar(40), r.recovery_fork_guid)) \
    FROM sys.databases d LEFT JOIN sys.database_recovery_status r ON r.database_id = d.database_id \
    WHERE d.database_id > 4 AND d.source_database_id IS NULL ORDER BY d.name";

impl Sqlcmd {
    fn command(&self, statements: &str) -> Command {
        let mut command = Command::new(&self.conf.program);
        // Nothing of the agent's own surroundings that leads elsewhere.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().to_ascii_uppercase().starts_with("SQLCMD") {
                command.env_remove(name);
            }
        }
        command.args(["-S", &self.conf.server, "-d", "master", "-l", LOGIN_SECS]);
        match (&self.conf.user, &self.conf.password) {
            (Some(user), Some(password)) => {
                command.args(["-U", user]).env("SQLCMDPASSWORD", password.as_str());
            }
            _ => {
                command.arg("-E");
            }
        }
        if self.conf.trusts_certificate {
            command.arg("-C");
        }
        if let Some(encrypt) = &self.conf.encrypt {
            command.arg(format!("-N{encrypt}"));
        }
        // Errors end it, and go where errors belong; no headers, no padding; no variables or commands of sqlcmd in the text.
        command.args(["-b", "-r1", "-h-1", "-W", "-w", "65535", "-x", "-X1", "-s", &SEPARATOR.to_string()]);
        command.args(["-Q", &format!("SET NOCOUNT ON; {statements}")]).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Does the statements, and answers the lines they give.
    pub(super) fn ask(&self, statements: &str) -> Result<Vec<String>, String> {
        let answer = Program::answer(self.command(statements), None, &self.ending);
        let password = self.conf.password.as_deref().map_or("", String::as_str);
        let answer = answer.map_err(|cause| hide(&cause, &[password]))?;
        Ok(answer.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Databases that are not the server's own.
    pub(super) fn list(&self) -> Result<Listed, String> {
        let lines = self.ask(LIST)?;
        listed(&lines)
            .ok_or_else(|| format!("sqlcmd lists databases as '{}'", lines.join("; ").escape_debug()))
    }

    /// First and last place in the log of a backup, by its own name.
    pub(super) fn reach(&self, backup: &str) -> Result<(u128, u128), String> {
        let lines = self.ask(&format!(
            "SELECT TOP (1) CONCAT('lsn', CHAR(31), CONVERT(varchar(30), first_lsn), CHAR(31), CONVERT(varchar(30), last_lsn)) \
             FROM msdb.dbo.backupset WHERE name = {} ORDER BY backup_set_id DESC",
            text(backup)
        ))?;
        let found = lines.iter().find_map(|line| {
            let mut fields = line.strip_prefix("lsn")?.strip_prefix(SEPARATOR)?.split(SEPARATOR);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        found.ok_or_else(|| {
            "msdb.dbo.backupset does not tell what the backup holds; may the login read it?".to_owned()
        })
    }
}

fn listed(lines: &[String]) -> Option<Listed> {
    let (mut server, mut databases) = (None, Vec::new());
    for line in lines {
        let fields: Vec<&str> = line.split(SEPARATOR).collect();
        match fields.as_slice() {
            ["server", name] => server = Some(decoded(name)?),
            ["database", name, state, model, lsn, fork] => databases.push(Database {
                name: decoded(name)?,
                is_online: *state == "ONLINE",
                recovery_model: (*model).to_owned(),
                log_lsn: if lsn.is_empty() { None } else { Some(lsn.parse().ok()?) },
                fork: (*fork).to_owned(),
            }),
            _ => return None,
        }
    }
    Some(Listed { server: server?, databases })
}

/// A name that came as the hexadecimal digits of its UTF-16.
fn decoded(digits: &str) -> Option<String> {
    if digits.is_empty() || !digits.len().is_multiple_of(4) {
        return None;
    }
    let unit = |four: &[u8]| {
        let text = std::str::from_utf8(four).ok()?;
        u16::from_str_radix(text, 16).ok().map(u16::swap_bytes)
    };
    let units = digits.as_bytes().chunks(4).map(unit).collect::<Option<Vec<u16>>>()?;
    String::from_utf16(&units).ok()
}

/// A name of something, for a statement.
pub(super) fn name(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A text, for a statement.
pub(super) fn text(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(name("a]; DROP DATABASE [b"), "[a]]; DROP DATABASE [b]");
        assert_eq!(text("it's"), "N'it''s'");
    }

    #[test]
    fn names_come_as_digits() {
        assert_eq!(decoded("61003D"), None);
        assert_eq!(decoded("6100AC20").as_deref(), Some("a\u{20ac}"));
        assert_eq!(decoded("00D8"), None);
        assert_eq!(decoded(""), None);
    }

    #[test]
    fn lists_are_read_strictly() {
        let line = |text: &str| text.replace('|', &SEPARATOR.to_string());
        let lines = [
            line("server|6100"),
            line("database|6200|ONLINE|FULL|42000000012300001|F-1"),
            line("database|6300|OFFLINE|SIMPLE||"),
        ];
        let found = listed(&lines).unwrap();
        assert_eq!((found.server.as_str(), found.databases.len()), ("a", 2));
        assert_eq!(found.databases[0].log_lsn, Some(42_000_000_012_300_001));
        assert!(!found.databases[1].is_online && found.databases[1].log_lsn.is_none());
        assert!(listed(&[line("server|6100"), line("database|6200|ONLINE")]).is_none());
        assert!(listed(&[line("database|6200|ONLINE|FULL||")]).is_none());
    }
}
