//! Sessions: open at the top level, closed in `schedule`, typed in what clients compute with.

use super::names::{self, CLIENT_ID_MAX, ID_MAX, MEMBERS_MAX, TEXT_MAX};
use super::object::{Object, Refusal};
use super::schedule;
use freezer_model::JobId;
use serde_json::{Map, Value};

/// A session's body; `None` where the key is absent. Keys beyond these are accepted and not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionBody {
    pub description: Option<Option<String>>,
    pub hold_off: Option<i64>,
    pub session_tag: Option<i64>,
    pub status: Option<String>,
    pub result: Option<Option<String>>,
    pub time_start: Option<i64>,
    pub time_end: Option<i64>,
    pub schedule: Option<Map<String, Value>>,
    pub jobs: Option<Vec<MemberBody>>,
}

/// What is said about one member.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberBody {
    pub job_id: JobId,
    pub client_id: Option<String>,
    pub status: Option<String>,
    pub result: Option<String>,
    pub time_started: Option<i64>,
    pub time_ended: Option<i64>,
}

/// Reads a session for POST on the collection: it must have a schedule. Its members come later, and its state is the
/// server's; clients send both in several shapes.
pub fn parse_new(body: &Object<'_>) -> Result<SessionBody, Refusal> {
    let parsed = fields(body)?;
    if parsed.schedule.is_none() {
        return Err(body.missing("schedule"));
    }
    Ok(SessionBody { status: None, ..parsed })
}

/// Reads a session for POST on an item.
pub fn parse_whole(body: &Object<'_>) -> Result<SessionBody, Refusal> {
    let parsed = fields(body)?;
    if parsed.schedule.is_none() {
        return Err(body.missing("schedule"));
    }
    if body.whole_not_null("session_tag", i64::MIN, i64::MAX)?.is_none() {
        return Err(body.missing("session_tag"));
    }
    let status = text(body, "status", TEXT_MAX)?;
    Ok(SessionBody { status, jobs: jobs(body)?, ..parsed })
}

/// Reads a session for PATCH: nothing is required.
pub fn parse(body: &Object<'_>) -> Result<SessionBody, Refusal> {
    Ok(SessionBody { status: text(body, "status", TEXT_MAX)?, jobs: jobs(body)?, ..fields(body)? })
}

fn fields(body: &Object<'_>) -> Result<SessionBody, Refusal> {
    let any = |key| body.whole(key, i64::MIN, i64::MAX);
    // Shown, but always those of the round: only their type is looked at.
    body.whole_not_null("time_started", i64::MIN, i64::MAX)?;
    body.whole_not_null("time_ended", i64::MIN, i64::MAX)?;
    Ok(SessionBody {
        description: body.text_or_null("description", TEXT_MAX)?.map(|text| text.map(str::to_owned)),
        hold_off: body.whole("hold_off", 0, i64::MAX)?,
        session_tag: any("session_tag")?,
        status: None,
        result: body.text_or_null("result", TEXT_MAX)?.map(|text| text.map(str::to_owned)),
        time_start: any("time_start")?,
        time_end: any("time_end")?,
        schedule: session_schedule(body)?,
        jobs: None,
    })
}

/// Kept as sent, its plan in the spelling that schedulers read.
fn session_schedule(body: &Object<'_>) -> Result<Option<Map<String, Value>>, Refusal> {
    let Some(value) = body.map().get("schedule") else { return Ok(None) };
    let place = body.place("schedule");
    let fields = Object::in_value(value, &place)?;
    let mut kept = fields.map().clone();
    kept.extend(schedule::parse(&fields)?.plan);
    Ok(Some(kept))
}

/// An object keyed by job. A list is what some clients send for "none yet".
fn jobs(body: &Object<'_>) -> Result<Option<Vec<MemberBody>>, Refusal> {
    let map = match body.map().get("jobs") {
        None | Some(Value::Null | Value::Array(_)) => return Ok(None),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(body.wrong_type("jobs", other, "object")),
    };
    if map.len() > MEMBERS_MAX {
        return Err(body.refuse("jobs", format!("at most {MEMBERS_MAX} jobs are possible in one session")));
    }
    map.iter().map(|(id, entry)| member(id, entry)).collect::<Result<Vec<_>, _>>().map(Some)
}

fn member(id: &str, entry: &Value) -> Result<MemberBody, Refusal> {
    if !names::is_id(id) || id.chars().count() > ID_MAX {
        let shown: String = id.chars().take(64).collect();
        return Err(Refusal(format!(
            "'jobs': '{shown}' is not the id of a job: letters, digits, '_' and '-', at most {ID_MAX}"
        )));
    }
    let place = format!("jobs.{id}");
    let entry = Object::in_value(entry, &place)?;
    let time = |key| entry.whole(key, i64::MIN, i64::MAX);
    Ok(MemberBody {
        job_id: JobId::new(id),
        client_id: text(&entry, "client_id", CLIENT_ID_MAX)?,
        status: text(&entry, "status", TEXT_MAX)?,
        result: text(&entry, "result", TEXT_MAX)?,
        time_started: time("time_started")?,
        time_ended: time("time_ended")?,
    })
}

