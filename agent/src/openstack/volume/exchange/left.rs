//! Exchanges that agents which are gone have begun are gone on with.
//!
//! Where no server has lost the old volume yet, the new one is removed, if it is provably what the agent has left: the restore is as
//! if it had never been. Where one has lost it, it gets the new one, and then all the others of a shared volume; those never before
//! one has it.

use super::at_server::{attachment_at, found, resume};
use super::mark::{self, Exchange, Outcome};
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::temporary::{Temporary, is_gone};
use crate::openstack::waiting::{Look, Wanted};
use chrono::Utc;
use serde_json::json;
use std::time::Duration;

/// For so long it is known how an exchange ended: its run may come again.
const KNOWN_SECS: i64 = 86_400;
/// Longer than Nova needs until a volume that it was told to detach says so.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// For so long an action waits for what Nova and Cinder have under way with all of them together: it has work of its own.
const OF_OTHERS: Duration = Duration::from_secs(30);

/// Looks for them in the project of the login. What became of each is logged, and in the record of the run.
pub async fn finish_left(cloud: &Cloud) -> Result<(), CloudError> {
    let until = cloud.timer().now() + OF_OTHERS;
    finish_those(cloud, None, Some(until)).await
}

/// Those that an earlier attempt of this run has begun. They are waited for: the run has nothing to do but them.
pub async fn finish_own(cloud: &Cloud, run: &str) -> Result<(), CloudError> {
    finish_those(cloud, Some(run), None).await
}

async fn finish_those(cloud: &Cloud, run: Option<&str>, until: Option<Duration>) -> Result<(), CloudError> {
    let project = cloud.project_id().await?;
    for volume in volumes::list(cloud).await? {
        let exchanges = mark::of(&volume);
        let is_wanted = exchanges.iter().any(|exchange| run.is_none_or(|run| exchange.run == run));
        if !is_wanted || !volume.is_of(&project) {
            continue;
        }
        match finish(cloud, &volume, &exchanges, until).await {
            Ok(()) => {}
            Err(CloudError::Aborted) => return Err(CloudError::Aborted),
            Err(error) => {
                for exchange in exchanges.iter().filter(|exchange| exchange.settled.is_none()) {
                    tell(cloud, exchange, None, Some(error.to_string()));
                }
            }
        }
    }
    Ok(())
}

