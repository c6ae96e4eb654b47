//! Jobs that a polling scheduler runs and of which nothing is heard.
//!
//! Such a scheduler reports that it has planned a job, that a run begins and that it has ended; that none began, it never says. What
//! can be said without it: by its plan the job was certainly due, and no word of it came.
//!
//! | `status` | |
//! |---|---|
//! | none, `scheduled` | a run is to come, unless the user's event is to stop it |
//! | `running`, `aborting` | nothing is certain: a run may take long, and its scheduler says nothing until it has ended |
//! | `stop`, `completed`, `removed` | no run is to come |

use crate::clock::time_text;
use crate::schedule::Schedule;
use crate::{Job, JobEvent, JobStatus, Timestamp};
use std::time::Duration;

/// From the moment a run was due to the one at which its silence is told. Schedulers let a run wait for an hour for another one to end;
/// the rest is for reports that do not arrive while this service or the way to it is down, and for clocks that are not right.
const GRACE: Duration = Duration::from_secs(6 * 3600);

/// The silence about a job that was to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheard {
    /// The scheduler's last word, or when it was last given something new to follow.
    pub since: Timestamp,
    /// When a run was due, at the latest.
    pub due_by: Timestamp,
}

impl Unheard {
    /// What will be certain of the job when nothing is heard of it from `since` on; `None` where nothing ever is.
    pub fn of(job: &Job, since: Timestamp) -> Option<Self> {
        let state = &job.state;
        let is_wanted = matches!(state.event, JobEvent::None | JobEvent::Start)
            && matches!(state.status, JobStatus::None | JobStatus::Scheduled);
        if !is_wanted {
            return None;
        }
        let schedule = Schedule::parse(&job.plan).ok()?;
        // Its one run may have been the one that was told.
        if schedule.is_one_shot() && state.time_started >= 0 {
            return None;
        }
        schedule.certainly_due(since).map(|due_by| Self { since, due_by })
    }

    /// When it is told.
    pub fn told_at(&self) -> Timestamp {
        self.due_by.plus(GRACE)
    }

