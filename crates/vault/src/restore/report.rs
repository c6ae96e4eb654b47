//! Putting the report of a restore together.

use super::journal::Outcome;
use super::{RestorePlan, RestoreReport, RestoreRequest};
use crate::VaultError;
use crate::monitor::Monitor;
use crate::problem::{FileProblem, Weight, readable};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// So many problems are reported in full.
pub(super) const MOST_PROBLEMS: usize = 1000;

/// Of a restore that has done nothing yet.
pub(super) fn begin(plan: &RestorePlan, request: &RestoreRequest, warnings: Vec<String>) -> RestoreReport {
    RestoreReport {
        hbn: plan.hbn.to_string(),
        chain_timestamp: plan.levels.first().map_or(0, |level| level.id.timestamp),
        timestamp: plan.levels.last().map_or(0, |level| level.id.timestamp),
        levels: plan.levels.iter().map(|level| level.id.timestamp).collect(),
        files: 0,
        already_there: 0,
        bytes_written: 0,
        bytes_fetched: 0,
        deleted: 0,
        spared: 0,
        is_partial: false,
        problems: Vec::new(),
        problem_count: 0,
        warnings: plan.warnings.iter().cloned().chain(warnings).collect(),
        dry_run: request.dry_run,
    }
}

/// What came of a level.
pub(super) fn add(report: &mut RestoreReport, outcome: Outcome, monitor: &Monitor) {
    report.files = report.files.saturating_add(outcome.members);
    report.is_partial |= outcome.is_partial;
    monitor.add_errors(outcome.problem_count);
    report.problem_count = report.problem_count.saturating_add(outcome.problem_count);
    let room = MOST_PROBLEMS.saturating_sub(report.problems.len());
    report.problems.extend(outcome.problems.into_iter().take(room));
}

pub(super) fn add_problems(report: &mut RestoreReport, problems: Vec<FileProblem>) {
    report.is_partial |= problems.iter().any(|problem| problem.weight == Weight::Partial);
    report.problem_count = report.problem_count.saturating_add(problems.len() as u64);
    let room = MOST_PROBLEMS.saturating_sub(report.problems.len());
    report.problems.extend(problems.into_iter().take(room));
}

/// Parts that the backup does not hold; all of them missing is an error.
pub(super) fn missing_parts(
    request: &RestoreRequest,
    target: &Path,
    report: &RestoreReport,
) -> Result<Vec<FileProblem>, VaultError> {
    let paths = request.extract.only.paths();
    let is_missing =
        |path: &&Vec<u8>| std::fs::symlink_metadata(target.join(OsStr::from_bytes(path))).is_err();
    let missing: Vec<String> = paths.iter().filter(is_missing).map(|path| readable(path)).collect();
    if !paths.is_empty() && missing.len() == paths.len() && report.problems.is_empty() {
        return Err(VaultError::NoSuchPath { hbn: report.hbn.clone(), paths: missing.join(", ") });
    }
    let reason = "the backup does not hold it at that time".to_owned();
    let problem = |path| FileProblem {
        path,
        kind: "missing".to_owned(),
        weight: Weight::Partial,
        reason: reason.clone(),
    };
    Ok(missing.into_iter().map(problem).collect())
}
