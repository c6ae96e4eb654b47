//! Mode rbd: an image comes back into any pool of the cluster, sparse as it was.

use super::backup::ceph_access;
use super::restore::{feed, request};
use crate::actions::backup::people;
use crate::actions::{ActionError, Done};
use crate::openstack::ceph::{Ceph, RbdImage};
use crate::openstack::pipe;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_vault::Monitor;
use freezer_vault::image::{self, ImageOutput, ImagePlan};
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
        let summary = vec![format!("Would restore {} as of {} into {target}", plan.hbn, plan.timestamp)];
        return Ok(Done { result, summary, partial: false });
    }
    ceph.create(&target, plan.size_bytes).await?;
    let (writer, stream) = pipe::writer();
    let taking = ceph.import_diff(&target, stream);
    let report = match feed(&store, &plan, ImageOutput::Diff(writer), &monitor, taking).await {
        Ok(report) => report,
        Err(error) => {
            if let Err(left) = ceph.undisturbed().remove(&target).await {
                tracing::error!("image {target} stays behind: {left}");
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
