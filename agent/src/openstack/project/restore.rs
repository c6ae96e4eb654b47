//! Restoring a project, or a part of one: read the set, look at what is there, plan, look at the quotas, and only then make
//! anything.

use super::discover::foreign;
use super::execute::{Execution, Outcome, Row};
use super::members::Work;
use super::options::ProjectOptions;
use super::plan::{Plan, Refusal, Selection, plan};
use super::quotas::{self, Quota};
use super::target::look;
use super::topology::{ResourceId, TOPOLOGY_VERSION, Topology};
use crate::actions::{ActionError, Done};
use crate::openstack::volume::open_cloud;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::Monitor;
use freezer_vault::set::{self, SetContent, SetReadRequest};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was found out before anything is made.
struct Prepared {
    content: SetContent,
    topology: Topology,
    plan: Plan,
    quotas: Vec<Quota>,
    notes: Vec<String>,
    project: String,
    /// What was asked for by name.
    chosen: BTreeSet<ResourceId>,
}

pub async fn restore(
    options: &ActionOptions,
    wanted: &ProjectOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let (content, mut topology, damaged) = read(options, &store).await?;
    let login = login(options, wanted, around)?;
    let cloud = open_cloud(&login, around, &monitor).await?;
    foreign::look_again(&cloud, &mut topology).await?;
    let selection = selection(&topology, wanted)?;
    let from = (options.cloud.temp_prefix.as_str(), wanted);
    let (mut target, there) = look(&cloud, &topology, from, content.timestamp).await?;
    target.damaged = damaged;
    let suffix = format!("~{}", content.timestamp);
    let plan = plan(&topology, &selection, &target, &suffix).map_err(ActionError::Failed)?;
    let (quotas, notes) = quotas::look(&cloud, &plan, (&topology, &there), &target.flavors).await?;
    let project = target.project_id;
    let chosen = match selection {
        Selection::Chosen(chosen) => chosen,
        Selection::Everything => BTreeSet::new(),
    };
    let ready = Prepared { content, topology, plan, quotas, notes, project, chosen };
    if options.dry_run {
        return Ok(ready.planned());
    }
    ready.check()?;
    let work = Work { options, around, cloud, store };
    let at_once = options.at_once(around.parallel_limit);
    let execution = Execution::new(&work, (&ready.topology, &ready.plan), ready.content.timestamp, at_once);
    let outcome = execution.run().await?;
    ready.done(outcome)
}

/// The login that the project is restored with; the storage stays with the action's own.
fn login(
    options: &ActionOptions,
    wanted: &ProjectOptions,
    around: &Surroundings,
) -> Result<ActionOptions, ActionError> {
    let Some(project) = &wanted.restore_to else { return Ok(options.clone()) };
    if around.acts_for.is_some() || options.trust_id.is_some() {
        return Err(ActionError::Failed(
            "project_restore_to: a central agent works under the trust of one project and cannot reach another; \
             run the restore with an agent of your own login"
                .to_owned(),
        ));
    }
    Ok(ActionOptions { project_id: Some(project.clone()), ..options.clone() })
}

/// The set, its topology, and why data cannot be had that it names.
async fn read(
    options: &ActionOptions,
    store: &Arc<dyn Store>,
) -> Result<(SetContent, Topology, BTreeMap<ResourceId, String>), ActionError> {
    let mut request = SetReadRequest::new(&options.hostname, &options.backup_name);
    request.not_after_secs = options.restore_from_date;
    request.pass_phrase = options.pass_phrase()?;
    let mut content = set::read(store, &request).await?;
    let document = std::mem::take(&mut content.topology);
    let backup = format!("backup {} at {}", content.hbn, content.timestamp);
    let version = document.get("version").and_then(Value::as_u64);
    if version.is_some_and(|version| version > u64::from(TOPOLOGY_VERSION)) {
        return Err(ActionError::Failed(format!(
            "{backup} was made by a newer agent; restore it with that one"
        )));
    }
    let mut topology: Topology = serde_json::from_value(document)
        .map_err(|error| ActionError::Failed(format!("{backup} is not that of a project: {error}")))?;
    let mut damaged = BTreeMap::new();
    for missing in &content.missing {
        let link = &missing.member.link;
        for resource in &mut topology.resources {
            let is_it = |member: &super::topology::Member| {
                member.hbn == link.hbn && member.timestamp == link.timestamp
            };
            if resource.backup.as_ref().is_some_and(is_it) {
                resource.backup = None;
                damaged.insert(resource.id.clone(), format!("its backup is damaged: {}", missing.cause));
            }
        }
    }
    Ok((content, topology, damaged))
}

fn selection(topology: &Topology, wanted: &ProjectOptions) -> Result<Selection, ActionError> {
    if wanted.select.is_empty() {
        return Ok(Selection::Everything);
    }
    let mut chosen = BTreeSet::new();
    for pattern in &wanted.select {
        let fits: Vec<ResourceId> = topology
            .resources
            .iter()
            .filter(|resource| pattern.fits(resource))
            .map(|resource| resource.id.clone())
            .collect();
        if fits.is_empty() {
            let cause = "is not in this backup; a restore with dry_run lists what is";
            return Err(ActionError::Failed(format!("project_select: {pattern} {cause}")));
        }
        chosen.extend(fits);
    }
    Ok(Selection::Chosen(chosen))
}