    /// For people: what is known, and where to look.
    pub fn text(&self, job: &Job) -> String {
        let (since, due_by) = (time_text(self.since.secs()), time_text(self.due_by.secs()));
        format!(
            "not run as far as is known: nothing was heard of the job since {since}, and by its plan it was due by {due_by} at the \
             latest; see whether the scheduler of client {} is at work, takes the job and reaches this service",
            job.client_id
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schedule::moment;
    use crate::{ClientId, JobId, JobState, ProjectId, UserId};
    use serde_json::{Value, json};

    /// Thursday, noon.
    const SINCE: &str = "2026-01-01T12:00:00";

    fn job(plan: &Value) -> Job {
        let created_at = moment(SINCE).unwrap();
        Job {
            project_id: ProjectId::from("p"),
            job_id: JobId::from("j"),
            user_id: UserId::from("u"),
            client_id: ClientId::from("node1"),
            description: None,
            session_id: None,
            session_tag: 0,
            plan: plan.as_object().unwrap().clone(),
            state: JobState { status: JobStatus::Scheduled, ..JobState::fresh(created_at) },
            actions: Vec::new(),
            credentials: None,
            created_at,
            plan_version: 1,
            next_run_at: None,
        }
    }

    fn due_by(job: &Job) -> Option<String> {
        Unheard::of(job, moment(SINCE).unwrap()).map(|unheard| time_text(unheard.due_by.secs()))
    }

    #[test]
    fn certain_when() {
        for (plan, expected) in [
            // Two intervals, of which a restart may have used one.
            (json!({"schedule_interval": "1 days"}), Some("2026-01-03T12:00:00Z")),
            (json!({"schedule_interval": "30 seconds"}), Some("2026-01-01T12:01:00Z")),
            (json!({"schedule_interval": "continuous"}), Some("2026-01-01T12:00:02Z")),
            // A start that is past counts for nothing; one to come is twelve hours later in the west.
            (
                json!({"schedule_interval": "1 days", "schedule_start_date": "2025-12-01T00:00:00"}),
                Some("2026-01-03T12:00:00Z"),
            ),
            (
                json!({"schedule_interval": "1 days", "schedule_start_date": "2026-01-05T00:00:00"}),
                Some("2026-01-07T12:00:00Z"),
            ),
            // An end is fourteen hours earlier in the east.
            (
                json!({"schedule_interval": "1 days", "schedule_end_date": "2026-01-04T02:00:00"}),
                Some("2026-01-03T12:00:00Z"),
            ),
            (json!({"schedule_interval": "1 days", "schedule_end_date": "2026-01-04T01:59:59"}), None),
            // Where it is two o'clock on Friday already, three o'clock is still to come; certain is the day after.
            (json!({"schedule_hour": "3"}), Some("2026-01-03T15:00:00Z")),
            // One o'clock is past there: it may have been that run of which the last word was.
            (json!({"schedule_hour": "1"}), Some("2026-01-04T13:00:00Z")),
            (json!({"schedule_minute": "*/15"}), Some("2026-01-03T13:00:00Z")),
            (json!({"schedule_day": "last"}), Some("2026-02-28T12:00:00Z")),
            (json!({"schedule_day_of_week": "mon,tue"}), Some("2026-01-06T12:00:00Z")),
            (
                json!({"schedule_hour": "3", "schedule_start_date": "2026-01-10T00:00:00"}),
                Some("2026-01-11T15:00:00Z"),
            ),
            (
                json!({"schedule_hour": "3", "schedule_end_date": "2026-01-03T03:00:00"}),
                Some("2026-01-03T15:00:00Z"),
            ),
            (json!({"schedule_hour": "3", "schedule_end_date": "2026-01-03T02:59:59"}), None),
            (json!({"schedule_day": "30", "schedule_month": "2"}), None),
            (json!({"schedule_year": "2026", "schedule_day": "2", "schedule_month": "1"}), None),
            // One date, in the west; a past one was due at once.
            (json!({"schedule_date": "2026-01-10T03:00:00"}), Some("2026-01-10T15:00:00Z")),
            (json!({"schedule_date": "2025-12-01T03:00:00"}), Some("2026-01-01T12:00:00Z")),
            // No plan, or none that can be read.
            (json!({}), None),
            (json!({"schedule_start_date": "2026-01-10T00:00:00"}), None),
            (json!({"schedule_interval": "1 day"}), None),
        ] {
            assert_eq!(due_by(&job(&plan)).as_deref(), expected, "{plan}");
        }
    }

    #[test]
    fn only_of_jobs_that_are_to_run() {
        let (interval, date) =
            (json!({"schedule_interval": "1 days"}), json!({"schedule_date": "2026-01-10T03:00:00"}));
        let with = |plan: &Value, event, status, time_started| {
            let mut job = job(plan);
            job.state = JobState { event, status, time_started, ..job.state };
            due_by(&job).is_some()
        };
        for status in JobStatus::ALL.iter().copied() {
            let is_to_come = matches!(status, JobStatus::None | JobStatus::Scheduled);
            assert_eq!(with(&interval, JobEvent::None, status, 5), is_to_come, "{status:?}");
        }
        for event in JobEvent::ALL.iter().copied() {
            let is_left_running = matches!(event, JobEvent::None | JobEvent::Start);
            assert_eq!(with(&interval, event, JobStatus::None, -1), is_left_running, "{event:?}");
        }
        assert!(with(&date, JobEvent::None, JobStatus::Scheduled, -1));
        assert!(!with(&date, JobEvent::Start, JobStatus::None, 5), "its one run was told");
    }

    #[test]
    fn it_is_told_later_and_says_what_is_known() {
        let job = job(&json!({"schedule_interval": "1 hours"}));
        let unheard = Unheard::of(&job, moment(SINCE).unwrap()).unwrap();
        assert_eq!(unheard.told_at(), moment("2026-01-01T20:00:00").unwrap());
        let text = unheard.text(&job);
        for known in ["since 2026-01-01T12:00:00Z", "due by 2026-01-01T14:00:00Z", "client node1"] {
            assert!(text.contains(known), "{text}");
        }
    }
}
