//! Doing what a plan says, kind by kind in its order. What needs something that failed is passed over and told; what was made
//! stays, and is listed.

use super::container::{PartsLists, store_lists};
use super::make;
use super::marks::Mark;
use super::members::{Restored, Work};
use super::needs::needs;
use super::plan::{Deed, Plan, Step};
use super::requests::Mapping;
use super::topology::{Kind, Resource, ResourceId, Topology};
use crate::actions::ActionError;
use crate::openstack::error::CloudError;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::collections::BTreeSet;

/// One resource as the result tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    #[serde(flatten)]
    pub resource: ResourceId,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Row {
    fn of(step: &Step, new_id: Option<String>, reason: Option<String>) -> Self {
        let name = match &step.deed {
            Deed::Create { name } => name.clone(),
            _ => step.name.clone(),
        };
        Self { resource: step.resource.clone(), name, new_id, reason }
    }
}

/// What became of a plan.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub made: Vec<Row>,
    /// What took the place of an old one, and what is kept.
    pub used: Vec<Row>,
    pub failed: Vec<Row>,
    /// Not tried, as something it needs failed.
    pub skipped: Vec<Row>,
    /// Made, but not as it was.
    pub notes: Vec<String>,
    /// Made otherwise than it was, and as good.
    pub remarks: Vec<String>,
}

/// What is to be made: the step, the resource, its new name.
type Ready<'a> = (&'a Step, &'a Resource, &'a String);
/// Volumes, and the servers that have some of them.
type Groups<'a> = Vec<(BTreeSet<ResourceId>, Vec<Ready<'a>>)>;

