//! Action verify: backups are read again, and every hash and authentication code is checked; nothing is restored.

use super::backup::people;
use super::{ActionError, Damage, Done, chains};
use crate::openstack::{image, server};
use crate::options::medium::Medium;
use crate::options::typed::{ActionOptions, VerifyScope};
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::set::{self, MemberVerdict};
use freezer_vault::verify::{self, Scope, Verdict, VerifyRequest};
use freezer_vault::{Engine, Hbn, Monitor, Sample};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Lines about single faults in a summary; the result holds all.
const MOST_LINES: usize = 20;

pub async fn verify(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let pass_phrase = options.pass_phrase()?;
    let scope = match (options.restore_from_date, options.verify_scope) {
        (Some(limit), _) => Scope::AsOf(limit),
        (None, VerifyScope::Newest) => Scope::Newest,
        (None, VerifyScope::All) => Scope::All,
    };
    let mut findings = Findings::default();
    for hbn in named(options, &store).await? {
        let sample = options.verify_sample.map(|percent| Sample { percent, seed: seed(around) });
        let request = VerifyRequest { hbn, scope, pass_phrase: pass_phrase.clone(), sample };
        findings.check(&store, request, &monitor).await?;
    }
    findings.done()
}

/// The day: what one check passes over, another one reads.
fn seed(around: &Surroundings) -> String {
    around.now_secs.div_euclid(86_400).to_string()
}

/// Names of what the action means, as its restore would find them.
pub(super) async fn named(options: &ActionOptions, store: &Arc<dyn Store>) -> Result<Vec<Hbn>, ActionError> {
    let of = |engine: Engine| Hbn::of(engine, &options.hostname, &options.backup_name);
    Ok(match &options.medium {
        Medium::Servers(pick) => server::sets(options, pick, store).await?,
        Medium::Images(pick) => image::chains(options, pick, store).await?,
        Medium::Project => vec![of(Engine::Set)?],
        medium if medium.is_archive() => chains::verified(options, store).await?,
        _ => vec![of(Engine::Image)?],
    })
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    reports: Vec<Value>,
    levels: u64,
    bytes: u64,
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    async fn check(
        &mut self,
        store: &Arc<dyn Store>,
        request: VerifyRequest,
        monitor: &Arc<Monitor>,
    ) -> Result<(), ActionError> {
        if request.hbn.engine() != Engine::Set {
            let report = verify::verify(store.clone(), request, monitor.clone()).await?;
            self.take(&report.hbn, &report.levels);
            self.reports.push(json!(report));
            return Ok(());
        }
        let report = set::verify(store.clone(), request, monitor.clone()).await?;
        self.take(&report.set.hbn, &report.set.levels);
        for MemberVerdict { member, fault, levels } in &report.members {
            let name = member.hbn()?.to_string();
            self.faults.extend(fault.iter().map(|cause| format!("{name}: {cause}")));
            self.take(&name, levels);
        }
        self.reports.push(json!(report));
        Ok(())
    }

    fn take(&mut self, name: &str, levels: &[Verdict]) {
        for verdict in levels {
            let place = format!("{name} level {} of {}", verdict.level, verdict.timestamp);
            self.levels += 1;
            self.bytes = self.bytes.saturating_add(verdict.bytes_checked);
            self.faults.extend(verdict.faults.iter().map(|cause| format!("{place}: {cause}")));
            self.notes.extend(verdict.notes.iter().map(|text| format!("{place}: {text}")));
        }
    }

    fn done(self) -> Result<Done, ActionError> {
        let Self { reports, levels, bytes, faults, notes } = self;
        let mut summary = vec![format!("Checked      {levels} levels, {} read again", people(bytes))];
        let lines = |word: &'static str, texts: &[String]| -> Vec<String> {
            texts.iter().take(MOST_LINES).map(|text| format!("{word:<12} {text}")).collect()
        };
        summary.extend(lines("DAMAGED", &faults));
        summary.extend(lines("Note", &notes));
        let mut result = Map::new();
        let is_sound = faults.is_empty();
        let told =
            json!({"is_sound": is_sound, "levels": levels, "bytes_checked": bytes, "reports": reports});
        result.insert("verify".into(), told);
        let Some(first) = faults.first() else {
            summary.push("Result       everything is as it was written".to_owned());
            return Ok(Done { result, summary, partial: false });
        };
        let places =
            if faults.len() == 1 { "one place".to_owned() } else { format!("{} places", faults.len()) };
        let text = format!(
            "damaged in {places}: {first}; restore an older date, and take a new full backup (incremental=false)"
        );
        Err(ActionError::Damaged(Box::new(Damage { text, summary, result })))
    }
}
