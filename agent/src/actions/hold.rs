//! Actions hold and release: a backup is kept from rotation, with a reason and perhaps until a time, and let go again.

use super::verify::named;
use super::{ActionError, Done};
use crate::options::typed::{ActionKind, ActionOptions};
use crate::storages::{Surroundings, open_store};
use freezer_model::clock::time_text;
use freezer_vault::hold::{self, HoldReport, HoldRequest};
use serde_json::{Map, json};

pub async fn hold(options: &ActionOptions, around: &Surroundings) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let mut reports: Vec<HoldReport> = Vec::new();
    for hbn in named(options, &store).await? {
        let request = HoldRequest {
            not_after_secs: options.restore_from_date,
            by: options.hold.by.clone(),
            reason: options.hold.reason.clone(),
            until_secs: options.hold.until_secs,
            ..HoldRequest::new(hbn, around.present_secs())
        };
        match options.action {
            ActionKind::Release => reports.extend(hold::release(&store, &request).await?),
            _ => reports.push(hold::place(&store, &request).await?),
        }
    }
    let word = if options.action == ActionKind::Release { "Released" } else { "Held" };
    let summary = reports.iter().map(|report| line(word, report)).collect();
    let mut result = Map::new();
    result.insert(options.action.as_str().into(), json!({"backups": reports}));
    Ok(Done { result, summary, partial: false })
}

fn line(word: &str, report: &HoldReport) -> String {
    let members = match report.members {
        0 => String::new(),
        count => format!(", with {count} members"),
    };
    let time = time_text(report.timestamp);
    format!("{word:<12} {}, level {} of {time}{members}", report.hbn, report.level)
}