/// A text; absent and `null` both give `None`.
fn text(body: &Object<'_>, key: &str, max: usize) -> Result<Option<String>, Refusal> {
    Ok(body.text_or_null(key, max)?.flatten().map(str::to_owned))
}

/// A member's wish: what POST on `action` says.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionAction {
    Start { job_id: JobId, current_tag: i64 },
    End { job_id: JobId, result: String },
}

/// Reads an action: the first key names it.
pub fn parse_action(body: &Object<'_>) -> Result<SessionAction, Refusal> {
    let Some((name, value)) = body.map().iter().next() else {
        return Err(Refusal("Bad action request format: one of 'start' and 'end' is needed".to_owned()));
    };
    if name != "start" && name != "end" {
        return Err(Refusal("Bad Action Method".to_owned()));
    }
    let fields = Object::in_value(value, name)?;
    let job_id = JobId::new(fields.filled("job_id", ID_MAX)?);
    if name == "start" {
        return Ok(SessionAction::Start { job_id, current_tag: current_tag(&fields)? });
    }
    let result = fields.text("result", TEXT_MAX)?.ok_or_else(|| fields.missing("result"))?.to_owned();
    Ok(SessionAction::End { job_id, result })
}

/// A whole number; command line clients send it as text.
fn current_tag(fields: &Object<'_>) -> Result<i64, Refusal> {
    if let Some(Value::String(text)) = fields.map().get("current_tag") {
        return text.trim().parse().map_err(|_| fields.refuse("current_tag", "is not a whole number"));
    }
    let tag = fields.whole_not_null("current_tag", i64::MIN, i64::MAX)?;
    tag.ok_or_else(|| fields.missing("current_tag"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn action(body: Value) -> Result<SessionAction, String> {
        let object = Object::in_value(&body, "").map_err(|refusal| refusal.0)?;
        parse_action(&object).map_err(|refusal| refusal.0)
    }

    #[test]
    fn actions() {
        let start = |current_tag| Ok(SessionAction::Start { job_id: JobId::from("j"), current_tag });
        for (tag, expected) in [(json!(3), 3), (json!("3"), 3), (json!(" -1 "), -1)] {
            assert_eq!(action(json!({"start": {"job_id": "j", "current_tag": tag}})), start(expected));
        }
        let end = SessionAction::End { job_id: JobId::from("j"), result: "fail".into() };
        assert_eq!(action(json!({"end": {"job_id": "j", "current_tag": [], "result": "fail"}})), Ok(end));
        for (body, text) in [
            (json!({}), "Bad action request format"),
            (json!({"stop": {}}), "Bad Action Method"),
            (json!({"start": null}), "'start': null is not of type 'object'"),
            (json!({"start": {}}), "'start.job_id' is a required property"),
            (json!({"start": {"job_id": ""}}), "'start.job_id': must not be empty"),
            (json!({"start": {"job_id": "j"}}), "'start.current_tag' is a required property"),
            (json!({"start": {"job_id": "j", "current_tag": "x"}}), "'start.current_tag': is not a whole"),
            (json!({"start": {"job_id": "j", "current_tag": null}}), "'start.current_tag': null"),
            (json!({"start": {"job_id": "j", "current_tag": 1.5}}), "'start.current_tag': 1.5"),
            (json!({"end": {"job_id": "j"}}), "'end.result' is a required property"),
            (json!({"end": {"job_id": "j", "result": 1}}), "'end.result': a number is not"),
        ] {
            let refused = action(body.clone()).unwrap_err();
            assert!(refused.starts_with(text), "{body}: {refused}");
        }
    }

    #[test]
    fn schedules_are_kept_as_sent() {
        let body = json!({"schedule": {"status": "", "schedule_interval": "1   days", "time_created": 5}});
        let parsed = parse(&Object::in_value(&body, "").unwrap()).unwrap();
        let expected = json!({"status": "", "schedule_interval": "1 days", "time_created": 5});
        assert_eq!(Value::Object(parsed.schedule.unwrap()), expected);
        let foreign = json!({"schedule": {"foo": 1}});
        let refused = parse(&Object::in_value(&foreign, "").unwrap()).unwrap_err();
        assert!(refused.0.contains("('foo' was unexpected) in 'schedule'"), "{refused}");
    }
}