async fn finish(
    cloud: &Cloud,
    volume: &Volume,
    exchanges: &[Exchange],
    until: Option<Duration>,
) -> Result<(), CloudError> {
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
    let mut old = at_rest(cloud, &first.old, until).await?;
    if settled.is_empty() && open.iter().all(|exchange| is_whole(old.as_ref(), exchange)) {
        pause(cloud).await?;
        old = at_rest(cloud, &first.old, until).await?;
    }
    let (whole, begun): (Vec<&Exchange>, Vec<&Exchange>) =
        open.iter().copied().partition(|exchange| is_whole(old.as_ref(), exchange));
    if begun.is_empty() && settled.is_empty() {
        return call_off(cloud, volume.id(), exchanges).await;
    }
    let places: Vec<String> = exchanges.iter().map(|exchange| exchange.server.clone()).collect();
    let mut ends: Vec<Option<Outcome>> =
        settled.iter().map(|exchange| exchange.settled.map(|(outcome, _)| outcome)).collect();
    for exchange in begun {
        ends.push(go_on(cloud, exchange, &places, until).await?);
    }
    if ends.contains(&None) {
        // The others keep the old one until it is known whether the first ones get the new one.
        return Ok(());
    }
    for exchange in whole {
        if ends.contains(&Some(Outcome::New)) {
            go_on(cloud, exchange, &places, until).await?;
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
async fn at_rest(cloud: &Cloud, id: &str, until: Option<Duration>) -> Result<Option<Volume>, CloudError> {
    cloud
        .wait_for(Wanted::new(format!("volume {id}"), "at rest").until(until), || async move {
            let Some(volume) = found(volumes::show(cloud, id).await)? else {
                return Ok(Look::Ready(None));
            };
            Ok(match volume.status() {
                state @ ("reserved" | "attaching" | "detaching") => Look::NotYet(state.to_owned()),
                _ => Look::Ready(Some(volume)),
            })
        })
        .await
}

/// No server was touched: the new volume goes. One that somebody may have used is somebody's, and is kept; of an exchange it bears
/// nothing any more then.
async fn call_off(cloud: &Cloud, id: &str, exchanges: &[Exchange]) -> Result<(), CloudError> {
    let Some(now) = found(volumes::show(cloud, id).await)? else { return Ok(()) };
    // Another agent may have been faster.
    if now.status() == "deleting" || mark::of(&now).iter().all(|exchange| exchange.settled.is_some()) {
        return Ok(());
    }
    let kept = match used(&now, exchanges) {
        Some(why) => Some(why),
        None => remove(cloud, id).await?,
    };
    let Some(why) = kept else {
        let old = exchanges.first().map(|exchange| exchange.old.as_str()).unwrap_or_default();
        tracing::warn!(
            "volume {id} was to take the place of volume {old}; the agent was gone before that began, and it is removed"
        );
        return Ok(());
    };
    for exchange in exchanges {
        tell(cloud, exchange, Some(Outcome::Old), Some(why.clone()));
    }
    let left = mark::clear(&cloud.undisturbed(), exchanges).await;
    left.iter().for_each(|left| tracing::warn!("{left}"));
    Ok(())
}

/// Why somebody may have used the new volume since it was made: every attaching changes its state, also one that is over.
fn used(now: &Volume, exchanges: &[Exchange]) -> Option<String> {
    if now.status() != "available" || !now.attachments().is_empty() {
        return Some(format!("it is {}", now.status()));
    }
    let changed = now.updated_at();
    let is_unchanged = |exchange: &Exchange| !changed.is_empty() && exchange.made == changed;
    if exchanges.iter().all(is_unchanged) {
        return None;
    }
    let known = exchanges.iter().map(|exchange| exchange.made.as_str()).find(|made| !made.is_empty());
    Some(match known {
        Some(made) => {
            format!("it was whole at {made}, and was changed at {changed}: somebody may have used it since")
        }
        None => "nothing tells whether somebody has used it since".to_owned(),
    })
}

/// Asks once: what is refused now, because somebody uses it, is not to go when he has finished. Answers why it is still there.
async fn remove(cloud: &Cloud, id: &str) -> Result<Option<String>, CloudError> {
    if let Err(error) = volumes::delete(cloud, id).await {
        let now = found(volumes::show(cloud, id).await)?;
        // A request that is sent again may be refused for what the first one does.
        if now.is_some_and(|now| now.status() != "deleting") {
            return if error.is_refusal() { Ok(Some(error.to_string())) } else { Err(error) };
        }
    }
    let order = Wanted::new(format!("volume {id}"), "gone").moving(1);
    let gone = cloud
        .wait_for(order, || async move {
            Ok(match found(volumes::show(cloud, id).await)?.as_ref().map(Volume::status) {
                None => Look::Ready(()),
                Some(state @ "deleting") => Look::NotYet(state.to_owned()),
                Some(state) => Look::Never { state: state.to_owned(), detail: String::new() },
            })
        })
        .await;
    let error = gone.as_ref().err().map(ToString::to_string);
    cloud.trail().ended(&Temporary::Volume(id.to_owned()), error);
    gone.map(|()| None)
}

/// Answers how it ended; none when the next agent has to try again. Not cut off by an abort, as the exchange itself is not.
async fn go_on(
    cloud: &Cloud,
    exchange: &Exchange,
    places: &[String],
    until: Option<Duration>,
) -> Result<Option<Outcome>, CloudError> {
    if cloud.monitor().is_cancelled() {
        return Err(CloudError::Aborted);
    }
    let quiet = cloud.undisturbed();
    match resume(&quiet, exchange, places, until).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_may_have_been_used_is_told_from_one_that_is_as_it_was_made() {
        let exchange = |made: &str| Exchange { made: made.into(), ..Exchange::at_one_server() };
        let used = |document: serde_json::Value, made: &[&str]| {
            let exchanges: Vec<Exchange> = made.iter().map(|made| exchange(made)).collect();
            used(&Volume { document }, &exchanges)
        };
        let at = |time: Option<&str>| json!({"status": "available", "updated_at": time});
        let (noon, later) = ("2026-11-27T12:00:00.000000", "2026-11-27T12:00:07.000000");
        assert_eq!(used(at(Some(noon)), &[noon, noon]), None);
        let why = used(at(Some(later)), &[noon]).unwrap_or_default();
        assert!(why.contains(noon) && why.contains(later), "{why}");
        // Cinder, or the agent that is gone, tells nothing.
        for (now, made) in [(Some(noon), ""), (None, ""), (None, noon)] {
            assert!(used(at(now), &[made]).is_some(), "{now:?} {made}");
        }
        assert!(used(at(Some(noon)), &[noon, ""]).is_some());
        for state in ["in-use", "reserved", "attaching", "detaching", "error", "error_deleting"] {
            let document = json!({"status": state, "updated_at": noon});
            assert!(used(document, &[noon]).is_some_and(|why| why.contains(state)), "{state}");
        }
        let row = json!({"server_id": "x", "attachment_id": "a"});
        let document = json!({"status": "available", "updated_at": noon, "attachments": [row]});
        assert!(used(document, &[noon]).is_some());
    }
}
