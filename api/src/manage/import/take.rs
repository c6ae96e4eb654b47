//! Table by table, in the order in which rows refer to each other.

use super::convert;
use super::report::{Fate, Report, Table};
use freezer_database::upstream::{
    DisputedTrusts, Upstream, UpstreamAction, UpstreamBackup, UpstreamClient, UpstreamCredentials,
    UpstreamJob, UpstreamJobAction, UpstreamRow, UpstreamSession,
};
use freezer_database::{DbError, Tx};
use freezer_model::{ActionId, Client, Job, JobId, ProjectId, Session, TrustCredentials, UserId};
use std::collections::HashMap;

pub(super) fn everything(upstream: &mut Upstream, tx: &mut Tx) -> Result<Report, DbError> {
    let mut report = Report::default();
    report.tables.push(clients(upstream, tx)?);
    report.tables.push(actions(upstream, tx)?);
    report.tables.extend(jobs(upstream, tx)?);
    report.tables.push(sessions(upstream, tx)?);
    report.tables.push(backups(upstream, tx)?);
    Ok(report)
}

fn table<R: UpstreamRow>(upstream: &mut Upstream) -> Result<Table, DbError> {
    Ok(Table::new(R::TABLE, upstream.count_deleted::<R>()?))
}

/// What a refused statement means for its row; whatever concerns more than the row ends the import.
fn fate(outcome: Result<(), DbError>) -> Result<Fate, DbError> {
    match outcome {
        Ok(()) => Ok(Fate::Taken),
        Err(DbError::Conflict { .. }) => Ok(Fate::AlreadyThere),
        Err(error @ (DbError::TooLong { .. } | DbError::OutOfRange { .. })) => {
            Ok(Fate::LeftOut(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Takes a row over once: what was taken before and is not there any more was deleted here since, and stays deleted.
fn once(
    tx: &mut Tx,
    (noun, project, id): (&'static str, &ProjectId, &str),
    insert: impl FnOnce(&mut Tx) -> Result<Fate, DbError>,
) -> Result<Fate, DbError> {
    if tx.imported().contains(noun, project, id)? {
        return Ok(Fate::TakenBefore);
    }
    let fate = insert(tx)?;
    if matches!(fate, Fate::Taken | Fate::AlreadyThere) {
        tx.imported().note(noun, project, id)?;
    }
    Ok(fate)
}

fn clients(upstream: &mut Upstream, tx: &mut Tx) -> Result<Table, DbError> {
    let mut table = table::<UpstreamClient>(upstream)?;
    upstream.each_page(|_, rows: Vec<UpstreamClient>| {
        for row in rows {
            let id = row.id.clone();
            let fate = match convert::client(row) {
                Ok(client) => {
                    let key = ("client", &client.project_id, client.uuid.as_str());
                    once(tx, key, |tx| client_fate(tx, &client))?
                }
                Err(why) => Fate::LeftOut(why),
            };
            table.note(&id, fate);
        }
        Ok::<_, DbError>(())
    })?;
    Ok(table)
}

/// A project has one client of a name here; upstream let a central one register again under another host name.
fn client_fate(tx: &mut Tx, client: &Client) -> Result<Fate, DbError> {
    let named = tx.clients().of_any_project(&client.client_id)?;
    if let Some(known) = named.iter().find(|known| known.project_id == client.project_id) {
        return Ok(match known.uuid == client.uuid {
            true => Fate::AlreadyThere,
            false => Fate::LeftOut(format!(
                "client {} of this project is there already, with the uuid {}",
                client.client_id, known.uuid
            )),
        });
    }
    Ok(match fate(tx.clients().insert(client))? {
        Fate::AlreadyThere => Fate::LeftOut("another client of this project has the same uuid".to_owned()),
        other => other,
    })
}

fn actions(upstream: &mut Upstream, tx: &mut Tx) -> Result<Table, DbError> {
    let mut table = table::<UpstreamAction>(upstream)?;
    upstream.each_page(|_, rows: Vec<UpstreamAction>| {
        for row in rows {
            let id = row.id.clone();
            let fate = match convert::action(row) {
                Ok(action) => {
                    let key = ("action", &action.project_id, action.action_id.as_str());
                    once(tx, key, |tx| fate(tx.actions().insert(&action)))?
                }
                Err(why) => Fate::LeftOut(why),
            };
            table.note(&id, fate);
        }
        Ok::<_, DbError>(())
    })?;
    Ok(table)
}

/// Jobs with their lists of actions and their trusts.
fn jobs(upstream: &mut Upstream, tx: &mut Tx) -> Result<[Table; 3], DbError> {
    let mut jobs = table::<UpstreamJob>(upstream)?;
    let mut links = table::<UpstreamJobAction>(upstream)?;
    let mut trusts = table::<UpstreamCredentials>(upstream)?;
    let disputed = upstream.disputed_trusts()?;
    upstream.each_page(|upstream, rows: Vec<UpstreamJob>| {
        let mut linked: HashMap<String, Vec<UpstreamJobAction>> = HashMap::new();
        for link in upstream.of_jobs::<UpstreamJobAction>(&rows)? {
            linked.entry(link.job_id.clone()).or_default().push(link);
        }
        let mut trusted: HashMap<String, Vec<UpstreamCredentials>> = HashMap::new();
        for trust in upstream.of_jobs::<UpstreamCredentials>(&rows)? {
            trusted.entry(trust.job_id.clone()).or_default().push(trust);
        }
        for row in rows {
            let links_of = linked.remove(&row.id).unwrap_or_default();
            let trusts_of = trusted.remove(&row.id).unwrap_or_default();
            let trusts_of = undisputed(trusts_of, &disputed, &mut trusts);
            let fate = take_job(tx, &row, (links_of, &mut links), (trusts_of, &mut trusts))?;
            jobs.note(&row.id, fate);
        }
        Ok::<_, DbError>(())
    })?;
    Ok([jobs, links, trusts])
}

/// Freezer in Python stored whatever trust a tenant named: the database cannot tell whose it is when two projects name one.
fn undisputed(
    stored: Vec<UpstreamCredentials>,
    disputed: &DisputedTrusts,
    table: &mut Table,
) -> Vec<UpstreamCredentials> {
    let (refused, kept): (Vec<_>, Vec<_>) =
        stored.into_iter().partition(|row| disputed.contains(&row.trust_id));
    for row in refused {
        let why = format!(
            "jobs of several projects name the trust of job {}: have its owner make the job anew",
            row.job_id
        );
        table.note(&row.id, Fate::LeftOut(why));
    }
    kept
}

fn take_job(
    tx: &mut Tx,
    row: &UpstreamJob,
    (mut links, link_table): (Vec<UpstreamJobAction>, &mut Table),
    (trusts, trust_table): (Vec<UpstreamCredentials>, &mut Table),
) -> Result<Fate, DbError> {
    let converted = convert::job(row);
    let is_there = match &converted {
        Ok(job) => {
            tx.jobs().get(&job.project_id, &job.job_id)?.is_some()
                || tx.imported().contains("job", &job.project_id, job.job_id.as_str())?
        }
        Err(_) => false,
    };
    let mut job = match converted {
        Ok(job) if !is_there => job,
        other => {
            // What belongs to the job shares its fate.
            let share = |id: &str, table: &mut Table| match is_there {
                true => table.note(id, Fate::AlreadyThere),
                false => table.note(id, Fate::Void(format!("job {} is left out", row.id))),
            };
            links.iter().for_each(|link| share(&link.id, link_table));
            trusts.iter().for_each(|trust| share(&trust.id, trust_table));
            let Ok(job) = other else { return Ok(other.err().map_or(Fate::AlreadyThere, Fate::LeftOut)) };
            let key = ("job", &job.project_id, job.job_id.as_str());
            return once(tx, key, |_| Ok(Fate::AlreadyThere));
        }
    };
    links.sort_by(|one, other| (one.position, &one.id).cmp(&(other.position, &other.id)));
    attach_actions(tx, &mut job, &links, link_table)?;
    attach_trust(tx, &mut job, trusts, trust_table)?;
    let key = ("job", &job.project_id, job.job_id.as_str());
    once(tx, key, |tx| fate(tx.jobs().insert(&job)))
}

fn attach_actions(
    tx: &mut Tx,
    job: &mut Job,
    links: &[UpstreamJobAction],
    table: &mut Table,
) -> Result<(), DbError> {
    let wanted: Vec<ActionId> = links.iter().map(|link| ActionId::from(link.action_id.as_str())).collect();
    let known = tx.actions().find_many(&job.project_id, &wanted)?;
    for (link, id) in links.iter().zip(&wanted) {
        match known.iter().find(|action| action.action_id == *id) {
            Some(action) => {
                job.actions.push(action.clone());
                table.note(&link.id, Fate::Taken);
            }
            None => {
                let why = format!("job {}: action {id} is not there, or not of its project", job.job_id);
                table.note(&link.id, Fate::Void(why));
            }
        }
    }
    Ok(())
}

/// A job acts under one trust: the newest that is stored.
fn attach_trust(
    tx: &mut Tx,
    job: &mut Job,
    mut stored: Vec<UpstreamCredentials>,
    table: &mut Table,
) -> Result<(), DbError> {
    stored.sort_by(|one, other| (other.created_at_ms, &other.id).cmp(&(one.created_at_ms, &one.id)));
    for row in stored {
        let trust =
            TrustCredentials { trust_id: row.trust_id, trustor_user_id: UserId::from(row.trustor_user_id) };
        let fate = if job.credentials.is_some() {
            Fate::Void(format!("job {} has newer ones", job.job_id))
        } else if tx.trusts().claim(&job.project_id, &trust)? {
            job.credentials = Some(trust);
            Fate::Taken
        } else {
            Fate::LeftOut(format!(
                "the trust of job {} has been ended since, or is another project's",
                job.job_id
            ))
        };
        table.note(&row.id, fate);
    }
    Ok(())
}

fn sessions(upstream: &mut Upstream, tx: &mut Tx) -> Result<Table, DbError> {
    let mut table = table::<UpstreamSession>(upstream)?;
    upstream.each_page(|_, rows: Vec<UpstreamSession>| {
        for row in rows {
            let id = row.id.clone();
            let fate = match convert::session(row) {
                Ok(mut session) => {
                    let gone = keep_members_with_jobs(tx, &mut session)?;
                    let key = ("session", &session.project_id, session.session_id.as_str());
                    let fate = once(tx, key, |tx| fate(tx.sessions().insert(&session)))?;
                    if matches!(fate, Fate::Taken) {
                        gone.iter().for_each(|job| table.remark(&id, &format!("its job {job} is not there")));
                    }
                    fate
                }
                Err(why) => Fate::LeftOut(why),
            };
            table.note(&id, fate);
        }
        Ok::<_, DbError>(())
    })?;
    Ok(table)
}

/// A round would wait for ever for a job that was deleted. Answers the ids of those.
fn keep_members_with_jobs(tx: &mut Tx, session: &mut Session) -> Result<Vec<JobId>, DbError> {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for mut member in std::mem::take(&mut session.members) {
        match tx.jobs().get(&session.project_id, &member.job_id)? {
            Some(job) => {
                if job.session_id.as_deref() == Some(session.session_id.as_str()) {
                    member.session_tag = job.session_tag;
                }
                kept.push(member);
            }
            None => gone.push(member.job_id),
        }
    }
    session.members = kept;
    Ok(gone)
}

fn backups(upstream: &mut Upstream, tx: &mut Tx) -> Result<Table, DbError> {
    let mut table = table::<UpstreamBackup>(upstream)?;
    upstream.each_page(|_, rows: Vec<UpstreamBackup>| {
        for row in rows {
            let id = row.id.clone();
            let fate = match convert::backup(row) {
                Ok(backup) => {
                    let key = ("backup", &backup.project_id, backup.backup_id.as_str());
                    once(tx, key, |tx| fate(tx.backups().insert(&backup)))?
                }
                Err(why) => Fate::LeftOut(why),
            };
            table.note(&id, fate);
        }
        Ok::<_, DbError>(())
    })?;
    Ok(table)
}
