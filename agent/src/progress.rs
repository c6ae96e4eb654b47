//! Progress of an action: as messages for the daemon, and as a bar for a terminal.

use freezer_model::Progress;
use freezer_vault::Monitor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Rates are an average over this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Turns a monitor's counters into progress messages with a rate.
pub struct Meter {
    began: Instant,
    seen: VecDeque<(Duration, u64)>,
}

impl Meter {
    pub fn new() -> Self {
        Self { began: Instant::now(), seen: VecDeque::new() }
    }

    pub fn read(&mut self, monitor: &Monitor) -> Progress {
        let now = monitor.progress();
        let elapsed = self.began.elapsed();
        self.seen.push_back((elapsed, now.bytes_read));
        while self.seen.len() > 2
            && self.seen.front().is_some_and(|(at, _)| elapsed.saturating_sub(*at) > RATE_WINDOW)
        {
            self.seen.pop_front();
        }
        let rate = match self.seen.front() {
            Some((at, bytes)) if elapsed > *at => {
                let seconds = elapsed.saturating_sub(*at).as_secs_f64();
                (now.bytes_read.saturating_sub(*bytes) as f64 / seconds) as u64
            }
            _ => 0,
        };
        let phase = serde_json::to_value(now.phase).ok().and_then(|phase| phase.as_str().map(str::to_owned));
        Progress {
            phase: phase.unwrap_or_default(),
            bytes_done: now.bytes_read,
            bytes_total: now.bytes_total,
            bytes_stored: now.bytes_stored,
            files_done: now.files,
            files_total: now.files_total,
            errors: now.errors,
            rate,
            current_path: (!now.current.is_empty()).then_some(now.current),
            log: Vec::new(),
        }
    }
}

/// A bar on standard error; draws nothing when that is no terminal.
pub fn bar(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template(
        "{spinner} {prefix:<12} {wide_bar} {bytes}/{total_bytes} {msg} {bytes_per_sec} eta {eta}",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// Shows `progress` on the bar.
pub fn show(bar: &ProgressBar, progress: &Progress) {
    if let Some(total) = progress.bytes_total {
        bar.set_length(total.max(progress.bytes_done));
    }
    bar.set_position(progress.bytes_done);
    bar.set_prefix(progress.phase.clone());
    bar.set_message(format!("{} files", progress.files_done));
}
