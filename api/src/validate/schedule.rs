//! `job_schedule`: the plan (what a user wants) and the state (what became of it), told apart.

use super::names::{self, TEXT_MAX};
use super::object::{Object, Refusal};
use freezer_model::schedule::{PLAN_KEYS, plain_moment};
use freezer_model::{JobEvent, JobResult, JobState, JobStatus};
use serde_json::{Map, Value};

const DATE_KEYS: [&str; 3] = ["schedule_date", "schedule_start_date", "schedule_end_date"];
const STATE_KEYS: [&str; 7] =
    ["time_created", "time_started", "time_ended", "event", "status", "result", "current_pid"];

/// State keys that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePatch {
    pub event: Option<JobEvent>,
    pub status: Option<JobStatus>,
    pub result: Option<JobResult>,
    pub time_created: Option<i64>,
    pub time_started: Option<i64>,
    pub time_ended: Option<i64>,
    pub current_pid: Option<i64>,
}

impl StatePatch {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Overwrites what was sent, keeps the rest.
    pub fn apply_to(&self, state: &mut JobState) {
        state.event = self.event.unwrap_or(state.event);
        state.status = self.status.unwrap_or(state.status);
        state.result = self.result.unwrap_or(state.result);
        state.time_created = self.time_created.unwrap_or(state.time_created);
        state.time_started = self.time_started.unwrap_or(state.time_started);
        state.time_ended = self.time_ended.unwrap_or(state.time_ended);
        state.current_pid = self.current_pid.or(state.current_pid);
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleBody {
    pub plan: Map<String, Value>,
    pub state: StatePatch,
}

impl ScheduleBody {
    /// Whether a PATCH with this schedule replaces the plan: when it holds any part of one, or nothing at all.
    pub fn replaces_plan(&self) -> bool {
        !self.plan.is_empty() || self.state.is_empty()
    }
}

pub fn parse(schedule: &Object<'_>) -> Result<ScheduleBody, Refusal> {
    let known: Vec<&str> = PLAN_KEYS.into_iter().chain(STATE_KEYS).collect();
    schedule.only(&known)?;
    Ok(ScheduleBody { plan: plan(schedule)?, state: state(schedule)? })
}

fn plan(schedule: &Object<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut plan = Map::new();
    // In the order sent: reads give the plan back as it came, in the spelling that every scheduler reads.
    for key in schedule.map().keys().filter(|key| key.starts_with("schedule_")) {
        let Some(text) = schedule.text(key, TEXT_MAX)? else { continue };
        let kept = if DATE_KEYS.contains(&key.as_str()) {
            names::is_date(text)
                .then(|| readable_date(key, text))
                .ok_or("is not a date of the form YYYY-MM-DDThh:mm:ss")
        } else if key == "schedule_interval" {
            names::interval(text).ok_or(
                "is neither 'continuous' nor a number and one of 'weeks', 'days', 'hours', 'minutes', 'seconds'",
            )
        } else if key == "schedule_year" {
            let is_year = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
            is_year.then(|| text.to_owned()).ok_or("is not a year of four digits")
        } else {
            debug_assert!(PLAN_KEYS.contains(&key.as_str()), "unknown keys were refused before");
            Ok(text.to_owned())
        };
        plan.insert(key.clone(), Value::String(kept.map_err(|why| schedule.refuse(key, why))?));
    }
    Ok(plan)
}

/// The same second as schedulers in Python read it. Older ones know neither fractions nor zones in a start and an end, which
/// are UTC without one. The date of a single run they give to a library that knows zones, and takes one without for the host's
/// local time: who sent a zone gets `Z`. What no calendar has is kept as it is.
fn readable_date(key: &str, text: &str) -> String {
    let Some(plain) = plain_moment(text) else { return text.to_owned() };
    let has_zone = text.split_once('T').is_some_and(|(_, time)| time.contains(['Z', '+', '-']));
    if key == "schedule_date" && has_zone { format!("{plain}Z") } else { plain }
}

fn state(schedule: &Object<'_>) -> Result<StatePatch, Refusal> {
    let event_words = ["", "stop", "start", "abort", "remove"];
    let status_words = ["", "completed", "stop", "scheduled", "running", "aborting", "removed"];
    let result_words = ["", "success", "fail", "aborted"];
    let time = |key| schedule.whole_not_null(key, i64::MIN, i64::MAX);
    Ok(StatePatch {
        event: schedule.word("event", &event_words)?.and_then(JobEvent::parse),
        status: schedule.word("status", &status_words)?.and_then(JobStatus::parse),
        result: schedule.word("result", &result_words)?.and_then(JobResult::parse),
        time_created: time("time_created")?,
        time_started: time("time_started")?,
        time_ended: time("time_ended")?,
        current_pid: time("current_pid")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<ScheduleBody, String> {
        let object = Object::in_value(&value, "job_schedule").map_err(|refusal| refusal.0)?;
        parse(&object).map_err(|refusal| refusal.0)
    }

    #[test]
    fn plan_and_state_are_told_apart() {
        let body = read(json!({
            "schedule_interval": "1   days", "schedule_start_date": "2026-01-02T03:00:00", "event": "", "status": "running",
            "time_started": 5, "current_pid": 7,
        }))
        .unwrap();
        assert_eq!(
            Value::Object(body.plan.clone()),
            json!({"schedule_interval": "1 days", "schedule_start_date": "2026-01-02T03:00:00"})
        );
        assert_eq!(body.state.event, Some(JobEvent::None));
        assert_eq!(body.state.status, Some(JobStatus::Running));
        assert!(body.replaces_plan());
        assert!(!read(json!({"status": "running"})).unwrap().replaces_plan());
        assert!(read(json!({})).unwrap().replaces_plan());
    }

    #[test]
    fn dates_are_kept_as_every_scheduler_reads_them() {
        for (key, sent, kept) in [
            ("schedule_start_date", "2026-01-02T03:00:00", "2026-01-02T03:00:00"),
            ("schedule_start_date", "2026-01-02T03:00:00.5+02:00", "2026-01-02T01:00:00"),
            ("schedule_end_date", "2026-01-02T03:00:00Z", "2026-01-02T03:00:00"),
            ("schedule_date", "2026-01-02T03:00:00", "2026-01-02T03:00:00"),
            ("schedule_date", "2026-01-02T03:00:00.5", "2026-01-02T03:00:00"),
            ("schedule_date", "2026-01-02T03:00:00.5-02:00", "2026-01-02T05:00:00Z"),
            ("schedule_date", "2026-01-02T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("schedule_end_date", "2026-02-31T03:00:00Z", "2026-02-31T03:00:00Z"),
        ] {
            let plan = read(json!({ key: sent })).unwrap().plan;
            assert_eq!(plan.get(key), Some(&json!(kept)), "{sent}");
        }
    }

    #[test]
    fn refusals_name_the_field() {
        for (schedule, text) in [
            (
                json!({"foo": 1}),
                "Additional properties are not allowed ('foo' was unexpected) in 'job_schedule'",
            ),
            (json!({"event": "jump"}), "'job_schedule.event': 'jump' is not one of"),
            (json!({"event": null}), "'job_schedule.event': null is not of type 'string'"),
            (json!({"schedule_date": ""}), "'job_schedule.schedule_date': is not a date"),
            (json!({"schedule_date": null}), "'job_schedule.schedule_date': null is not of type 'string'"),
            (json!({"schedule_interval": "5 min"}), "'job_schedule.schedule_interval': is neither"),
            (json!({"schedule_year": "26"}), "'job_schedule.schedule_year': is not a year"),
            (json!({"schedule_hour": 3}), "'job_schedule.schedule_hour': a number is not of type 'string'"),
            (json!({"time_started": "1"}), "'job_schedule.time_started': a string is not of type 'integer'"),
            (
                json!({"time_started": true}),
                "'job_schedule.time_started': a boolean is not of type 'integer'",
            ),
            (json!({"time_started": 1.5}), "'job_schedule.time_started': 1.5 is not of type 'integer'"),
            (
                json!({"time_started": u64::MAX}),
                "'job_schedule.time_started': 18446744073709551615 is out of range",
            ),
            (json!([]), "'job_schedule': an array is not of type 'object'"),
        ] {
            let refused = read(schedule.clone()).unwrap_err();
            assert!(refused.starts_with(text), "{schedule}: {refused}");
        }
    }
}
