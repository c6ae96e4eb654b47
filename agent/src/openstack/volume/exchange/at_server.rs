//! One server's exchange, from wherever it stands: begun now, or left by an agent that is gone. Another agent may be at it at the
//! same time; so what is refused is looked at again.

use super::mark::{Exchange, Outcome};
use crate::openstack::cinder::attachments;
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::nova::servers;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::Value;
use std::time::Duration;

/// How it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub outcome: Outcome,
    /// Why the server does not have the new one.
    pub why: Option<String>,
}

impl Settled {
    fn new() -> Self {
        Self { outcome: Outcome::New, why: None }
    }
    fn old(why: String) -> Self {
        Self { outcome: Outcome::Old, why: Some(why) }
    }
    fn left(why: String) -> Self {
        Self { outcome: Outcome::LeftAlone, why: Some(why) }
    }
}

/// What is where, when nothing is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sight {
    is_server_there: bool,
    has_new: bool,
    /// Id of the attachment of the old one to the server.
    old: Option<String>,
    /// A server that has the new one and is none of those it is for.
    elsewhere: Option<String>,
    /// Why the new one cannot be attached.
    fault: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Leave(String),
    PutBack(String),
    Detach,
    Attach,
}

/// Brings the new volume into the old one's place; `places` are all servers it is for. Where Nova does not take it, the server has
/// the old one in the end. What others have begun with the volumes is waited for until `until` of the cloud's timer, or as long as
/// for anything.
///
/// # Errors
/// When it is not known what the server has, or it has neither: the mark must stay, and the next one tries again.
pub async fn resume(
    cloud: &Cloud,
    exchange: &Exchange,
    places: &[String],
    until: Option<Duration>,
) -> Result<Settled, CloudError> {
    match next(exchange, look(cloud, exchange, places, until).await?) {
        Step::Nothing => Ok(Settled::new()),
        Step::Leave(why) => Ok(Settled::left(why)),
        Step::PutBack(why) => put_back(cloud, exchange, why).await,
        Step::Attach => attach(cloud, exchange).await,
        Step::Detach => {
            if let Err(error) = attachments::detach(cloud, &exchange.server, &exchange.old).await
                && has(cloud, &exchange.server, &exchange.old).await?
            {
                if !error.is_refusal() {
                    return Err(error);
                }
                // Or Nova was at it already: another agent had asked, or the one that is gone.
                if look(cloud, exchange, places, until).await?.old.is_some() {
                    return Ok(Settled::old(error.to_string()));
                }
            }
            attach(cloud, exchange).await
        }
    }
}

