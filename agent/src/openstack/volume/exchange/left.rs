//! Exchanges that agents which are gone have begun are gone on with.
//!
//! Where no server has lost the old volume yet, the new one is removed: the restore is as if it had never been. Where one has lost
//! it, it gets the new one, and then all the others of a shared volume; those never before one has it.

use super::at_server::{attachment_at, resume};
use super::mark::{self, Exchange, Outcome};
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::temporary::{Temporary, is_gone, remove_each};
use crate::openstack::waiting::{Look, Wanted};
use chrono::Utc;
use serde_json::json;
use std::time::Duration;

/// For so long it is known how an exchange ended: its run may come again.
const KNOWN_SECS: i64 = 86_400;
/// Longer than Nova needs until a volume that it was told to detach says so.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Looks for them in the project of the login. What became of each is logged, and in the record of the run.
pub async fn finish_left(cloud: &Cloud) -> Result<(), CloudError> {
    let project = cloud.project_id().await?;
    for volume in volumes::list(cloud).await? {
        let exchanges = mark::of(&volume);
        if exchanges.is_empty() || !volume.is_of(&project) {
            continue;
        }
        match finish(cloud, &volume, &exchanges).await {
            Ok(()) => {}
            Err(CloudError::Aborted) => return Err(CloudError::Aborted),
            Err(error) => tracing::warn!(
                "volume {} was to take another one's place, and an agent that is gone has left it there: {error}",
                volume.id()
            ),
        }
    }
    Ok(())
}

async fn finish(cloud: &Cloud, volume: &Volume, exchanges: &[Exchange]) -> Result<(), CloudError> {
    let now_secs = Utc::now().timestamp();
    let (settled, open): (Vec<&Exchange>, Vec<&Exchange>) =
        exchanges.iter().partition(|exchange| exchange.settled.is_some());
    let Some(first) = open.first() else {
        let is_past = |exchange: &Exchange| {
            exchange.settled.is_some_and(|(_, secs)| now_secs.saturating_sub(secs) > KNOWN_SECS)
        };
        if exchanges.iter().all(is_past) {
            mark::clear(cloud, exchanges).await.iter().for_each(|left| tracing::warn!("{left}"));
        }
        return Ok(());
    };
    if !open.iter().all(|exchange| is_gone(&exchange.process, &volume.document)) {
        return Ok(());
    }
    let mut old = at_rest(cloud, &first.old).await?;
    if settled.is_empty() && open.iter().all(|exchange| is_whole(old.as_ref(), exchange)) {
        pause(cloud).await?;
        old = at_rest(cloud, &first.old).await?;
    }
    let (whole, begun): (Vec<&Exchange>, Vec<&Exchange>) =
        open.iter().copied().partition(|exchange| is_whole(old.as_ref(), exchange));
    if begun.is_empty() && settled.is_empty() {
        let now = match volumes::show(cloud, volume.id()).await {
            Err(error) if error.is_not_found() => return Ok(()),
            shown => shown?,
        };
        // Another agent may have been faster.
        if matches!(now.status(), "available" | "deleting") {
            remove(cloud, first).await;
            return Ok(());
        }
    }
    let places: Vec<String> = exchanges.iter().map(|exchange| exchange.server.clone()).collect();
    let mut ends: Vec<Option<Outcome>> =
        settled.iter().map(|exchange| exchange.settled.map(|(outcome, _)| outcome)).collect();
    for exchange in begun {
        ends.push(go_on(cloud, exchange, &places).await?);
    }
    if ends.contains(&None) {
        // The others keep the old one until it is known whether the first ones get the new one.
        return Ok(());
    }
    for exchange in whole {
        if ends.contains(&Some(Outcome::New)) {
            go_on(cloud, exchange, &places).await?;
        } else {
            let why = format!("no other server has volume {}", exchange.new);
            end(&cloud.undisturbed(), exchange, Outcome::Old, Some(why)).await;
        }
    }
    Ok(())
}

