//! One action from the command line, as upstream's freezer-agent.

use crate::actions::{ActionError, Damage, Done, perform};
use crate::options::{ActionOptions, Values, command_line, ini};
use crate::progress::{Meter, bar, show};
use crate::step::{EXIT_ABORTED, EXIT_PARTIAL};
use crate::storages::Surroundings;
use crate::{config, serve};
use clap::ArgMatches;
use freezer_vault::Monitor;
use serde_json::{Map, Value};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs it and answers the exit status.
pub async fn run(matches: &ArgMatches) -> ExitCode {
    let prepared = prepare(matches);
    let (options, around) = match prepared {
        Ok(prepared) => prepared,
        Err(message) => return fail(&message, 1),
    };
    let monitor = Arc::new(Monitor::new());
    let ending = watch_signals(monitor.clone());
    let drawing = draw(monitor.clone(), options.quiet);
    let done = perform(&options, &around, monitor).await;
    ending.abort();
    drawing.abort();
    let hooks = around.trail.told().remove("hooks");
    let Damage { text, summary, result } = match done {
        Ok(done) => return finish(&options, &done, hooks),
        Err(ActionError::Aborted) => return fail("aborted; nothing was committed", EXIT_ABORTED as u8),
        Err(ActionError::Damaged(damage)) => *damage,
        Err(error) => Damage { text: error.to_string(), summary: Vec::new(), result: Map::new() },
    };
    // Where the result is looked for there is none.
    if shows_summary(&options) {
        summary.iter().for_each(|line| eprintln!("{line}"));
    }
    let failed = fail(&text, 1);
    let told = finish(&options, &Done { result, summary: Vec::new(), partial: false }, hooks);
    if told == ExitCode::SUCCESS { failed } else { told }
}

fn prepare(matches: &ArgMatches) -> Result<(ActionOptions, Surroundings), String> {
    let loaded = serve::load_config(matches)?;
    let mut values = Values::default();
    let given = command_line::given(matches);
    refuse_secrets(&given)?;
    values.fill(&given);
    if let Some(file) = matches.get_one::<PathBuf>("config") {
        let text =
            std::fs::read_to_string(file).map_err(|error| format!("job file {}: {error}", file.display()))?;
        values.fill(&ini::parse(&text, &file.display().to_string())?);
    }
    values.fill(&config::action_layer(&loaded));
    fill_from_environment(&mut values);
    oslo_log::setup(&loaded, "freezer-agent").map_err(|error| error.to_string())?;
    for name in &values.ignored {
        tracing::warn!("option {name} is unknown to this agent and ignored");
    }
    let options =
        ActionOptions::from_values(&values, &serve::hostname()).map_err(|error| error.to_string())?;
    let around = Surroundings {
        auth: config::auth_variables(&loaded, std::env::vars()),
        own_rates: None,
        upload_limit: None,
        download_limit: None,
        parallel_limit: None,
        acts_for: None,
        run_id: uuid::Uuid::new_v4().simple().to_string(),
        ceph: config::ceph(&loaded),
        is_step: false,
        state_dir: PathBuf::from(loaded.str("agent", "state_dir")),
        logins: Arc::default(),
        trail: Arc::default(),
        now_secs: chrono::Utc::now().timestamp(),
        began: Some(Instant::now()),
    };
    Ok((options, around))
}

/// What every user of the host would read in the list of processes, and where it is given instead.
fn refuse_secrets(given: &Map<String, Value>) -> Result<(), String> {
    const SECRETS: [(&str, &str); 3] = [
        ("ssh_password", "ssh_password_file) or in the environment (SSH_PASSWORD"),
        ("ftp_password", "ftp_password_file) or in the environment (FTP_PASSWORD"),
        ("secret_key", "s3_credentials_file) or in the environment (AWS_SECRET_ACCESS_KEY"),
    ];
    let storages = given.get("storages").and_then(Value::as_str).unwrap_or_default();
    let is_given = |key: &str| given.contains_key(key) || storages.contains(&format!("\"{key}\""));
    match SECRETS.iter().find(|(key, _)| is_given(key)) {
        Some((key, instead)) => Err(format!(
            "{key} is not taken from the command line, where every user of this host can read it: give it in a file ({instead})"
        )),
        None => Ok(()),
    }
}

/// Secrets that are better not in argv may come from the environment.
fn fill_from_environment(values: &mut Values) {
    // The storage, its option, and the variables that may hold it, the first that is there.
    const VARIABLES: [(&str, &str, &[&str]); 6] = [
        ("ssh", "ssh_password", &["SSH_PASSWORD"]),
        ("ftp", "ftp_password", &["FTP_PASSWORD"]),
        ("ftps", "ftp_password", &["FTP_PASSWORD"]),
        ("s3", "access_key", &["AWS_ACCESS_KEY_ID", "ACCESS_KEY"]),
        ("s3", "secret_key", &["AWS_SECRET_ACCESS_KEY", "SECRET_KEY"]),
        ("s3", "endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "ENDPOINT"]),
    ];
    let mut storages = vec![values.text("storage").ok().flatten().unwrap_or_default()];
    let entries = values.objects("storages").unwrap_or_default();
    storages.extend(entries.iter().filter_map(|entry| entry.get("storage")?.as_str().map(str::to_owned)));
    let mut layer = Map::new();
    for (_, key, variables) in
        VARIABLES.iter().filter(|(of, ..)| storages.iter().any(|storage| storage == of))
    {
        if let Some(text) = variables.iter().find_map(|variable| std::env::var(variable).ok()) {
            layer.insert((*key).to_owned(), Value::String(text));
        }
    }
    values.fill(&layer);
}

fn draw(monitor: Arc<Monitor>, quiet: bool) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let bar = bar(quiet);
        let mut meter = Meter::new();
        loop {
            show(&bar, &meter.read(&monitor));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

/// Cancels the work at SIGINT or SIGTERM.
fn watch_signals(monitor: Arc<Monitor>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        serve::stop_signal().await;
        monitor.cancel();
    })
}

/// What hooks said is written where there is nothing else, or all there is.
fn finish(options: &ActionOptions, done: &Done, hooks: Option<Value>) -> ExitCode {
    let mut whole = done.result.clone();
    whole.extend(hooks.clone().map(|said| ("hooks".to_owned(), said)));
    let is_empty = whole.is_empty();
    let whole = Value::Object(whole);
    let document = match done.result.get("backup_metadata") {
        None if is_empty => None,
        None if !options.storages.is_empty() => Some(&whole),
        metadata => metadata.or_else(|| done.result.values().next()).or(hooks.as_ref()),
    };
    let written = match (options.metadata_out.as_deref(), document) {
        (Some("-"), Some(document)) => writeln!(std::io::stdout(), "{document}"),
        (Some(file), Some(document)) => std::fs::write(file, format!("{document}\n")),
        _ => Ok(()),
    };
    if let Err(error) = written {
        return fail(&format!("the action has ended, but its result could not be written: {error}"), 1);
    }
    if shows_summary(options) {
        for line in &done.summary {
            println!("{line}");
        }
    }
    if done.partial { ExitCode::from(EXIT_PARTIAL as u8) } else { ExitCode::SUCCESS }
}

/// The result goes to standard output alone, where it is asked for.
fn shows_summary(options: &ActionOptions) -> bool {
    !options.quiet && options.metadata_out.as_deref() != Some("-")
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Upstream's wording, which scripts look for.
    eprintln!("Critical Error: {message}");
    ExitCode::from(code)
}
