//! Action info: what backups the storage holds, with their levels, sizes and standing.

use super::backup::people;
use super::{ActionError, Done};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::catalogue::{self, Level, Standing};
use freezer_vault::hold::{self, Held};
use freezer_vault::upstream::{list_layout_a, list_volumes};
use freezer_vault::{Engine, Hbn, VaultError};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub async fn info(options: &ActionOptions, around: &Surroundings) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let mut summary = vec![format!(
        "{:<40} {:>5}  {:<20} {:>8} {:>10} {:<6} {}",
        "backup", "level", "time (UTC)", "age", "stored", "codec", "standing"
    )];
    let mut backups = Vec::new();
    let mut found: Vec<_> = all(&store).await?.into_iter().map(|hbn| (hbn, store.clone())).collect();
    found.retain(|(hbn, _)| is_meant(options, hbn.as_str()));
    found.extend(only_read(options, &store).await?);
    for (hbn, store) in found {
        let found = catalogue::list(&store, &hbn).await?;
        let holds = hold::list(&store, &hbn).await?;
        for (chain, level) in
            found.chains.iter().flat_map(|chain| chain.levels.iter().map(move |level| (chain, level)))
        {
            let held = holds.of(&level.id, around.now_secs);
            summary.push(row(hbn.as_str(), level, around.now_secs));
            summary.extend(held.map(|held| format!("{:<40}        {held}", "")));
            backups.push(describe(hbn.as_str(), chain.timestamp, level, held, around.now_secs));
        }
    }
    let mut result = Map::new();
    result.insert("info".into(), json!({"storage": store.describe(), "backups": backups}));
    Ok(Done { result, summary, partial: false })
}

/// Everything in the container.
pub(super) async fn all(store: &Arc<dyn Store>) -> Result<Vec<Hbn>, VaultError> {
    let mut hbns = Vec::new();
    for engine in [Engine::Tar, Engine::Image, Engine::Set] {
        hbns.extend(catalogue::list_hbns(store, engine).await?);
    }
    Ok(hbns)
}

/// What upstream's other engines and its older layout left there, as far as it is meant, each with a store that shows it in today's
/// layout. It can be restored, and nothing else is done with it.
pub(super) async fn only_read(
    options: &ActionOptions,
    store: &Arc<dyn Store>,
) -> Result<Vec<(Hbn, Arc<dyn Store>)>, VaultError> {
    let mut found = Vec::new();
    for engine in [Engine::Rsync, Engine::Osbrick, Engine::Nova, Engine::Glance] {
        let of_engine = catalogue::list_hbns(store, engine).await?;
        found.extend(of_engine.into_iter().map(|hbn| (hbn, store.clone())));
    }
    found.extend(list_layout_a(store).await?);
    found.extend(list_volumes(store).await?);
    found.retain(|(hbn, _)| match hbn.engine() {
        // Named by its id; of no host.
        Engine::Cinder if options.is_default_name => options.is_own_hostname,
        Engine::Cinder => options.backup_name == hbn.as_str(),
        _ => is_meant(options, hbn.as_str()),
    });
    Ok(found)
}

/// With `hostname` those of that host, with `backup_name` those of that name and what belongs to it (disks of a server, members of a
/// project), which are named behind it.
pub(super) fn is_meant(options: &ActionOptions, hbn: &str) -> bool {
    let name = (!options.is_default_name).then_some(options.backup_name.as_str());
    let host = (!options.is_own_hostname).then_some(options.hostname.as_str());
    let is_named = |rest: &str, name: &str| {
        rest.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '/']))
    };
    match (host, name) {
        (None, None) => true,
        (Some(host), None) => hbn.strip_prefix(host).is_some_and(|rest| rest.starts_with('_')),
        (Some(host), Some(name)) => is_named(hbn, &format!("{host}_{name}")),
        // Where the host's name ends cannot be seen: both may hold `_`.
        (None, Some(name)) => {
            hbn.match_indices('_').any(|(at, _)| is_named(hbn.get(at + 1..).unwrap_or_default(), name))
        }
    }
}

/// The two greatest units: `3d 4h`.
fn age(secs: i64) -> String {
    let secs = secs.max(0);
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

fn standing(level: &Level) -> String {
    match &level.standing {
        Standing::Complete => "complete".to_owned(),
        Standing::Upstream => "complete (made by another Freezer)".to_owned(),
        Standing::Uncommitted => "not finished".to_owned(),
        Standing::Damaged(cause) => format!("DAMAGED: {cause}"),
    }
}

fn row(hbn: &str, level: &Level, now_secs: i64) -> String {
    let time = chrono::DateTime::from_timestamp(level.id.timestamp, 0);
    let time = time
        .map_or_else(|| level.id.timestamp.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let size = level.stored_bytes().map_or_else(|| "?".to_owned(), people);
    let codec = level.compression().map_or("?", |codec| codec.name());
    let age = age(now_secs.saturating_sub(level.id.timestamp));
    let secret = if level.is_encrypted() { ", encrypted" } else { "" };
    format!(
        "{hbn:<40} {:>5}  {time:<20} {age:>8} {size:>10} {codec:<6} {}{secret}",
        level.id.level,
        standing(level)
    )
}

fn describe(hbn: &str, chain: i64, level: &Level, held: Option<&Held>, now_secs: i64) -> Value {
    let source = level.manifest().and_then(|manifest| manifest.source.as_ref());
    json!({
        "age_secs": now_secs.saturating_sub(level.id.timestamp),
        "source": source.and_then(|source| source.name.as_deref()),
        "name": hbn,
        "chain_time_stamp": chain,
        "time_stamp": level.id.timestamp,
        "level": level.id.level,
        "standing": standing(level),
        "bytes_stored": level.stored_bytes(),
        "compression": level.compression().map(|codec| codec.name()),
        "encrypted": level.is_encrypted(),
        "held": held.map(|held| held.hold.as_ref().map_or_else(|| json!({"reason": held.to_string()}), |hold| json!(hold))),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::options::Values;

    fn meant(options: Value, hbn: &str) -> bool {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        values.fill(json!({"action": "info", "storage": "local"}).as_object().unwrap());
        is_meant(&ActionOptions::from_values(&values, "own").unwrap(), hbn)
    }

    #[test]
    fn host_and_name_choose() {
        for (options, hbn, is_meant) in [
            (json!({}), "any_thing", true),
            (json!({"hostname": "web"}), "web_daily", true),
            (json!({"hostname": "web"}), "web2_daily", false),
            (json!({"hostname": "web", "backup_name": "daily"}), "web_daily", true),
            (json!({"hostname": "web", "backup_name": "daily"}), "web_daily_disk-1", true),
            (json!({"hostname": "web", "backup_name": "daily"}), "web_daily2", false),
            (json!({"backup_name": "daily"}), "web_daily", true),
            (json!({"backup_name": "daily"}), "web_1_daily/image", true),
            (json!({"backup_name": "daily"}), "web_notdaily", false),
        ] {
            assert_eq!(meant(options.clone(), hbn), is_meant, "{options} {hbn}");
        }
    }

    #[test]
    fn ages_for_people() {
        let ages = [-5, 59, 3599, 3600, 90_000, 400 * 86_400].map(age);
        assert_eq!(ages, ["0m", "0m", "59m", "1h 0m", "1d 1h", "400d 0h"]);
    }
}
