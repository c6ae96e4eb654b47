//! POST /v2/{project_id}/backups/retention-plan

use super::recorded::{self, Place, Recorded};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::names::TEXT_MAX;
use crate::validate::object::bytes_of;
use crate::validate::{Object, Refusal};
use actix_web::HttpResponse;
use freezer_database::{BackupFilter, Cursor, Page, ShownBackup, Tx};
use freezer_model::clock::time_text;
use freezer_model::retention::Period;
use freezer_model::{Backup, Job, JobId, ProjectId, Retention};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const RULES: [&str; 8] = [
    "remove_older_than",
    "remove_from_date",
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
];

/// So much of records is held for one plan, as JSON: of tens of thousands.
const HELD_BYTES: usize = 32 << 20;
/// What a record takes beside its metadata.
const RECORD_BYTES: usize = 256;

/// Names that are looked for in one statement.
const NAMES_AT_A_TIME: usize = 500;

/// Which backups are meant, and the rules if they are not the job's own.
struct Question {
    job_id: Option<JobId>,
    storage: Option<String>,
    filter: BackupFilter,
    rules: Option<Retention>,
}

/// Shows what retention would remove, from the records: at once, without an agent, and without removing anything. The rules are
/// decided as agents decide them; they look at the storage itself and keep what they find damaged or being written.
pub async fn plan_retention(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("backups:plan_retention")?;
    let body = call.object().await?;
    let question = parse(&Object::new(&body, ""))?;
    let project = call.project.clone();
    let (job, question, backups) = call
        .read(move |tx| {
            let job = match &question.job_id {
                Some(id) => tx.jobs().get(&project, id)?,
                None => None,
            };
            let backups = asked_for(tx, &project, &question)?;
            Ok((job, question, backups))
        })
        .await?;
    if question.job_id.is_some() && job.is_none() {
        return Err(ApiError::absent());
    }
    let rules = match question.rules {
        Some(rules) => vec![rules],
        None => rules_of(job.as_ref())?,
    };
    Ok(HttpResponse::Ok().json(plan(backups, question.job_id.as_ref(), &rules, call.now.secs())))
}

/// The records that are meant, with no more of each than the plan looks at: documents may be large, and many.
fn asked_for(tx: &mut Tx, project: &ProjectId, question: &Question) -> Result<Vec<Backup>, ApiError> {
    let mut held = Held { backups: Vec::new(), bytes_left: HELD_BYTES };
    match names_of_job(tx, project, question)? {
        None => held.add(tx, project, &question.filter, question.storage.as_deref())?,
        Some(names) => {
            for names in names.chunks(NAMES_AT_A_TIME) {
                let filter = BackupFilter { backup_names: names.to_vec(), ..question.filter.clone() };
                held.add(tx, project, &filter, question.storage.as_deref())?;
            }
        }
    }
    Ok(held.backups)
}

struct Held {
    backups: Vec<Backup>,
    bytes_left: usize,
}

impl Held {
    fn add(
        &mut self,
        tx: &mut Tx,
        project: &ProjectId,
        filter: &BackupFilter,
        storage: Option<&str>,
    ) -> Result<(), ApiError> {
        let mut cursor = Cursor::of(Page::ALL);
        while !cursor.is_over() {
            tx.backups().advance(project, filter, None, &mut cursor, &mut |record| {
                let Some(backup) = looked_at(record, storage) else { return Ok(()) };
                let left = self.bytes_left.checked_sub(RECORD_BYTES + bytes_of(&backup.metadata));
                self.bytes_left = left.ok_or_else(too_many)?;
                self.backups.push(backup);
                Ok::<(), ApiError>(())
            })?;
        }
        Ok(())
    }
}

fn too_many() -> ApiError {
    ApiError::bad_request(
        "There are more records than one plan looks at: name a job, a 'container', a 'hostname' or a 'backup_name'",
    )
}

/// The names under which the job has backups, when the question is about a job: whoever else has added to its chains has used them, too.
/// `None` when names say nothing.
fn names_of_job(
    tx: &mut Tx,
    project: &ProjectId,
    question: &Question,
) -> Result<Option<Vec<String>>, ApiError> {
    let (Some(job), None) = (&question.job_id, &question.filter.backup_name) else { return Ok(None) };
    let filter = BackupFilter { job_id: Some(job.clone()), ..question.filter.clone() };
    let mut names = BTreeSet::new();
    let mut cursor = Cursor::of(Page::ALL);
    while !cursor.is_over() {
        tx.backups().advance(project, &filter, None, &mut cursor, &mut |record| {
            // One that cannot be read is left out of the plan, which says so in the log.
            if let Ok(metadata) = record.metadata.to_map() {
                let name = metadata.get("backup_name").and_then(Value::as_str).unwrap_or_default();
                names.insert(name.to_owned());
            }
            Ok::<(), ApiError>(())
        })?;
    }
    Ok((!names.contains("")).then(|| names.into_iter().collect()))
}

