//! What a step gave is kept up to a size: an agent's report is never refused for its length, and no row grows without end. The
//! whole of a result is used first: what is left out is only not shown.

use freezer_model::document::{shorten, shorten_text, text_bytes};
use freezer_model::{Progress, Run, Step};
use serde_json::{Map, Value, json};

/// Bytes of one step's result.
const RESULT_BYTES: usize = 64 << 10;
/// Bytes of the results of all steps of a run.
const RESULTS_BYTES: usize = 1 << 20;
/// Bytes of a backup record's metadata.
const METADATA_BYTES: usize = 1 << 20;
const TEXT_CHARACTERS: usize = 4096;
const WORD_CHARACTERS: usize = 64;
/// Lines of a step's log, the last ones, and characters of a line.
const LOG_LINES: usize = 100;
const LINE_CHARACTERS: usize = 400;
/// Steps of a run whose logs are kept, the last ones.
const LOGS: usize = 20;
/// Steps of a run: an action may be tried again very often.
const STEPS: usize = 400;

pub(crate) fn progress(mut said: Progress) -> Progress {
    shorten_text(&mut said.phase, WORD_CHARACTERS);
    if let Some(path) = &mut said.current_path {
        shorten_text(path, TEXT_CHARACTERS);
    }
    let surplus = said.log.len().saturating_sub(LOG_LINES);
    said.log.drain(..surplus);
    said.log.iter_mut().for_each(|line| shorten_text(line, LINE_CHARACTERS));
    said
}

pub(crate) fn error(text: Option<String>) -> Option<String> {
    text.map(|mut text| {
        shorten_text(&mut text, TEXT_CHARACTERS);
        text
    })
}

pub(crate) fn result(said: &Map<String, Value>) -> Map<String, Value> {
    let mut result = said.clone();
    shorten(&mut result, RESULT_BYTES, &["backup_metadata"]);
    result
}

/// What belongs to each of a backup's resources stays as long as anything does: rotation finds its records by it.
pub(crate) fn metadata(metadata: &mut Map<String, Value>) {
    shorten(
        metadata,
        METADATA_BYTES,
        &["servers", "images", "container", "hostname", "backup_name", "time_stamp", "bytes_stored"],
    );
}

/// Keeps a run within bounds: results and logs of its oldest steps go, and of very many steps those in the middle.
pub(crate) fn steps(run: &mut Run) {
    if run.steps.len() > STEPS {
        let surplus = run.steps.len() - STEPS;
        run.steps.drain(STEPS / 2..STEPS / 2 + surplus);
    }
    let older = run.steps.len().saturating_sub(LOGS);
    run.steps.iter_mut().take(older).for_each(|step| step.log.clear());
    let size = |step: &Step| if step.result.is_empty() { 0 } else { text_bytes(&step.result) };
    let mut sum: usize = run.steps.iter().map(size).sum();
    for step in &mut run.steps {
        if sum <= RESULTS_BYTES {
            return;
        }
        let bytes = size(step);
        if bytes > 0 {
            step.result = Map::from_iter([("bytes_left_out".to_owned(), json!(bytes))]);
            sum = sum.saturating_sub(bytes);
        }
    }
}
