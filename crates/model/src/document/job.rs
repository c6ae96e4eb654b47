//! Jobs and the actions in them, written straight from the model: lists of them are asked for all the time, and a tree of
//! values for each would cost more than the rest of such a request.

use super::{FIXED_ACTION_KEYS, secs_or_never};
use crate::{Action, Job, JobEvent};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// Whether the reader of a job may see the process id on the client's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidShown {
    Yes,
    No,
}

/// Whether the reader of a job may see under which trust it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustShown {
    Yes,
    No,
}

/// A job: as item and as list element.
#[derive(Clone, Copy, Debug)]
pub struct JobDocument<'a> {
    pub job: &'a Job,
    pub pid: PidShown,
    pub trust: TrustShown,
}

/// An action: as item, as list element and inside a job's `job_actions`.
#[derive(Clone, Copy, Debug)]
pub struct ActionDocument<'a>(pub &'a Action);

/// `freezer_action` as returned: everything that was sent, and the fixed keys.
struct FreezerAction<'a>(&'a Map<String, Value>);

/// Plan and state in one object. `event`, `status` and `result` are always there: upstream's scheduler
/// stops polling for good at a job without `event`, and at an aborted one without a number as pid.
struct JobSchedule<'a> {
    job: &'a Job,
    pid: PidShown,
}

impl Serialize for FreezerAction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(sent) = self;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in *sent {
            map.serialize_entry(key, value)?;
        }
        for key in FIXED_ACTION_KEYS.iter().filter(|key| !sent.contains_key(**key)) {
            map.serialize_entry(key, &Value::Null)?;
        }
        map.end()
    }
}

impl Serialize for ActionDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(action) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("project_id", &action.project_id)?;
        map.serialize_entry("action_id", &action.action_id)?;
        map.serialize_entry("user_id", &action.user_id)?;
        map.serialize_entry("max_retries", &action.max_retries)?;
        map.serialize_entry("max_retries_interval", &action.max_retries_interval)?;
        map.serialize_entry("mandatory", &action.mandatory)?;
        map.serialize_entry("freezer_action", &FreezerAction(&action.freezer_action))?;
        map.end()
    }
}

impl Serialize for JobSchedule<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = &self.job.state;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.job.plan {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("time_created", &state.time_created)?;
        map.serialize_entry("time_started", &state.time_started)?;
        map.serialize_entry("time_ended", &state.time_ended)?;
        map.serialize_entry("event", state.event.as_str())?;
        map.serialize_entry("status", state.status.as_str())?;
        map.serialize_entry("result", state.result.as_str())?;
        match (state.current_pid, self.pid) {
            (Some(number), PidShown::Yes) => map.serialize_entry("current_pid", &number)?,
            _ if state.event == JobEvent::Abort => map.serialize_entry("current_pid", &-1)?,
            _ => {}
        }
        map.end()
    }
}

impl Serialize for JobDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let job = self.job;
        let actions: Vec<ActionDocument<'_>> = job.actions.iter().map(ActionDocument).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("job_id", &job.job_id)?;
        map.serialize_entry("project_id", &job.project_id)?;
        map.serialize_entry("user_id", &job.user_id)?;
        map.serialize_entry("client_id", &job.client_id)?;
        map.serialize_entry("description", &job.description)?;
        map.serialize_entry("session_id", &job.session_id)?;
        map.serialize_entry("session_tag", &job.session_tag)?;
        map.serialize_entry("job_schedule", &JobSchedule { job, pid: self.pid })?;
        map.serialize_entry("job_actions", &actions)?;
        if let Some(credentials) = job.credentials.as_ref().filter(|_| self.trust == TrustShown::Yes) {
            map.serialize_entry("user_credentials", credentials)?;
        }
        map.serialize_entry("next_run_at", &secs_or_never(job.next_run_at))?;
        map.end()
    }
}
