//! One job of the desk: its file, its plan, and the run that goes on.
//!
//! What a file says anew in the middle of a run waits for the run's end: its plan is unread until then.

use super::files::JobFile;
use super::state::Record;
use freezer_model::outcome::{final_state, job_result};
use freezer_model::planning::{DueJob, Planning, after_run, is_alive};
use freezer_model::{Job, JobEvent, JobResult, JobStatus, Run, RunState, Timestamp};
use std::path::PathBuf;

#[derive(Clone)]
pub struct Filed {
    pub path: PathBuf,
    pub due: DueJob,
    pub run: Option<Run>,
    /// Its file is gone; it goes with the end of its run.
    pub is_gone: bool,
    /// Its state could not be written: it is left alone until then.
    pub stuck_until: Option<Timestamp>,
    /// What its file says.
    event: JobEvent,
    status: JobStatus,
}

impl Filed {
    /// The job of a file, with what is remembered of it.
    pub fn new(file: JobFile, record: Option<Record>) -> Self {
        let JobFile { path, job } = file;
        let (event, status) = (job.state.event, job.state.status);
        let due = DueJob { job, planned_version: None, attention_at: None, heard_at: None };
        let mut filed = Self { path, due, run: None, is_gone: false, stuck_until: None, event, status };
        if let Some(record) = record {
            filed.recall(record);
        }
        filed
    }

    fn recall(&mut self, record: Record) {
        let job = &mut self.due.job;
        let is_same = record.version == job.plan_version;
        if is_same && record.obeyed.as_deref() == Some(self.event.as_str()) {
            job.state.event = JobEvent::None;
        }
        if is_same {
            job.state.status = JobStatus::parse(&record.status).unwrap_or_default();
            job.next_run_at = record.next_run_at;
            self.due.planned_version = record.planned_version;
        }
        job.state.result = JobResult::parse(&record.result).unwrap_or_default();
        job.state.time_started = record.time_started;
        job.state.time_ended = record.time_ended;
        if record.run.is_some() {
            job.state.status = JobStatus::Running;
        }
        self.run = record.run;
    }

    /// What is to be remembered.
    pub fn record(&self) -> Record {
        let job = &self.due.job;
        let is_obeyed = job.state.event == JobEvent::None;
        Record {
            version: job.plan_version,
            obeyed: is_obeyed.then(|| self.event.as_str().to_owned()),
            planned_version: self.due.planned_version,
            next_run_at: job.next_run_at,
            status: job.state.status.as_str().to_owned(),
            result: job.state.result.as_str().to_owned(),
            time_started: job.state.time_started,
            time_ended: job.state.time_ended,
            run: self.run.clone(),
        }
    }

    pub fn job(&self) -> &Job {
        &self.due.job
    }

    pub fn note(&mut self, planning: Planning) {
        self.due.planned_version = planning.planned_version;
        self.due.job.next_run_at = planning.next_run_at;
    }

    /// The status with which nothing is planned.
    pub fn rests(&self) -> Option<&'static str> {
        let state = &self.due.job.state;
        let is_resting = state.event == JobEvent::None && !is_alive(state.status);
        is_resting.then(|| state.status.as_str())
    }

    fn is_unread(&self) -> bool {
        self.due.planned_version != Some(self.due.job.plan_version)
    }

    fn is_stuck(&self, now: Timestamp) -> bool {
        self.stuck_until.is_some_and(|until| until > now)
    }

    /// Whether there is something to decide.
    pub fn wants_a_look(&self, now: Timestamp) -> bool {
        let state = &self.due.job.state;
        if self.is_gone || self.is_stuck(now) {
            return false;
        }
        let is_due = self.due.job.next_run_at.is_some_and(|at| at <= now);
        let is_news = state.event != JobEvent::None || self.is_unread();
        match self.run {
            Some(_) => is_due && !is_news,
            None => state.event != JobEvent::None || (is_alive(state.status) && (is_due || self.is_unread())),
        }
    }

    /// The run, when its next step can be handed out.
    pub fn ready(&self, now: Timestamp) -> Option<&Run> {
        let is_ready = |run: &&Run| {
            run.state == RunState::Queued
                && run.attention_at.is_none_or(|at| at <= now)
                && run.action_index < run.actions.len()
        };
        self.run.as_ref().filter(is_ready).filter(|_| !self.is_stuck(now))
    }

    /// The run, while a step of it is out.
    pub fn at_work(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| matches!(run.state, RunState::Dispatched | RunState::Running))
    }

    /// When there will be something to do, by itself.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let is_followed = !self.is_gone && is_alive(self.due.job.state.status) && !self.is_unread();
        let planned = self.due.job.next_run_at.filter(|_| is_followed);
        let again = self.run.as_ref().filter(|run| run.state == RunState::Queued);
        let again = again.and_then(|run| run.attention_at);
        let first = planned.into_iter().chain(again).min()?;
        Some(self.stuck_until.map_or(first, |until| until.max(first)))
    }

    /// Ends the run that has nothing left to do; answers how it ended.
    pub fn end_run(&mut self, now: Timestamp) -> Option<(RunState, Option<String>)> {
        let run = self.run.take()?;
        let (state, error) = final_state(&run);
        let is_told_to_end =
            matches!(self.due.job.state.event, JobEvent::Stop | JobEvent::Abort | JobEvent::Remove);
        let is_unread = self.is_unread();
        let planning = after_run(&mut self.due, job_result(state, JobResult::Fail), now);
        self.note(planning);
        // Its file was changed in the meantime: now it counts.
        if is_unread && !is_told_to_end {
            self.due.job.state.status = self.status;
            self.due.job.next_run_at = None;
        }
        Some((state, error))
    }
}