/// Id of a volume's attachment to a server, as Cinder has it.
pub fn attachment_at(volume: &Volume, server: &str) -> Option<String> {
    let mut rows = volume.attachments().into_iter();
    let row = rows.find(|row| row.get("server_id").and_then(Value::as_str) == Some(server))?;
    Some(row.get("attachment_id").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn next(exchange: &Exchange, sight: Sight) -> Step {
    let Exchange { new, old, server, .. } = exchange;
    if !sight.is_server_there {
        return Step::Leave(format!("server {server} is not in this project any more"));
    }
    if sight.has_new {
        return Step::Nothing;
    }
    if sight.old.as_ref().is_some_and(|attachment| *attachment != exchange.attachment) {
        return Step::Leave(format!("somebody has attached volume {old} to server {server} again"));
    }
    if let Some(other) = sight.elsewhere {
        return Step::Leave(format!("somebody has attached volume {new} to server {other}"));
    }
    match (sight.fault, sight.old) {
        (Some(fault), _) => Step::PutBack(fault),
        (None, Some(_)) => Step::Detach,
        (None, None) => Step::Attach,
    }
}

/// Looks until Nova and Cinder are done with both volumes and tell the same.
async fn look(
    cloud: &Cloud,
    exchange: &Exchange,
    places: &[String],
    until: Option<Duration>,
) -> Result<Sight, CloudError> {
    let Exchange { new, old, server, .. } = exchange;
    let order =
        Wanted::new(format!("volume {new} in the place of volume {old} at server {server}"), "at rest");
    cloud
        .wait_for(order.until(until), || async move {
            let Some(has) = volumes_of(cloud, server).await? else {
                return Ok(Look::Ready(Sight::default()));
            };
            let old = found(volumes::show(cloud, old).await)?;
            let new = found(volumes::show(cloud, new).await)?;
            Ok(sight(exchange, (has.as_slice(), places), new.as_ref(), old.as_ref()))
        })
        .await
}

/// `has` are the volumes that Nova gives to the server.
fn sight(
    exchange: &Exchange,
    (has, places): (&[String], &[String]),
    new: Option<&Volume>,
    old: Option<&Volume>,
) -> Look<Sight> {
    let mut sight = Sight { is_server_there: true, ..Sight::default() };
    if has.contains(&exchange.old) {
        let state = old.map_or("gone", Volume::status);
        if state.starts_with("error") {
            return Look::Never { state: state.to_owned(), detail: format!("volume {}", exchange.old) };
        }
        sight.old = old.filter(|old| rests(old)).and_then(|old| attachment_at(old, &exchange.server));
        if sight.old.is_none() {
            return Look::NotYet(format!("volume {} is {state}", exchange.old));
        }
    }
    let Some(new) = new else {
        sight.fault = Some(format!("volume {} is gone", exchange.new));
        return Look::Ready(sight);
    };
    if new.status().starts_with("error") {
        sight.fault = Some(format!("volume {} is {}", exchange.new, new.status()));
        return Look::Ready(sight);
    }
    sight.has_new = attachment_at(new, &exchange.server).is_some();
    if !rests(new) || sight.has_new != has.contains(&exchange.new) {
        return Look::NotYet(format!("volume {} is {}", exchange.new, new.status()));
    }
    let servers = new.attachments().into_iter().filter_map(|row| row.get("server_id")?.as_str());
    let mut others = servers.filter(|id| !places.iter().any(|place| place == id));
    sight.elsewhere = others.next().map(str::to_owned);
    Look::Ready(sight)
}

/// While Nova is at work Cinder tells reserved, attaching or detaching.
fn rests(volume: &Volume) -> bool {
    matches!(volume.status(), "available" | "in-use")
}

/// None of what is not there.
pub(super) fn found<T>(shown: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match shown {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ids of the volumes that Nova gives to a server; none when there is no such server in the project. Those that it is just
/// attaching or detaching are among them.
async fn volumes_of(cloud: &Cloud, server: &str) -> Result<Option<Vec<String>>, CloudError> {
    let Some(shown) = found(servers::show(cloud, server).await)? else { return Ok(None) };
    let is_gone = matches!(shown.status(), "DELETED" | "SOFT_DELETED");
    // A login with the role of an administrator sees servers of all projects.
    if is_gone || shown.project_id() != cloud.project_id().await? {
        return Ok(None);
    }
    let Some(rows) = found(servers::volumes(cloud, server).await)? else { return Ok(None) };
    let ids = rows.iter().filter_map(|row| row.get("volumeId").and_then(Value::as_str));
    Ok(Some(ids.map(str::to_owned).collect()))
}

async fn has(cloud: &Cloud, server: &str, volume: &str) -> Result<bool, CloudError> {
    let ids = volumes_of(cloud, server).await?;
    Ok(ids.is_some_and(|ids| ids.iter().any(|id| id == volume)))
}

/// Attaches one; also right when another agent has been faster.
async fn attach_one(cloud: &Cloud, exchange: &Exchange, volume: &str) -> Result<(), CloudError> {
    let server = &exchange.server;
    let attached = attachments::attach(cloud, server, volume, exchange.device.as_deref()).await;
    if attached.is_err() && has(cloud, server, volume).await? {
        return attachments::settled(cloud, (server, volume), true).await;
    }
    attached
}

async fn attach(cloud: &Cloud, exchange: &Exchange) -> Result<Settled, CloudError> {
    let Err(error) = attach_one(cloud, exchange, &exchange.new).await else { return Ok(Settled::new()) };
    if has(cloud, &exchange.server, &exchange.new).await? {
        // It is still under way.
        return Err(error);
    }
    put_back(cloud, exchange, error.to_string()).await
}

/// The server shall not be left with less than it had.
async fn put_back(cloud: &Cloud, exchange: &Exchange, why: String) -> Result<Settled, CloudError> {
    let Exchange { old, server, .. } = exchange;
    if has(cloud, server, old).await? {
        return Ok(Settled::old(why));
    }
    let project = cloud.project_id().await?;
    let Some(volume) = found(volumes::show(cloud, old).await)?.filter(|volume| volume.is_of(&project)) else {
        return Ok(Settled::left(format!("{why}; volume {old} is gone, too")));
    };
    if !volume.attachments().is_empty() && !volume.is_multiattach() {
        return Ok(Settled::left(format!("{why}; volume {old} is at another server by now")));
    }
    match attach_one(cloud, exchange, old).await {
        Ok(()) => Ok(Settled::old(why)),
        Err(again) => Err(CloudError::Choice {
            what: format!("server {server}"),
            cause: format!("has neither volume: {why}; {again}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn volume(status: &str, at: &[(&str, &str)]) -> Volume {
        let rows: Vec<Value> =
            at.iter().map(|(server, id)| json!({"server_id": server, "attachment_id": id})).collect();
        Volume { document: json!({"status": status, "attachments": rows}) }
    }

    /// What follows from what the server has, and from the volumes; none: it is looked again.
    fn follows(has: &[&str], new: Option<Volume>, old: Option<Volume>) -> Option<Step> {
        let has: Vec<String> = has.iter().map(|id| (*id).to_owned()).collect();
        let places = ["s".to_owned(), "t".to_owned()];
        let exchange = Exchange::at_one_server();
        match sight(&exchange, (has.as_slice(), places.as_slice()), new.as_ref(), old.as_ref()) {
            Look::Ready(sight) => Some(next(&exchange, sight)),
            Look::NotYet(_) => None,
            Look::Never { state, .. } => panic!("{state}"),
        }
    }

    #[test]
    fn a_server_gets_the_new_one_from_wherever_it_stands() {
        let free = || Some(volume("available", &[]));
        let original = || Some(volume("in-use", &[("s", "first")]));
        assert_eq!(follows(&["old"], free(), original()), Some(Step::Detach));
        assert_eq!(follows(&["old"], free(), Some(volume("detaching", &[("s", "first")]))), None);
        assert_eq!(follows(&[], free(), free()), Some(Step::Attach));
        // Deleted meanwhile, or where it is nobody's business.
        assert_eq!(follows(&[], free(), None), Some(Step::Attach));
        assert_eq!(follows(&[], free(), Some(volume("in-use", &[("x", "other")]))), Some(Step::Attach));
        // Nova has been asked for it, and is at it.
        assert_eq!(follows(&["new"], Some(volume("reserved", &[])), free()), None);
        assert_eq!(follows(&["new"], Some(volume("in-use", &[("t", "a")])), free()), None);
        assert_eq!(follows(&["new"], Some(volume("in-use", &[("s", "a")])), free()), Some(Step::Nothing));
        // Another server that it is for has it already.
        assert_eq!(follows(&[], Some(volume("in-use", &[("t", "a")])), free()), Some(Step::Attach));
    }

    #[test]
    fn what_somebody_else_did_is_left_alone() {
        let free = || Some(volume("available", &[]));
        let again = Some(volume("in-use", &[("s", "second")]));
        let Some(Step::Leave(why)) = follows(&["old"], free(), again) else { panic!() };
        assert!(why.contains("volume old") && why.contains("again"), "{why}");
        let taken = Some(volume("in-use", &[("x", "a")]));
        let Some(Step::Leave(why)) = follows(&[], taken, free()) else { panic!() };
        assert!(why.contains("volume new") && why.contains("server x"), "{why}");
        let unseen = next(&Exchange::at_one_server(), Sight::default());
        assert!(matches!(unseen, Step::Leave(why) if why.contains("server s")));
    }

    #[test]
    fn without_a_new_one_the_old_one_is_put_back() {
        let free = || Some(volume("available", &[]));
        for (new, word) in [(None, "gone"), (Some(volume("error", &[])), "error")] {
            let Some(Step::PutBack(why)) = follows(&[], new, free()) else { panic!("{word}") };
            assert!(why.contains(word), "{why}");
        }
    }
}