/// Whether the server has the old volume as it had when the exchange was written down.
fn is_whole(old: Option<&Volume>, exchange: &Exchange) -> bool {
    let attachment = old.and_then(|old| attachment_at(old, &exchange.server));
    attachment.as_ref() == Some(&exchange.attachment)
}

/// What the agent that is gone had asked Nova for last may not show yet.
async fn pause(cloud: &Cloud) -> Result<(), CloudError> {
    tokio::select! {
        () = cloud.timer().sleep(ON_ITS_WAY) => Ok(()),
        () = cloud.monitor().token().cancelled() => Err(CloudError::Aborted),
    }
}

/// A volume when nothing is done with its attachments; none when it is gone.
async fn at_rest(cloud: &Cloud, id: &str) -> Result<Option<Volume>, CloudError> {
    cloud
        .wait_for(Wanted::new(format!("volume {id}"), "at rest"), || async move {
            let volume = match volumes::show(cloud, id).await {
                Err(error) if error.is_not_found() => return Ok(Look::Ready(None)),
                shown => shown?,
            };
            Ok(match volume.status() {
                state @ ("reserved" | "attaching" | "detaching") => Look::NotYet(state.to_owned()),
                _ => Look::Ready(Some(volume)),
            })
        })
        .await
}

/// No server was touched.
async fn remove(cloud: &Cloud, exchange: &Exchange) {
    let Exchange { new, old, .. } = exchange;
    let left = remove_each(cloud, vec![Temporary::Volume(new.clone())]).await;
    if left.is_empty() {
        tracing::warn!(
            "volume {new} was to take the place of volume {old}; the agent was gone before that began, and it is removed"
        );
    }
    left.iter().for_each(|what| tracing::warn!("left by an agent that is gone, and still there: {what}"));
}

/// Answers how it ended; none when the next agent has to try again. Not cut off by an abort, as the exchange itself is not.
async fn go_on(cloud: &Cloud, exchange: &Exchange, places: &[String]) -> Result<Option<Outcome>, CloudError> {
    if cloud.monitor().is_cancelled() {
        return Err(CloudError::Aborted);
    }
    let quiet = cloud.undisturbed();
    match resume(&quiet, exchange, places).await {
        Ok(settled) => {
            end(&quiet, exchange, settled.outcome, settled.why).await;
            Ok(Some(settled.outcome))
        }
        Err(error) => {
            tell(cloud, exchange, None, Some(error.to_string()));
            Ok(None)
        }
    }
}

async fn end(cloud: &Cloud, exchange: &Exchange, outcome: Outcome, why: Option<String>) {
    if let Err(error) = mark::settle(cloud, exchange, outcome, Utc::now().timestamp()).await {
        // It is looked at once more, and nothing is left to do then.
        tracing::warn!("volume {} does not bear how its exchange ended: {error}", exchange.new);
    }
    tell(cloud, exchange, Some(outcome), why);
}

/// In the log and in the record of the run.
fn tell(cloud: &Cloud, exchange: &Exchange, outcome: Option<Outcome>, why: Option<String>) {
    let Exchange { new, old, server, .. } = exchange;
    let became = match outcome {
        Some(Outcome::New) => format!("was finished: it has volume {new}"),
        Some(Outcome::Old) => format!("was taken back: it has volume {old}; volume {new} is kept"),
        Some(Outcome::LeftAlone) => format!("is left as it is; volume {new} is kept"),
        None => "could not be finished; the next agent tries again".to_owned(),
    };
    let cause = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    tracing::warn!(
        "an agent that is gone had begun to replace volume {old} at server {server}; that {became}{cause}"
    );
    cloud.trail().exchanged(json!({
        "server_id": server, "old_volume_id": old, "new_volume_id": new,
        "outcome": outcome.map_or("unfinished", Outcome::as_str), "why": why,
    }));
}