impl Prepared {
    /// Nothing is begun that the user has to decide something about first, or that the quotas do not allow.
    fn check(&self) -> Result<(), ActionError> {
        let open: Vec<String> = self
            .plan
            .refused
            .iter()
            .filter(|refusal| !refusal.is_lost)
            .map(|Refusal { resource, name, reason, .. }| format!("{resource} '{name}': {reason}"))
            .collect();
        if !open.is_empty() {
            let cause =
                "nothing was restored, as something has to be decided first (project_map, project_select)";
            return Err(ActionError::Failed(format!("{cause}: {}", open.join("; "))));
        }
        let short: Vec<String> =
            self.quotas.iter().filter(|quota| !quota.suffices()).map(ToString::to_string).collect();
        if !short.is_empty() {
            let cause = "nothing was restored, as the quota of the project does not suffice";
            let next = "free something, raise the quota, or restore a part (project_select)";
            return Err(ActionError::Failed(format!("{cause}: {}; {next}", short.join("; "))));
        }
        Ok(())
    }

    fn head(&self) -> String {
        let Self { content, topology, project, .. } = self;
        format!(
            "{} as of {}, of project {} into {project}",
            content.hbn, content.timestamp, topology.project_id
        )
    }

    /// What the backup itself does not have.
    fn lacks(&self) -> Vec<String> {
        let missing = &self.topology.missing;
        let said = missing.iter().map(|missing| {
            let id = missing.id.as_deref().unwrap_or("all");
            format!("NOT SAVED    {} {id}: {}", missing.kind, missing.reason)
        });
        said.chain(self.content.warnings.iter().chain(&self.notes).map(|note| format!("Note         {note}")))
            .collect()
    }

    /// What is saved of each resource that was asked for by name: of a stack its template, which no restore gives back to Heat.
    fn documents(&self) -> Map<String, Value> {
        let resources = self.chosen.iter().filter_map(|id| self.topology.find(id));
        resources.map(|resource| (resource.id.to_string(), resource.document.clone())).collect()
    }

    fn planned(&self) -> Done {
        let mut summary = vec![format!("Plan         {}", self.head())];
        summary.extend(self.plan.to_string().lines().map(str::to_owned));
        summary.extend(self.quotas.iter().map(|quota| {
            let word = if quota.suffices() { "Quota" } else { "TOO LITTLE" };
            format!("{word:<12} {quota}")
        }));
        summary.extend(self.lacks());
        summary.push("Dry run      nothing was made".to_owned());
        let mut result = Map::new();
        let document = json!({
            "dry_run": true, "backup": self.content.hbn.as_str(), "timestamp": self.content.timestamp,
            "project_id": self.project, "steps": self.plan.steps, "refused": self.plan.refused,
            "quotas": self.quotas, "missing": self.topology.missing, "notes": self.notes,
            "documents": self.documents(),
        });
        result.insert("restore".into(), document);
        Done { result, summary, partial: false }
    }

    fn done(&self, outcome: Outcome) -> Result<Done, ActionError> {
        let Outcome { made, used, failed, skipped, notes, remarks } = &outcome;
        let told = |rows: &[Row]| -> Vec<String> {
            let row = |row: &Row| {
                format!("{} '{}': {}", row.resource, row.name, row.reason.as_deref().unwrap_or_default())
            };
            rows.iter().map(row).collect()
        };
        let lost: Vec<String> = self
            .plan
            .refused
            .iter()
            .map(|Refusal { resource, name, reason, .. }| format!("{resource} '{name}': {reason}"))
            .collect();
        let wrong: Vec<String> = lost.into_iter().chain(told(failed)).chain(told(skipped)).collect();
        if made.is_empty() && used.is_empty() && !wrong.is_empty() {
            return Err(ActionError::Failed(format!("nothing was restored: {}", wrong.join("; "))));
        }
        let mut summary = vec![format!("Restored     {}", self.head())];
        summary.extend(made.iter().map(|row| {
            format!(
                "Made         {} '{}' as {}",
                row.resource,
                row.name,
                row.new_id.as_deref().unwrap_or_default()
            )
        }));
        summary.push(format!("Kept or used {} resources that are there", used.len()));
        summary.extend(wrong.iter().map(|what| format!("FAILED       {what}")));
        summary.extend(notes.iter().map(|note| format!("CHANGED      {note}")));
        summary.extend(remarks.iter().map(|remark| format!("Note         {remark}")));
        summary.extend(self.lacks());
        let mut document = serde_json::to_value(&outcome).unwrap_or_default();
        if let Some(fields) = document.as_object_mut() {
            fields.insert("backup".into(), json!(self.content.hbn.as_str()));
            fields.insert("timestamp".into(), json!(self.content.timestamp));
            fields.insert("project_id".into(), json!(self.project));
            fields.insert("refused".into(), json!(self.plan.refused));
            fields.insert("missing".into(), json!(self.topology.missing));
        }
        let mut result = Map::new();
        result.insert("restore".into(), document);
        Ok(Done { result, summary, partial: !wrong.is_empty() || !notes.is_empty() })
    }
}
