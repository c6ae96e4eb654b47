//! What is asked of a PostgreSQL server, with `psql`.

use super::conf::PostgresqlConf;
use super::lsn::Lsn;
use crate::databases::program::{Ending, Program};
use std::process::Command;

/// What an increment has to know before the level is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of the cluster: another server, or one made anew, has another.
    pub system: String,
    pub timeline: u32,
    pub segment_bytes: u64,
    pub slot: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Missing,
    /// The server has thrown away what it was to keep.
    Lost,
    /// The log is there from here on.
    Keeps(Lsn),
}

/// Oldest version whose slots say whether they are lost.
const OLDEST: u32 = 130_000;
/// Read by one row of an answer.
const SLICE_BYTES: u64 = 4 << 20;

#[derive(Clone)]
pub struct Server {
    pub conf: PostgresqlConf,
    pub ending: Ending,
}

impl Server {
    /// Statements in transactions of their own; the lines of their answers, columns with `|` between.
    fn ask(&self, statements: &[&str]) -> Result<String, String> {
        let mut command = self.psql();
        for statement in statements {
            command.args(["-c", statement]);
        }
        Program::answer(command, None, &self.ending)
    }

    fn psql(&self) -> Command {
        let mut command = self.conf.command("psql");
        // Nothing of the host's own psqlrc, no question for a password.
        command.args(["-X", "-w", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        command
    }

    pub fn state(&self, slot: &str) -> Result<State, String> {
        let place = "SELECT current_setting('server_version_num'), pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()), \
             (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')";
        let answer = self.ask(&[place])?;
        let mut fields = answer.trim().split('|');
        let mut field = || fields.next().unwrap_or_default();
        let (version, is_standby, system, segment) = (field(), field(), field(), field());
        if version.parse::<u32>().unwrap_or(0) < OLDEST {
            return Err(format!("increments need PostgreSQL 13 or newer, the server says {version}"));
        }
        if is_standby != "f" {
            return Err("the server is a standby, which cannot end a file of the log: take increments from the primary, or whole \
                        backups (incremental=false)"
                .to_owned());
        }
        let (system, segment_bytes) = (system.to_owned(), segment.parse().map_err(|_| unclear(&answer))?);
        let more = format!(
            "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), s.slot_name, s.restart_lsn, s.wal_status, s.slot_type \
             FROM (SELECT 1) AS one LEFT JOIN pg_replication_slots s ON s.slot_name = '{slot}'"
        );
        let answer = self.ask(&[&more])?;
        let fields: Vec<&str> = answer.trim().split('|').collect();
        let [timeline, name, place, status, kind] = fields.as_slice() else { return Err(unclear(&answer)) };
        let slot = match (*name, *kind, *status) {
            ("", ..) => Slot::Missing,
            (name, kind, _) if kind != "physical" => {
                return Err(format!("slot {name} is a {kind} one, which others use: name another by slot"));
            }
            (_, _, "lost" | "unreserved" | "") => Slot::Lost,
            _ => Slot::Keeps(Lsn::parse(place)?),
        };
        let timeline = u32::from_str_radix(timeline, 16).map_err(|_| unclear(&answer))?;
        Ok(State { system, timeline, segment_bytes, slot })
    }

    /// From here on the server keeps the log.
    pub fn make_slot(&self, name: &str) -> Result<(), String> {
        self.ask(&[&format!("SELECT pg_create_physical_replication_slot('{name}', true)")]).map(drop)
    }

    pub fn drop_slot(&self, name: &str) -> Result<(), String> {
        self.ask(&[&format!("SELECT pg_drop_replication_slot('{name}')")]).map(drop)
    }

    /// What lies before `place` is not needed any more.
    pub fn release(&self, name: &str, place: Lsn) -> Result<(), String> {
        let statement = format!(
            "SELECT pg_replication_slot_advance(slot_name, '{place}') FROM pg_replication_slots \
             WHERE slot_name = '{name}' AND restart_lsn < '{place}'"
        );
        self.ask(&[&statement]).map(drop)
    }

    /// Ends the current file of the log; answers the timeline and the number of the first file that is not complete. There is a commit
    /// before the end, so that a recovery to any moment up to now sees that the moment has passed.
    pub fn end_file(&self, segment_bytes: u64) -> Result<(u32, u64), String> {
        let answer = self.ask(&[
            "SELECT txid_current() IS NULL",
            "SELECT pg_switch_wal()",
            "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
        ])?;
        let lines: Vec<&str> = answer.split_whitespace().collect();
        let [_, place, timeline] = lines.as_slice() else { return Err(unclear(&answer)) };
        let place = Lsn::parse(place)?;
        let timeline = u32::from_str_radix(timeline, 16).map_err(|_| unclear(&answer))?;
        // The place is the first byte after the last record of the file, or the first of the next file.
        Ok((timeline, place.0.saturating_sub(1) / segment_bytes.max(1) + 1))
    }

    /// Starts to read a file of the log; the answer is in the binary form of COPY.
    pub fn read_log(&self, file: &str, segment_bytes: u64) -> Result<Program, String> {
        let statement = format!(
            "COPY (SELECT pg_read_binary_file('pg_wal/{file}', place, {SLICE_BYTES}) FROM generate_series(0, {}, {SLICE_BYTES}) AS place) \
             TO STDOUT (FORMAT binary)",
            segment_bytes.saturating_sub(1)
        );
        let mut command = self.psql();
        command.args(["-c", &statement]);
        Program::start(command, None, &self.ending)
    }

    /// Starts a base backup, which is complete by itself: the log that it needs comes at its end.
    pub fn base(&self, label: &str) -> Result<Program, String> {
        let mut command = self.conf.command("pg_basebackup");
        command.args(["-D", "-", "-F", "t", "-X", "fetch", "-w", "-c", &self.conf.checkpoint, "-l", label]);
        Program::start(command, None, &self.ending)
    }
}

fn unclear(answer: &str) -> String {
    let beginning: String = answer.chars().take(200).collect();
    format!("the server answers '{}'", beginning.trim())
}
