//! The steps of a run: what is begun, and what comes after it: the next action, another attempt, or the end.
//!
//! An action runs when all earlier ones ended well or it is mandatory. A partial backup ended well enough: it is not tried
//! again and does not close the gate. A lost agent says nothing about the action: its attempt does not count, but a run
//! that loses agents too often fails.

use crate::{JobResult, Run, RunState, Step, StepOutcome, Timestamp};
use std::time::Duration;

/// The step that is being done, or was last.
pub fn current_step(run: &mut Run) -> Option<&mut Step> {
    let epoch = run.epoch;
    run.steps.iter_mut().rev().find(|step| step.epoch == epoch)
}

/// Puts the run at its next step, under a new epoch. The run has an action left.
pub fn hand_out(run: &mut Run) {
    run.epoch = run.epoch.next();
    run.attempt += 1;
    run.state = RunState::Dispatched;
    run.error = None;
    run.waiting_for = None;
    run.steps.push(Step {
        action_index: run.action_index,
        attempt: run.attempt,
        epoch: run.epoch,
        started_at: None,
        finished_at: None,
        outcome: None,
        exit_code: None,
        error: None,
        result: serde_json::Map::new(),
        log: Vec::new(),
    });
}

/// Takes back a step that never began, as if it had not been handed out; the epoch stays used.
pub fn take_back(run: &mut Run) {
    if current_step(run).is_some_and(|step| step.outcome.is_none()) {
        run.steps.pop();
    }
    run.attempt = (run.attempt - 1).max(0);
    run.state = RunState::Queued;
    run.is_unsent = false;
}

/// Notes the end of the current step and moves the run on: afterwards it is queued, or its `action_index` is behind
/// the last action. A run that has lost its agent more than `max_losses` times is not begun again.
pub fn settle(run: &mut Run, outcome: StepOutcome, now: Timestamp, max_losses: i32) {
    if let Some(step) = current_step(run) {
        step.outcome = Some(outcome);
        step.finished_at = Some(now);
    }
    run.state = RunState::Queued;
    // Ready at once, unless said otherwise below.
    run.attention_at = None;
    match outcome {
        StepOutcome::Success | StepOutcome::Partial | StepOutcome::Aborted | StepOutcome::Skipped => {
            next_action(run)
        }
        StepOutcome::Lost => {
            run.losses += 1;
            run.attempt = (run.attempt - 1).max(0);
            if run.losses > max_losses {
                next_action(run);
            }
        }
        StepOutcome::Fail => match run.actions.get(run.action_index) {
            Some(action) if run.attempt <= action.max_retries && !run.abort_requested => {
                let wait = u64::try_from(action.max_retries_interval).unwrap_or(0);
                run.attention_at = Some(now.plus(Duration::from_secs(wait)));
            }
            _ => next_action(run),
        },
    }
    if run.abort_requested {
        run.action_index = run.actions.len();
    }
    pass_over_skipped(run, now);
}

fn next_action(run: &mut Run) {
    run.action_index += 1;
    run.attempt = 0;
}

/// Goes to the next action that may run.
fn pass_over_skipped(run: &mut Run, now: Timestamp) {
    while let Some(action) = run.actions.get(run.action_index) {
        let is_open = (0..run.action_index).all(|index| ended_well(outcome_of(run, index)));
        if is_open || action.mandatory {
            return;
        }
        run.steps.push(Step {
            action_index: run.action_index,
            attempt: 0,
            epoch: run.epoch,
            started_at: None,
            finished_at: Some(now),
            outcome: Some(StepOutcome::Skipped),
            exit_code: None,
            error: Some("not run: an earlier action failed and this one is not mandatory".to_owned()),
            result: serde_json::Map::new(),
            log: Vec::new(),
        });
        next_action(run);
    }
}

fn ended_well(outcome: Option<StepOutcome>) -> bool {
    matches!(outcome, Some(StepOutcome::Success | StepOutcome::Partial))
}

/// How an action ended: by its last attempt.
fn outcome_of(run: &Run, index: usize) -> Option<StepOutcome> {
    run.steps.iter().rev().find(|step| step.action_index == index).and_then(|step| step.outcome)
}

/// The state of a run that has nothing left to do, and the error to show.
pub fn final_state(run: &Run) -> (RunState, Option<String>) {
    let outcomes: Vec<_> = (0..run.actions.len()).map(|index| outcome_of(run, index)).collect();
    let has = |wanted: StepOutcome| outcomes.contains(&Some(wanted));
    let all_well = outcomes.iter().all(|outcome| ended_well(*outcome));
    let state = if run.abort_requested && !all_well {
        RunState::Aborted
    } else if has(StepOutcome::Fail) || has(StepOutcome::Lost) || outcomes.contains(&None) {
        RunState::Fail
    } else if has(StepOutcome::Aborted) {
        RunState::Aborted
    } else if has(StepOutcome::Partial) {
        RunState::Partial
    } else {
        RunState::Success
    };
    (state, first_error(run))
}

fn first_error(run: &Run) -> Option<String> {
    let index = (0..run.actions.len()).find(|index| outcome_of(run, *index) != Some(StepOutcome::Success))?;
    let step = run.steps.iter().rev().find(|step| step.action_index == index)?;
    let text = match (&step.error, step.outcome) {
        (Some(error), _) => error.clone(),
        (None, Some(StepOutcome::Lost)) => "the agent was lost in the middle of the work".to_owned(),
        (None, Some(StepOutcome::Aborted)) => "aborted".to_owned(),
        (None, Some(StepOutcome::Partial)) => {
            "not everything could be saved; see the step's result".to_owned()
        }
        (None, _) => match step.exit_code {
            Some(code) => format!("the agent's process ended with exit status {code}"),
            None => "failed without a message".to_owned(),
        },
    };
    Some(format!("action {index}: {text}"))
}

/// Upstream's word for the end; `partial` is the one for a run that saved not everything.
pub fn job_result(state: RunState, partial: JobResult) -> JobResult {
    match state {
        RunState::Success => JobResult::Success,
        RunState::Partial => partial,
        RunState::Aborted => JobResult::Aborted,
        RunState::Fail => JobResult::Fail,
        RunState::Queued | RunState::Dispatched | RunState::Running => JobResult::None,
    }
}