/// What the plan looks at of a record, if that is on the storage.
fn looked_at(record: ShownBackup, storage: Option<&str>) -> Option<Backup> {
    let Backup { project_id, backup_id, user_id, job_id, status, status_is_explicit, metadata, created_at } =
        record;
    let read = metadata.to_map();
    let read = read.inspect_err(|error| tracing::warn!("backup {backup_id} is left out of a plan: {error}"));
    let mut metadata = read.ok()?;
    let said = metadata.get("storage").and_then(Value::as_str);
    if storage.is_some_and(|storage| said != Some(storage)) {
        return None;
    }
    metadata.retain(|key, _| recorded::LOOKED_AT.contains(&key.as_str()));
    Some(Backup { project_id, backup_id, user_id, job_id, status, status_is_explicit, metadata, created_at })
}

fn parse(body: &Object<'_>) -> Result<Question, Refusal> {
    let known: Vec<&str> =
        ["job_id", "hostname", "backup_name", "container", "storage"].into_iter().chain(RULES).collect();
    body.only(&known)?;
    let text = |key| Ok(body.text_or_null(key, TEXT_MAX)?.flatten().map(str::to_owned));
    let filter = BackupFilter {
        hostname: text("hostname")?,
        backup_name: text("backup_name")?,
        container: text("container")?,
        ..BackupFilter::default()
    };
    let rules = Retention::of_options(body.map()).map_err(Refusal)?;
    let job_id = text("job_id")?.map(JobId::new);
    if rules.is_none() && job_id.is_none() {
        let text = format!("no rule is given: name one of {}, or a job that has some", RULES.join(", "));
        return Err(Refusal(text));
    }
    Ok(Question { job_id, storage: text("storage")?, filter, rules })
}

/// Those of the job's actions that remove old backups, in their order.
fn rules_of(job: Option<&Job>) -> Result<Vec<Retention>, ApiError> {
    let mut all = Vec::new();
    for action in job.into_iter().flat_map(|job| &job.actions) {
        let options: &Map<String, Value> = &action.freezer_action;
        if options.get("action").and_then(Value::as_str) == Some("admin") {
            let rules = Retention::of_options(options).map_err(|text| {
                ApiError::bad_request(format!("action {} of the job: {text}", action.action_id))
            })?;
            all.extend(rules);
        }
    }
    if all.is_empty() {
        let text = format!("the job has no action admin with one of {}: name the rules", RULES.join(", "));
        return Err(ApiError::bad_request(text));
    }
    Ok(all)
}

fn plan(backups: Vec<Backup>, job: Option<&JobId>, rules: &[Retention], now_secs: i64) -> Value {
    let (mut places, mut cinder): (BTreeMap<Place, Vec<Backup>>, usize) = (BTreeMap::new(), 0);
    for backup in backups {
        match Place::of(&backup) {
            Some(place) => places.entry(place).or_default().push(backup),
            None => cinder += usize::from(job.is_none() || backup.job_id.as_ref() == job),
        }
    }
    // A job's rules are about whole chains, whoever has added to them.
    let is_meant =
        |backups: &[Backup]| job.is_none() || backups.iter().any(|backup| backup.job_id.as_ref() == job);
    let mut told = Vec::new();
    for (place, backups) in places.into_iter().filter(|(_, backups)| is_meant(backups)) {
        let mut recorded = Recorded::new(place, backups);
        rules.iter().for_each(|rules| recorded.apply(rules, now_secs));
        told.extend(rules.last().map(|last| recorded.told(last, now_secs)));
    }
    let mut notes = Vec::new();
    if cinder > 0 {
        notes.push(format!(
            "{cinder} backups of mode cindernative are not in this plan: Cinder knows what hangs on them; run the job's \
             action admin with dry_run"
        ));
    }
    json!({"rules": rules.iter().map(shown).collect::<Vec<Value>>(), "backups": told, "notes": notes})
}

fn shown(rules: &Retention) -> Value {
    let mut map = Map::new();
    if let Some(days) = rules.remove_older_than_days {
        map.insert("remove_older_than".to_owned(), json!(days));
    }
    if let Some(secs) = rules.remove_from_secs {
        map.insert("remove_from_date".to_owned(), json!(time_text(secs)));
    }
    if let Some(count) = rules.keep_last {
        map.insert("keep_last".to_owned(), json!(count));
    }
    for (count, period) in rules.keep_each.iter().zip(Period::ALL) {
        if let Some(count) = count {
            map.insert(period.option().to_owned(), json!(count));
        }
    }
    Value::Object(map)
}
