//! Action admin: rotation. Always a plan first; with `dry_run` only the plan.

use super::{ActionError, Done, chains};
use crate::openstack::cloud::Cloud;
use crate::openstack::volume::Forgetting;
use crate::openstack::{image, server, volume};
use crate::options::medium::{ImagePick, Medium};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::prune::{self, PruneReport, PruneRequest, Retention};
use freezer_vault::set::{self, SetPruneReport};
use freezer_vault::{Engine, Hbn, Monitor};
use serde_json::{Map, json};
use std::sync::Arc;

pub async fn admin(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let retention = Retention {
        remove_older_than_days: options.remove_older_than_days,
        remove_from_secs: options.remove_from_date,
        keep_last: options.keep_last,
        keep_each: options.keep_each,
    };
    let mut cloud = None;
    if !options.dry_run
        && matches!(
            options.medium,
            Medium::Volume(_) | Medium::Images(_) | Medium::Servers(_) | Medium::Project
        )
    {
        // Also takes away what agents that are gone have left in the project; rotation does not hang on it.
        match volume::open_cloud(options, around, &monitor).await {
            Ok(open) => cloud = Some(open),
            Err(error) => tracing::warn!("leftovers of agents that are gone were not looked for: {error}"),
        }
    }
    let store = open_store(options, around).await?;
    let named = |engine: Engine| Hbn::of(engine, &options.hostname, &options.backup_name);
    let work = Rotation { options, around, retention, store, monitor, cloud };
    match &options.medium {
        Medium::Servers(pick) => {
            let hbns = server::rotated_sets(options, pick, &work.store).await?;
            work.prune_sets(hbns).await
        }
        Medium::Project => work.prune_sets(vec![named(Engine::Set)?]).await,
        Medium::Images(pick @ (ImagePick::AllWithout(_) | ImagePick::Project(_))) => {
            let hbns = image::chains(options, pick, &work.store).await?;
            work.prune_several(hbns).await
        }
        medium if medium.is_archive() => {
            let mut hbns = chains::rotated(options, &work.store).await?;
            match hbns.pop() {
                Some(one) if hbns.is_empty() => work.prune_chains(one).await,
                last => work.prune_several(hbns.into_iter().chain(last).collect()).await,
            }
        }
        _ => work.prune_chains(named(Engine::Image)?).await,
    }
}

/// Everything that rotation works with.
struct Rotation<'a> {
    options: &'a ActionOptions,
    around: &'a Surroundings,
    retention: Retention,
    store: Arc<dyn Store>,
    monitor: Arc<Monitor>,
    cloud: Option<Cloud>,
}

impl Rotation<'_> {
    fn request(&self, hbn: Hbn) -> PruneRequest {
        let around = self.around;
        PruneRequest { began: around.began, ..PruneRequest::new(hbn, self.retention, around.now_secs) }
    }

    async fn prune_chains(&self, hbn: Hbn) -> Result<Done, ActionError> {
        let request = self.request(hbn);
        let plan = prune::plan(&self.store, &request).await?;
        let mut summary: Vec<String> = plan.to_string().lines().map(str::to_owned).collect();
        let mut result = Map::new();
        result.insert("plan".into(), json!(plan));
        if self.options.dry_run {
            summary.push("Dry run: nothing was removed".into());
            return Ok(Done { result, summary, partial: false });
        }
        let report = prune::apply(&self.store, &request, &plan, &self.monitor).await?;
        Self::tell(&mut summary, &report);
        summary.extend(self.forget(&[request.hbn]).await?);
        result.insert("removed".into(), json!(report));
        Ok(Done { result, summary, partial: false })
    }

    /// Chains of resources that were saved together, each by itself.
    async fn prune_several(&self, hbns: Vec<Hbn>) -> Result<Done, ActionError> {
        let (mut summary, mut plans) = (Vec::new(), Vec::new());
        let mut total = PruneReport::default();
        for hbn in &hbns {
            let request = self.request(hbn.clone());
            let plan = prune::plan(&self.store, &request).await?;
            summary.extend(plan.to_string().lines().map(str::to_owned));
            if !self.options.dry_run {
                total.add(prune::apply(&self.store, &request, &plan, &self.monitor).await?);
            }
            plans.push(json!(plan));
        }
        let mut result = Map::new();
        result.insert("plan".into(), json!(plans));
        if self.options.dry_run {
            summary.push("Dry run: nothing was removed".into());
            return Ok(Done { result, summary, partial: false });
        }
        Self::tell(&mut summary, &total);
        summary.extend(self.forget(&hbns).await?);
        result.insert("removed".into(), json!(total));
        Ok(Done { result, summary, partial: false })
    }

    fn tell(summary: &mut Vec<String>, report: &PruneReport) {
        summary.push(format!(
            "Removed {} chains ({} levels) and {} leftovers: {} objects",
            report.chains, report.levels, report.orphans, report.objects
        ));
        summary.extend(report.skipped.iter().map(|why| format!("Skipped: {why}")));
    }

    /// What was kept in the cluster for chains that are gone; the answer is for people.
    async fn forget(&self, rotated: &[Hbn]) -> Result<Vec<String>, ActionError> {
        let Self { options, around, store, .. } = self;
        let left = Forgetting { options, around, cloud: self.cloud.as_ref(), store }.forget(rotated).await?;
        Ok(left.into_iter().map(|what| format!("Left behind  {what}")).collect())
    }

    /// Sets go with what only they name.
    async fn prune_sets(&self, hbns: Vec<Hbn>) -> Result<Done, ActionError> {
        let (mut summary, mut plans) = (Vec::new(), Vec::new());
        let mut total = SetPruneReport::default();
        let mut rotated = Vec::new();
        for hbn in hbns {
            let request = self.request(hbn);
            let plan = set::plan_prune(&self.store, &request).await?;
            summary.extend(plan.to_string().lines().map(str::to_owned));
            let members: Vec<_> = plan.members.iter().map(|member| &member.plan).collect();
            plans.push(json!({"set": plan.set, "members": members}));
            if !self.options.dry_run {
                let done = set::apply(&self.store, &request, &plan, &self.monitor).await?;
                total.sets.add(done.sets);
                total.members.add(done.members);
                let members = plan.members.into_iter().filter(|member| !member.plan.remove.is_empty());
                rotated.extend(members.map(|member| member.hbn));
            }
        }
        let mut result = Map::new();
        result.insert("plan".into(), json!(plans));
        if self.options.dry_run {
            summary.push("Dry run: nothing was removed".into());
            return Ok(Done { result, summary, partial: false });
        }
        let (sets, members) = (&total.sets, &total.members);
        summary.push(format!(
            "Removed {} sets, {} chains of members ({} levels) and {} leftovers: {} objects",
            sets.levels,
            members.chains,
            members.levels,
            sets.orphans + members.orphans,
            sets.objects + members.objects
        ));
        summary.extend(sets.skipped.iter().chain(&members.skipped).map(|why| format!("Skipped: {why}")));
        summary.extend(self.forget(&rotated).await?);
        result.insert("removed".into(), json!({"sets": sets, "members": members}));
        Ok(Done { result, summary, partial: false })
    }
}
