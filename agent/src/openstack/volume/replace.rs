//! A new volume in the old one's place, at each server that has that. The old one is kept.

use super::exchange::{self, Exchange, Outcome, Settled, resume};
use super::new_volume::NewVolume;
use super::restore::Made;
use crate::actions::ActionError;
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::server::boots_from;
use crate::openstack::temporary::Temporary;
use chrono::Utc;
use serde_json::Value;

/// What an earlier attempt of this run came to: its agent died, and the exchange was gone on with since. It is not done twice.
///
/// # Errors
/// When the old volume is being exchanged still, or the attempt came to nothing.
pub async fn former(new: &NewVolume) -> Result<Option<Made>, ActionError> {
    let (old, run) = (new.saved.id.as_str(), new.ledger.run_id());
    let mut found = exchanges_of(new).await?;
    let is_own = |exchange: &Exchange| !run.is_empty() && exchange.run == run;
    if found.iter().any(|exchange| exchange.settled.is_none() && is_own(exchange)) {
        exchange::finish_own(&new.cloud, run).await?;
        found = exchanges_of(new).await?;
    }
    if let Some(open) = found.iter().find(|exchange| exchange.settled.is_none()) {
        return Err(ActionError::Failed(format!(
            "volume {} is about to take the place of volume {old} at server {}: another restore is at it, or one that an agent has left \
             could not be finished yet (the agent's log says why); nothing was restored now. If none is: openstack volume unset --property \
             {} {}",
            open.new,
            open.server,
            open.key(),
            open.new
        )));
    }
    found.retain(is_own);
    let Some(id) = found.first().map(|exchange| exchange.new.clone()) else { return Ok(None) };
    found.retain(|exchange| exchange.new == id);
    let left = exchange::clear(&new.cloud.undisturbed(), &found).await;
    let failed = found.iter().find(|exchange| !matches!(exchange.settled, Some((Outcome::New, _))));
    if let Some(failed) = failed {
        return Err(ActionError::Failed(format!(
            "an earlier attempt of this run, whose agent died, has restored volume {id}, and it is not in the place of volume {old} at \
             server {}: see the log of the agent that came next; both volumes are kept",
            failed.server
        )));
    }
    let time = found.first().map(|exchange| exchange.timestamp).unwrap_or_default();
    let mut notes = vec![
        format!(
            "an earlier attempt of this run had restored the backup of {time} into volume {id}; its agent died, and the exchange was \
             finished since"
        ),
        kept(old),
    ];
    notes.extend(left);
    Ok(Some((id, None, notes)))
}

/// All exchanges of the old volume that metadata tell of.
async fn exchanges_of(new: &NewVolume) -> Result<Vec<Exchange>, CloudError> {
    let mut volumes = volumes::list(&new.cloud).await?;
    volumes.retain(|volume| volume.status() != "deleting");
    let found = volumes.iter().flat_map(exchange::of);
    Ok(found.filter(|exchange| exchange.old == new.saved.id).collect())
}

/// Restores into a new volume, and has it take the place of `old`.
pub async fn replace(new: &NewVolume, old: &Volume) -> Result<Made, ActionError> {
    if old.attachments().is_empty() {
        return Err(attached_nowhere(old.id()));
    }
    boots_nowhere(&new.cloud, old).await?;
    let (id, report) = new.make().await?;
    let mut notes = new.prepare(&id).await?;
    // The last change of it before anybody else may use it; metadata count for none.
    new.rename(&id).await?;
    let made = volumes::show(&new.cloud, &id).await?;
    // Where the old one is by now.
    let exchanges = exchanges(new, &volumes::show(&new.cloud, old.id()).await?, &made);
    if exchanges.is_empty() {
        return Err(attached_nowhere(old.id()));
    }
    new.describe(&id, exchange::marks(&exchanges)).await?;
    new.ledger.release(&Temporary::Volume(id.clone()));
    // Not cut off by an abort: no server shall be left with less than it had.
    let cloud = new.cloud.undisturbed();
    exchange_all(&cloud, &exchanges).await.map_err(|text| {
        if new.monitor.is_cancelled() {
            tracing::error!("{text}");
        }
        ActionError::Failed(text)
    })?;
    notes.push(kept(old.id()));
    notes.extend(ended(new, &cloud, &exchanges).await);
    Ok((id, Some(report), notes))
}

