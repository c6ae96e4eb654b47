//! A session: jobs of several clients that start together, and the protocol by which they do.
//!
//! Every round has a number, the session's tag. A member asks to start with the tag it knows; the first one whose tag is
//! the session's begins the next round, the others join it within `hold_off` seconds. A round is over when every member
//! has ended. Pure: who calls has the session's row locked and writes it back. The REST API (for clients that poll) and
//! the conductor (for its own jobs) both decide here.
//!
//! | tag asked with | within hold-off of the last start | later |
//! |---|---|---|
//! | the session's | `hold-off` | `success`, a new round |
//! | a lower one | `success`, joins the round | `out-of-sync` |
//! | a higher one | refused | refused |

use crate::{Job, JobId, ProjectId, SessionId, Timestamp, UserId};
use serde_json::{Map, Value};

/// Seconds during which members may join a round, when nothing else was asked for.
pub const DEFAULT_HOLD_OFF_SECS: i64 = 30;

/// `status` of a session that was never started.
pub const ACTIVE: &str = "active";
pub const RUNNING: &str = "running";
pub const COMPLETED: &str = "completed";
const SUCCESS: &str = "success";
const FAIL: &str = "fail";

/// A job in a session, as the session remembers it. Times are epoch seconds, -1 = never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub job_id: JobId,
    pub client_id: String,
    pub status: String,
    pub result: String,
    pub time_started: i64,
    pub time_ended: i64,
    /// The round it took part in last; for a new member the one it came in.
    pub session_tag: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub project_id: ProjectId,
    pub session_id: SessionId,
    pub user_id: UserId,
    pub description: Option<String>,
    /// Number of the last round.
    pub session_tag: i64,
    pub hold_off: i64,
    pub status: String,
    pub result: Option<String>,
    /// Start and end of the last round, epoch seconds, -1 = never.
    pub time_start: i64,
    pub time_end: i64,
    /// As sent: plan keys, perhaps keys of state that mean nothing here.
    pub schedule: Map<String, Value>,
    /// In the order in which they came.
    pub members: Vec<Member>,
    pub created_at: Timestamp,
}

/// The answer to a member that wants to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAnswer {
    /// It takes part in the round of this number.
    Success(i64),
    /// The round has begun already, with this member.
    HoldOff(i64),
    /// It comes too late for the round.
    OutOfSync(i64),
}

impl StartAnswer {
    /// The word the REST API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success(_) => "success",
            Self::HoldOff(_) => "hold-off",
            Self::OutOfSync(_) => "out-of-sync",
        }
    }

    pub fn session_tag(self) -> i64 {
        match self {
            Self::Success(tag) | Self::HoldOff(tag) | Self::OutOfSync(tag) => tag,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    #[error("requested tag value too high. Session Tag: {session_tag} Job Tag: {job_tag}")]
    TagTooHigh { session_tag: i64, job_tag: i64 },
    #[error("job_id not found in session")]
    NotAMember,
}

/// How the members of the present round stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overall {
    Running,
    Ended(&'static str),
}

impl Session {
    pub fn member(&self, job: &JobId) -> Option<&Member> {
        self.members.iter().find(|member| member.job_id == *job)
    }

    fn member_mut(&mut self, job: &JobId) -> Result<&mut Member, SessionRefusal> {
        self.members.iter_mut().find(|member| member.job_id == *job).ok_or(SessionRefusal::NotAMember)
    }

    /// A member wants to start. Only [`StartAnswer::Success`] changes anything.
    pub fn start(
        &mut self,
        job: &JobId,
        job_tag: i64,
        now: Timestamp,
    ) -> Result<StartAnswer, SessionRefusal> {
        let tag = self.session_tag;
        if job_tag > tag {
            return Err(SessionRefusal::TagTooHigh { session_tag: tag, job_tag });
        }
        let is_held_off = now.secs().saturating_sub(self.time_start) <= self.hold_off;
        match (is_held_off, job_tag == tag) {
            (true, true) => Ok(StartAnswer::HoldOff(tag)),
            (false, false) => Ok(StartAnswer::OutOfSync(tag)),
            (true, false) => self.enter(job, tag, now),
            (false, true) => {
                let next = tag.saturating_add(1);
                let answer = self.enter(job, next, now)?;
                self.session_tag = next;
                self.time_start = now.secs();
                self.status = RUNNING.to_owned();
                self.result = Some(String::new());
                Ok(answer)
            }
        }
    }

    fn enter(&mut self, job: &JobId, tag: i64, now: Timestamp) -> Result<StartAnswer, SessionRefusal> {
        let member = self.member_mut(job)?;
        member.status = RUNNING.to_owned();
        member.result = String::new();
        member.time_started = now.secs();
        member.session_tag = tag;
        Ok(StartAnswer::Success(tag))
    }

    /// A member has ended. When it was the last of the round, the session is completed; one that is completed stays so.
    /// Returns the round that its job knows from now on: one that fell out of step is in step again.
    pub fn end(&mut self, job: &JobId, result: &str, now: Timestamp) -> Result<i64, SessionRefusal> {
        let tag = self.session_tag;
        let member = self.member_mut(job)?;
        // One that ran without having been let in counts for the present round: it will not come again in it. One that
        // was let in ends the round it was in, which may be an earlier one.
        if member.status != RUNNING {
            member.session_tag = tag;
        }
        member.status = COMPLETED.to_owned();
        member.result = result.to_owned();
        member.time_ended = now.secs();
        let known = member.session_tag;
        self.settle(now);
        Ok(known)
    }

    fn settle(&mut self, now: Timestamp) {
        if self.status == COMPLETED {
            return;
        }
        if let Overall::Ended(result) = self.overall() {
            self.status = COMPLETED.to_owned();
            self.result = Some(result.to_owned());
            self.time_end = now.secs();
        }
    }

    /// Running until all have ended this round; failed when any did.
    fn overall(&self) -> Overall {
        let has_ended =
            |member: &Member| member.status == COMPLETED && member.session_tag >= self.session_tag;
        if !self.members.iter().all(has_ended) {
            return Overall::Running;
        }
        let all_well = self.members.iter().all(|member| member.result == SUCCESS);
        Overall::Ended(if all_well { SUCCESS } else { FAIL })
    }

    /// Takes a job in; one that is in already begins anew at its place.
    pub fn attach(&mut self, job: &Job) {
        let member = Member {
            job_id: job.job_id.clone(),
            client_id: job.client_id.to_string(),
            status: job.state.status.as_str().to_owned(),
            result: job.state.result.as_str().to_owned(),
            time_started: job.state.time_started,
            time_ended: job.state.time_ended,
            session_tag: self.session_tag,
        };
        match self.members.iter_mut().find(|known| known.job_id == member.job_id) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    /// Lets a job go; a round that only waited for it is over. Returns whether it was a member.
    pub fn detach(&mut self, job: &JobId, now: Timestamp) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.job_id != *job);
        let was_member = self.members.len() < before;
        if was_member && self.status == RUNNING && !self.members.is_empty() {
            self.settle(now);
        }
        was_member
    }

    /// The part of the schedule that says when its jobs run.
    pub fn plan(&self) -> Map<String, Value> {
        let plan = self.schedule.iter().filter(|(key, _)| key.starts_with("schedule_"));
        plan.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests;