/// Groups that have nothing to do with each other. Servers that share a volume are in one, and are made one after the other: a
/// volume that is about to be attached is given to no second server.
fn apart(ready: Vec<Ready<'_>>) -> Vec<Vec<Ready<'_>>> {
    let mut groups: Groups<'_> = Vec::new();
    for one in ready {
        let (_, resource, _) = one;
        let mut volumes: BTreeSet<ResourceId> = match resource.id.kind {
            Kind::Server => needs(resource).into_iter().filter(|id| id.kind == Kind::Volume).collect(),
            _ => BTreeSet::new(),
        };
        let mut members = Vec::new();
        let (near, far): (Groups<'_>, Groups<'_>) =
            groups.into_iter().partition(|(theirs, _)| !theirs.is_disjoint(&volumes));
        groups = far;
        for (theirs, others) in near {
            volumes.extend(theirs);
            members.extend(others);
        }
        members.push(one);
        groups.push((volumes, members));
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

pub struct Execution<'a> {
    pub work: &'a Work<'a>,
    pub topology: &'a Topology,
    pub plan: &'a Plan,
    /// Of the backup.
    pub timestamp: i64,
    pub parallel: usize,
    new: Mapping,
    lists: Vec<PartsLists>,
    outcome: Outcome,
}

impl<'a> Execution<'a> {
    pub fn new(
        work: &'a Work<'a>,
        (topology, plan): (&'a Topology, &'a Plan),
        timestamp: i64,
        parallel: usize,
    ) -> Self {
        let (lists, outcome) = (Vec::new(), Outcome::default());
        let mut new = Mapping::default();
        // Also of what the backup does not know.
        for ((kind, old), id) in work.options.project.iter().flat_map(|wanted| &wanted.mapped) {
            new.put(ResourceId::new(*kind, old.as_str()), id.clone());
        }
        Self { work, topology, plan, timestamp, parallel, new, lists, outcome }
    }

    /// # Errors
    /// Only when aborted; what was made until then is logged.
    pub async fn run(mut self) -> Result<Outcome, ActionError> {
        for kind in Kind::ALL {
            let done = self.all_of(kind).await;
            if done.is_err() || self.work.cloud.monitor().is_cancelled() {
                for row in &self.outcome.made {
                    let id = row.new_id.as_deref().unwrap_or_default();
                    tracing::warn!("aborted; restored until then: {} as {id}", row.resource);
                }
                return Err(ActionError::Aborted);
            }
        }
        let lists = std::mem::take(&mut self.lists);
        self.outcome.notes.extend(store_lists(&self.work.cloud, lists).await);
        Ok(self.outcome)
    }

    async fn all_of(&mut self, kind: Kind) -> Result<(), ActionError> {
        let mut open = Vec::new();
        for step in self.plan.steps.iter().filter(|step| step.resource.kind == kind) {
            match &step.deed {
                Deed::Create { name } => open.push((step, name)),
                Deed::Use { id } => self.takes_the_place(step, id.clone()),
                Deed::Keep => self.takes_the_place(step, step.resource.id.clone()),
                Deed::Note => {}
            }
        }
        let mut ready = Vec::new();
        for (step, name) in open {
            match self.failed_need(&step.resource) {
                Some(need) => {
                    let reason = format!("it needs {need}, which could not be restored");
                    self.outcome.skipped.push(Row::of(step, None, Some(reason)));
                }
                None => ready.extend(self.topology.find(&step.resource).map(|one| (step, one, name))),
            }
        }
        let at_once = if kind.has_data() { self.parallel } else { 1 };
        let this = &*self;
        let made: Vec<Vec<(&Step, Result<Restored, ActionError>)>> = stream::iter(apart(ready))
            .map(|group| async move {
                let mut made = Vec::new();
                for (step, resource, name) in group {
                    made.push((step, Box::pin(this.make(resource, name)).await));
                }
                made
            })
            .buffer_unordered(at_once)
            .collect()
            .await;
        for (step, made) in made.into_iter().flatten() {
            self.note(step, made)?;
        }
        self.finish(kind).await
    }

    async fn make(&self, resource: &Resource, name: &str) -> Result<Restored, ActionError> {
        let mark = Mark::new(&resource.id.id, self.timestamp);
        match resource.id.kind.has_data() {
            true => self.work.restore(resource, name, &self.new, &mark).await,
            false => make::make(&self.work.cloud, resource, name, &self.new, &mark).await,
        }
    }

    fn takes_the_place(&mut self, step: &Step, id: String) {
        self.new.put(step.resource.clone(), id.clone());
        self.outcome.used.push(Row::of(step, Some(id), Some(step.reason.clone())));
    }

    fn note(&mut self, step: &Step, made: Result<Restored, ActionError>) -> Result<(), ActionError> {
        match made {
            Ok(restored) => {
                self.new.put(step.resource.clone(), restored.id.clone());
                let about = |note: String| format!("{} '{}': {note}", step.resource.kind, step.name);
                self.outcome.notes.extend(restored.notes.into_iter().map(about));
                self.outcome.remarks.extend(restored.remarks.into_iter().map(about));
                self.lists.extend(restored.lists);
                self.outcome.made.push(Row::of(step, Some(restored.id), None));
            }
            Err(ActionError::Aborted | ActionError::Cloud(CloudError::Aborted)) => {
                return Err(ActionError::Aborted);
            }
            Err(error) => self.outcome.failed.push(Row::of(step, None, Some(error.to_string()))),
        }
        Ok(())
    }

    fn failed_need(&self, id: &ResourceId) -> Option<ResourceId> {
        let failed = || self.outcome.failed.iter().chain(&self.outcome.skipped);
        let needs = needs(self.topology.find(id)?);
        needs.into_iter().find(|need| failed().any(|row| row.resource == *need))
    }

    /// What can be done only when all of a kind are there. Also for what an earlier restore has made and perhaps not finished.
    async fn finish(&mut self, kind: Kind) -> Result<(), ActionError> {
        if !matches!(kind, Kind::SecurityGroup | Kind::Router) {
            return Ok(());
        }
        let is_ours = |row: &&Row| row.reason.as_deref() == Some("restored before");
        let rows = self.outcome.made.iter().chain(self.outcome.used.iter().filter(is_ours));
        let ids: Vec<ResourceId> =
            rows.map(|row| row.resource.clone()).filter(|id| id.kind == kind).collect();
        for id in ids {
            let Some(resource) = self.topology.find(&id) else { continue };
            let problems = match kind {
                Kind::Router => {
                    let mark = Mark::new(&id.id, self.timestamp);
                    make::connect(&self.work.cloud, resource, &self.new, &mark).await?
                }
                _ => make::add_rules(&self.work.cloud, resource, &self.new).await?,
            };
            let about = |problem: String| format!("{kind} '{}': {problem}", resource.name);
            self.outcome.notes.extend(problems.into_iter().map(about));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn servers_that_share_a_volume_are_made_one_after_the_other() {
        let server = |id: &str, volumes: &[&str]| {
            let rows: Vec<Value> = volumes.iter().map(|id| json!({ "id": id })).collect();
            let document = json!({"os-extended-volumes:volumes_attached": rows});
            let id = ResourceId::new(Kind::Server, id);
            Resource { id, name: String::new(), owned: true, document, backup: None }
        };
        let servers = [
            server("1", &["a"]),
            server("2", &["b"]),
            server("3", &[]),
            server("4", &["c"]),
            server("5", &["b", "a"]),
        ];
        let name = "new".to_owned();
        let steps: Vec<Step> = servers
            .iter()
            .map(|server| Step {
                resource: server.id.clone(),
                name: String::new(),
                deed: Deed::Create { name: name.clone() },
                reason: String::new(),
            })
            .collect();
        let ready = steps.iter().zip(&servers).map(|(step, server)| (step, server, &name)).collect();
        let told: Vec<Vec<&str>> = apart(ready)
            .iter()
            .map(|group| group.iter().map(|(step, _, _)| step.resource.id.as_str()).collect())
            .collect();
        assert_eq!(told, [vec!["3"], vec!["4"], vec!["1", "2", "5"]]);
    }
}
