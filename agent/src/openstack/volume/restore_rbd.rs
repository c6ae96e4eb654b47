//! Mode rbd: an image comes back into any pool of the cluster, sparse as it was.
//!
//! It gets its name when it is whole, and a temporary's until then: whatever becomes of the agent, no half image looks like a
//! restored one or is in the way of the next.

use super::backup::ceph_access;
use super::leftover::{tidy_pool, unfinished};
use super::restore::{feed, request};
use crate::actions::backup::people;
use crate::actions::{ActionError, Done};
use crate::openstack::ceph::{Ceph, RbdImage};
use crate::openstack::pipe;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::Monitor;
use freezer_vault::image::{self, ImageOutput, ImagePlan, ImageReport};
use serde_json::{Map, json};
use std::sync::Arc;

pub async fn restore(
    options: &ActionOptions,
    (pool, name): (&str, &str),
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let ceph = Ceph::new(ceph_access(around)?, monitor.clone());
    let store = open_store(options, around).await?;
    let plan = image::plan(&store, &request(options)?).await?;
    let target = target(options, pool, name, &plan)?;
    if ceph.facts(&target).await?.is_some() {
        let text =
            format!("image {target} is there already; name another one by rbd_restore_to, or remove it");
        return Err(ActionError::Failed(text));
    }
    let mut result = Map::new();
    if options.dry_run {
        result.insert(
            "restore".into(),
            json!({"dry_run": true, "timestamp": plan.timestamp, "target": target}),
        );
        let summary = vec![
            format!("Would restore {} as of {} into {target}", plan.hbn, plan.timestamp),
            "Dry run      nothing was written".to_owned(),
        ];
        return Ok(Done { result, summary, partial: false });
    }
    let prefix = &options.cloud.temp_prefix;
    tidy_pool(&ceph, &target.pool, prefix).await?;
    let unfinished = unfinished(&target, prefix);
    let report = match fill(&ceph, (&store, &plan), (&unfinished, &target), &monitor).await {
        Ok(report) => report,
        Err(error) => {
            if let Err(left) = ceph.undisturbed().remove(&unfinished).await {
                tracing::error!("image {unfinished} stays behind until a later restore removes it: {left}");
            }
            return Err(if monitor.is_cancelled() { ActionError::Aborted } else { error });
        }
    };
    let summary = vec![
        format!("Restored     {} as of {} from {} levels", report.hbn, report.timestamp, report.levels.len()),
        format!(
            "Image        {target} ({}, {} of data)",
            people(report.size_bytes),
            people(report.data_bytes)
        ),
    ];
    result.insert("restore".into(), json!({"target": target, "report": report}));
    Ok(Done { result, summary, partial: false })
}

/// Fills an image under one name and gives it another when it is whole.
async fn fill(
    ceph: &Ceph,
    (store, plan): (&Arc<dyn Store>, &ImagePlan),
    (unfinished, target): (&RbdImage, &RbdImage),
    monitor: &Arc<Monitor>,
) -> Result<ImageReport, ActionError> {
    ceph.create(unfinished, plan.size_bytes).await?;
    let (writer, stream) = pipe::writer();
    let taking = ceph.import_diff(unfinished, stream);
    let report = feed(store, plan, ImageOutput::Diff(writer), monitor, taking).await?;
    // Not to be cut off by an abort: it is whole by now.
    ceph.undisturbed().rename(unfinished, target).await?;
    Ok(report)
}

fn target(
    options: &ActionOptions,
    pool: &str,
    name: &str,
    plan: &ImagePlan,
) -> Result<RbdImage, ActionError> {
    let Some(text) = &options.cloud.rbd_target else {
        return Ok(RbdImage { pool: pool.to_owned(), name: format!("{name}~{}", plan.timestamp) });
    };
    let is_plain = |part: &str| {
        let letters = part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'));
        !part.is_empty() && !part.starts_with('-') && letters
    };
    match text.split_once('/').filter(|(pool, name)| is_plain(pool) && is_plain(name)) {
        Some((pool, name)) => Ok(RbdImage { pool: pool.to_owned(), name: name.to_owned() }),
        None => Err(ActionError::Failed(format!("rbd_restore_to: '{text}' is not pool/image"))),
    }
}
