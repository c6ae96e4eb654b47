//! Logging installed for a whole process: records of the `log` crate, panics, the configuration's warnings, stderr.
//! The test runs itself again as a child, because a subscriber can be installed only once in a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use oslo_config::{LoadArgs, Registry};

const MARK: &str = "OSLO_LOG_TEST_FILE";

#[test]
fn child() {
    let Ok(file) = std::env::var(MARK) else { return };
    let config = Registry::new("backup", "prog")
        .groups_of(oslo_log::options())
        .load(LoadArgs::default().file(&file))
        .unwrap();
    oslo_log::setup(&config, "prog").unwrap();
    assert!(oslo_log::setup(&config, "prog").is_err(), "twice");
    log::warn!(target: "library::part", "said with log, token=hush");
    log::debug!(target: "library::part", "not shown");
    tracing::info!(target: "svc", "said with tracing");
    let span = oslo_log::span(&oslo_log::RequestContext::new("req-a"));
    let outcome = std::thread::spawn(move || span.in_scope(|| panic!("no {}", "way"))).join();
    assert!(outcome.is_err());
}

#[test]
fn a_process_logs_everything_to_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    std::fs::write(&file, "[DEFAULT]\nrate_limit_burst = 3\n").unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(MARK, &file)
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("20"))
        .map(|line| line.splitn(4, ' ').last().unwrap())
        .collect();
    let unknown = format!(
        "WARNING oslo_config [-] {}:2: option rate_limit_burst of section [DEFAULT] is unknown and ignored",
        file.display()
    );
    assert_eq!(
        lines[..4],
        [
            unknown.as_str(),
            "WARNING library.part [-] said with log, token=***",
            "INFO svc [-] said with tracing",
            "CRITICAL prog [None req-a - - - - - -] Unhandled error: panic: no way",
        ],
        "{text}"
    );
    assert!(lines[4].starts_with("ERROR prog panicked at "), "{text}");
}
