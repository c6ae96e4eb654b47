//! Waiting for runs, with a bar that shows what the service reports.

use super::rest::Rest;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A run takes longer than this only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(1800);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits for a run of the job that `wanted` accepts to end, and answers it. Fails unless it succeeded.
pub async fn next_run(
    rest: &Rest,
    job_id: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, String> {
    let began = Instant::now();
    let bar = bar(what);
    loop {
        let runs = rest.get(&format!("/jobs/{job_id}/runs?limit=100")).await?;
        let run = runs
            .get("runs")
            .and_then(Value::as_array)
            .and_then(|runs| runs.iter().find(|run| wanted(run)).cloned());
        if let Some(run) = run {
            show(&bar, &run);
            match text(&run, "state") {
                "success" => {
                    bar.finish_and_clear();
                    return rest.get(&format!("/runs/{}", text(&run, "run_id"))).await;
                }
                "fail" | "aborted" | "partial" => {
                    bar.finish_and_clear();
                    let whole = rest.get(&format!("/runs/{}", text(&run, "run_id"))).await?;
                    return Err(format!("the {what} ended as {}: {whole:#}", text(&run, "state")));
                }
                _ => {}
            }
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the {what} did not end within {} minutes", PATIENCE.as_secs() / 60));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

fn bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = "  {spinner} {prefix:<9} [{bar:30}] {msg}  eta {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    bar
}

fn show(bar: &ProgressBar, run: &Value) {
    let (done, total) = (number(run, "/progress/bytes_done"), number(run, "/progress/bytes_total"));
    bar.set_length(total.max(done).max(1));
    bar.set_position(done);
    let files = number(run, "/progress/files_done");
    let rate = number(run, "/progress/rate");
    bar.set_message(format!(
        "{} of {}, {files} files, {}/s",
        HumanBytes(done),
        HumanBytes(total.max(done)),
        HumanBytes(rate)
    ));
}