/// Nova takes a volume from no server that boots from it, whatever state that is in: said before anything is made.
async fn boots_nowhere(cloud: &Cloud, old: &Volume) -> Result<(), ActionError> {
    for row in old.attachments() {
        let Some(server) = row.get("server_id").and_then(Value::as_str) else { continue };
        if boots_from(cloud, server, old.id()).await? {
            return Err(ActionError::Failed(format!(
                "volume {} cannot be replaced: server {server} boots from it, and Nova detaches no such volume; restore the server from \
                 a backup of its own (mode nova), or restore into a new volume (without cinder_restore_to) and boot a server from that",
                old.id()
            )));
        }
    }
    Ok(())
}

fn kept(old: &str) -> String {
    format!("volume {old} was detached and is kept")
}

fn attached_nowhere(old: &str) -> ActionError {
    ActionError::Failed(format!(
        "volume {old} is attached nowhere, so that nothing can take its place; restore it into a new one or over it"
    ))
}

/// One for each server that has the old volume; `made` is the new one.
fn exchanges(new: &NewVolume, old: &Volume, made: &Volume) -> Vec<Exchange> {
    let of_row = |row: &Value| {
        let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Exchange {
            new: made.id().to_owned(),
            old: old.id().to_owned(),
            server: text("server_id")?.to_owned(),
            attachment: text("attachment_id").unwrap_or_default().to_owned(),
            device: text("device").map(str::to_owned),
            run: new.ledger.run_id().to_owned(),
            process: new.ledger.process(),
            timestamp: new.plan.timestamp,
            made: made.updated_at().to_owned(),
            settled: None,
        })
    };
    old.attachments().into_iter().filter_map(of_row).collect()
}

/// One server after the other. The error says which of them has what.
async fn exchange_all(cloud: &Cloud, exchanges: &[Exchange]) -> Result<(), String> {
    let places: Vec<String> = exchanges.iter().map(|exchange| exchange.server.clone()).collect();
    for (at, exchange) in exchanges.iter().enumerate() {
        let Exchange { new, server, .. } = exchange;
        let done = places.get(..at).filter(|done| !done.is_empty());
        let done = done.map(|done| format!("; it is at server {}", done.join(", "))).unwrap_or_default();
        match resume(cloud, exchange, &places, None).await {
            Ok(Settled { outcome: Outcome::New, .. }) => {}
            Ok(Settled { why, .. }) => {
                let left = exchange::clear(cloud, exchanges).await;
                left.iter().for_each(|note| tracing::error!("{note}"));
                let why = why.unwrap_or_default();
                return Err(format!(
                    "{why}; the restored volume {new} is kept, not attached to server {server}{done}"
                ));
            }
            Err(error) => {
                return Err(format!(
                    "{error}; volume {new} is restored, and it is not sure that server {server} has it or the old one: the next action \
                     of an agent in this project goes on with that{done}"
                ));
            }
        }
    }
    Ok(())
}

/// The marks have done their duty; unless nobody may be there to hear of the end, so that the run comes again.
async fn ended(new: &NewVolume, cloud: &Cloud, exchanges: &[Exchange]) -> Vec<String> {
    if !new.monitor.is_cancelled() {
        return exchange::clear(cloud, exchanges).await;
    }
    for exchange in exchanges {
        let settled = exchange::settle(cloud, exchange, Outcome::New, Utc::now().timestamp()).await;
        if let Err(error) = settled {
            tracing::warn!("volume {} does not bear how its exchange ended: {error}", exchange.new);
        }
    }
    Vec::new()
}
