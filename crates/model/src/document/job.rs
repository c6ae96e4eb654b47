//! Jobs and the actions in them, written straight into the bytes of an answer: lists of them are asked for all the time, and a
//! tree of values for each would cost more than the rest of such a request.

use super::object::{Entries, Object};
use super::secs_or_never;
use crate::{Action, Job, JobEvent};
use serde_json::{Map, Result, Value};

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
pub struct JobDocument<'a, D = Map<String, Value>> {
    pub job: &'a Job<D>,
    /// What [`write_actions`] made of its actions, where that is at hand; the job's own are not looked at then.
    pub actions: Option<&'a str>,
    pub pid: PidShown,
    pub trust: TrustShown,
}

/// An action: as item, as list element and inside a job's `job_actions`.
pub fn write_action<D: Entries>(action: &Action<D>, out: &mut Vec<u8>) -> Result<()> {
    let mut object = Object::open(out);
    object.put("project_id", &action.project_id)?;
    object.put("action_id", &action.action_id)?;
    object.put("user_id", &action.user_id)?;
    object.put("max_retries", &action.max_retries)?;
    object.put("max_retries_interval", &action.max_retries_interval)?;
    object.put("mandatory", &action.mandatory)?;
    write_options(&action.freezer_action, object.key("freezer_action"))?;
    object.close();
    Ok(())
}

/// The actions of a job, as `job_actions` shows them.
pub fn write_actions<D: Entries>(actions: &[Action<D>], out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for (index, action) in actions.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_action(action, out)?;
    }
    out.push(b']');
    Ok(())
}

/// `freezer_action` as returned: everything that was sent, and the fixed keys.
fn write_options(sent: &impl Entries, out: &mut Vec<u8>) -> Result<()> {
    let mut object = Object::open(out);
    object.entries(sent)?;
    for key in sent.missing() {
        object.key(key).extend_from_slice(b"null");
    }
    object.close();
    Ok(())
}

impl<D: Entries> JobDocument<'_, D> {
    /// Writes the document behind what `out` holds.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let job = self.job;
        let mut object = Object::open(out);
        object.put("job_id", &job.job_id)?;
        object.put("project_id", &job.project_id)?;
        object.put("user_id", &job.user_id)?;
        object.put("client_id", &job.client_id)?;
        object.put("description", &job.description)?;
        object.put("session_id", &job.session_id)?;
        object.put("session_tag", &job.session_tag)?;
        self.write_schedule(object.key("job_schedule"))?;
        let out = object.key("job_actions");
        match self.actions {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => write_actions(&job.actions, out)?,
        }
        if let Some(credentials) = job.credentials.as_ref().filter(|_| self.trust == TrustShown::Yes) {
            object.put("user_credentials", credentials)?;
        }
        object.put("next_run_at", &secs_or_never(job.next_run_at))?;
        object.close();
        Ok(())
    }

    /// The document as a tree, for searches.
    pub fn to_value(&self) -> Result<Value> {
        let mut text = Vec::new();
        self.write(&mut text)?;
        serde_json::from_slice(&text)
    }

    /// Plan and state in one object. `event`, `status` and `result` are always there: upstream's scheduler
    /// stops polling for good at a job without `event`, and at an aborted one without a number as pid.
    fn write_schedule(&self, out: &mut Vec<u8>) -> Result<()> {
        let state = &self.job.state;
        let mut object = Object::open(out);
        object.entries(&self.job.plan)?;
        object.put("time_created", &state.time_created)?;
        object.put("time_started", &state.time_started)?;
        object.put("time_ended", &state.time_ended)?;
        object.put("event", state.event.as_str())?;
        object.put("status", state.status.as_str())?;
        object.put("result", state.result.as_str())?;
        match (state.current_pid, self.pid) {
            (Some(number), PidShown::Yes) => object.put("current_pid", &number)?,
            _ if state.event == JobEvent::Abort => object.put("current_pid", &-1)?,
            _ => {}
        }
        object.close();
        Ok(())
    }
}
