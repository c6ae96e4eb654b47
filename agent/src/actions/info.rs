//! Action info: what backups the storage holds, with their levels, sizes and standing.

use super::backup::people;
use super::{ActionError, Done};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_vault::Engine;
use freezer_vault::catalogue::{self, Level, Standing};
use serde_json::{Map, Value, json};

pub async fn info(options: &ActionOptions, around: &Surroundings) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let mut summary = vec![format!(
        "{:<40} {:>5}  {:<20} {:>10} {:<6} {}",
        "backup", "level", "time (UTC)", "stored", "codec", "standing"
    )];
    let mut backups = Vec::new();
    let mut hbns = catalogue::list_hbns(&store, Engine::Tar).await?;
    for engine in [Engine::Image, Engine::Set] {
        hbns.extend(catalogue::list_hbns(&store, engine).await?);
    }
    for hbn in hbns {
        let found = catalogue::list(&store, &hbn).await?;
        for (chain, level) in
            found.chains.iter().flat_map(|chain| chain.levels.iter().map(move |level| (chain, level)))
        {
            summary.push(row(hbn.as_str(), level));
            backups.push(describe(hbn.as_str(), chain.timestamp, level));
        }
    }
    let mut result = Map::new();
    result.insert("info".into(), json!({"storage": store.describe(), "backups": backups}));
    Ok(Done { result, summary, partial: false })
}

fn standing(level: &Level) -> String {
    match &level.standing {
        Standing::Complete => "complete".to_owned(),
        Standing::Upstream => "complete (made by another Freezer)".to_owned(),
        Standing::Uncommitted => "not finished".to_owned(),
        Standing::Damaged(cause) => format!("DAMAGED: {cause}"),
    }
}

fn row(hbn: &str, level: &Level) -> String {
    let time = chrono::DateTime::from_timestamp(level.id.timestamp, 0);
    let time = time
        .map_or_else(|| level.id.timestamp.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let size = level.stored_bytes().map_or_else(|| "?".to_owned(), people);
    let codec = level.compression().map_or("?", |codec| codec.name());
    format!("{hbn:<40} {:>5}  {time:<20} {size:>10} {codec:<6} {}", level.id.level, standing(level))
}

fn describe(hbn: &str, chain: i64, level: &Level) -> Value {
    json!({
        "name": hbn,
        "chain_time_stamp": chain,
        "time_stamp": level.id.timestamp,
        "level": level.id.level,
        "standing": standing(level),
        "bytes_stored": level.stored_bytes(),
        "compression": level.compression().map(|codec| codec.name()),
        "encrypted": level.is_encrypted(),
    })
}
