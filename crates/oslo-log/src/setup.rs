//! From configuration to an installed subscriber.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::Local;
use oslo_config::Config;
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;

use crate::bridge::{Bridge, log_panic};
use crate::filter::Filter;
use crate::format::{Formats, Template, check_date};
use crate::journal::Journal;
use crate::layer::{Output, OutputLayer};
use crate::sink::LogFile;
use crate::syslog::{Syslog, facility};
use crate::tail::Tail;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An option's value that oslo-config could not judge.
    #[error("option {option} of section [DEFAULT] cannot be used: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The log file cannot be opened.
    #[error("cannot open the log file {}: {cause}; check log_file, log_dir and the permissions of the directory", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// The socket of syslog or the journal cannot be used.
    #[error("cannot log to {}: {cause}; start its daemon, or set {option} = false", path.display())]
    Socket {
        /// The option that asked for it.
        option: &'static str,
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// Something else in this process logs already.
    #[error("logging is set up already in this process: this is an error of the program")]
    Twice,
}

/// Places outside of the configuration; the default is what every Linux has.
#[derive(Clone, Debug)]
pub struct Places {
    /// Socket of syslog.
    pub syslog: PathBuf,
    /// Socket of the journal.
    pub journal: PathBuf,
    /// How often at most the log file's name is looked at.
    pub recheck: Duration,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            syslog: "/dev/log".into(),
            journal: "/run/systemd/journal/socket".into(),
            recheck: Duration::from_secs(1),
        }
    }
}

/// A handle on logging that was set up. Dropping it changes nothing.
#[derive(Clone)]
pub struct Guard(Arc<Output>);

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl Guard {
    /// Opens the log file again by its name: call it on SIGHUP.
    pub fn reopen(&self) {
        if let Some(file) = &self.0.file {
            file.reopen();
        }
    }

    /// From now on the last so many lines (from INFO up, of loggers whose names begin with `logger`) stay in memory.
    pub fn keep_tail(&self, logger: &'static str, lines: usize) {
        // Whoever comes second finds what the first keeps.
        let _ = self.0.tail.set(Tail::new(logger, lines));
    }

    /// The last of the lines that are kept, oldest first: time in UTC, level, message, secrets masked.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        self.0.tail.get().map(|tail| tail.last(lines)).unwrap_or_default()
    }

    /// Takes over a changed `debug` option: call it on SIGHUP after the files were read again.
    pub fn set_debug(&self, on: bool) {
        self.0.filter.set_debug(on);
        tracing::callsite::rebuild_interest_cache();
        log::set_max_level(log_level(&self.0));
    }
}

/// Sets up logging for the whole process: events, records of the `log` crate, panics. Then logs the configuration's
/// warnings. The configuration must have been loaded with [`crate::options`] registered.
pub fn setup(config: &Config, program: &str) -> Result<Guard, SetupError> {
    let output = Arc::new(output(config, program, &Places::default())?);
    tracing::subscriber::set_global_default(subscriber(&output)).map_err(|_| SetupError::Twice)?;
    // A test harness may have a logger of its own: then `log` records go there.
    if log::set_boxed_logger(Box::new(Bridge(output.clone()))).is_ok() {
        log::set_max_level(log_level(&output));
    }
    let (writer, name) = (output.clone(), program.to_owned());
    std::panic::set_hook(Box::new(move |panic| log_panic(&writer, &name, panic)));
    for warning in config.warnings() {
        tracing::warn!(target: "oslo_config", "{warning}");
    }
    Ok(Guard(output))
}

/// The same subscriber, not installed: for `tracing::subscriber::with_default`, and for other sockets.
pub fn prepare(
    config: &Config,
    program: &str,
    places: &Places,
) -> Result<(impl Subscriber + Send + Sync + use<>, Guard), SetupError> {
    let output = Arc::new(output(config, program, places)?);
    Ok((subscriber(&output), Guard(output)))
}

/// Writes every option with its value at DEBUG, secrets masked.
pub fn log_options(config: &Config) {
    if tracing::enabled!(target: "oslo_config", tracing::Level::DEBUG) {
        for line in config.dump().lines() {
            tracing::debug!(target: "oslo_config", "{line}");
        }
    }
}

fn subscriber(output: &Arc<Output>) -> impl Subscriber + Send + Sync + use<> {
    tracing_subscriber::registry().with(OutputLayer(output.clone()))
}

fn log_level(output: &Output) -> log::LevelFilter {
    match output.filter.most().into_level() {
        None => log::LevelFilter::Off,
        Some(tracing::Level::ERROR) => log::LevelFilter::Error,
        Some(tracing::Level::WARN) => log::LevelFilter::Warn,
        Some(tracing::Level::INFO) => log::LevelFilter::Info,
        Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
        Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
    }
}

fn output(config: &Config, program: &str, places: &Places) -> Result<Output, SetupError> {
    let wrong = |option, problem| SetupError::Option { option, problem };
    let filter = Filter::new(config.bool("DEFAULT", "debug"), &config.list("DEFAULT", "default_log_levels"))
        .map_err(|pair| wrong("default_log_levels", format!("{pair:?} is not logger=LEVEL")))?;
    let path = log_path(config, program);
    let file = match &path {
        Some(path) => {
            let failed = |cause| SetupError::File { path: path.clone(), cause };
            Some(LogFile::open(path, places.recheck).map_err(failed)?)
        }
        None => None,
    };
    let journal = if config.bool("DEFAULT", "use_journal") {
        let failed =
            |cause| SetupError::Socket { option: "use_journal", path: places.journal.clone(), cause };
        Some(Journal::connect(&places.journal, program).map_err(failed)?)
    } else {
        None
    };
    let syslog = connect_syslog(config, program, places)?;
    Ok(Output {
        filter,
        formats: formats(config)?,
        use_json: config.bool("DEFAULT", "use_json"),
        project: config.project().to_owned(),
        started: Local::now(),
        // As upstream: syslog comes in addition, so without file and journal there is still stderr.
        stderr: config.bool("DEFAULT", "use_stderr") || (file.is_none() && journal.is_none()),
        file,
        syslog,
        journal,
        tail: OnceLock::new(),
    })
}

fn connect_syslog(config: &Config, program: &str, places: &Places) -> Result<Option<Syslog>, SetupError> {
    if !config.bool("DEFAULT", "use_syslog") {
        return Ok(None);
    }
    let name = config.str("DEFAULT", "syslog_log_facility");
    let number = facility(name).ok_or_else(|| SetupError::Option {
        option: "syslog_log_facility",
        problem: format!("{name:?} is no facility like LOG_USER, LOG_DAEMON or LOG_LOCAL0"),
    })?;
    let failed = |cause| SetupError::Socket { option: "use_syslog", path: places.syslog.clone(), cause };
    Syslog::connect(&places.syslog, number, program).map(Some).map_err(failed)
}

fn log_path(config: &Config, program: &str) -> Option<PathBuf> {
    let set = |name| config.opt_str("DEFAULT", name).filter(|text| !text.is_empty());
    match (set("log_file"), set("log_dir")) {
        (Some(file), Some(dir)) => Some(PathBuf::from(dir).join(file)),
        (Some(file), None) => Some(PathBuf::from(file)),
        (None, Some(dir)) => Some(PathBuf::from(dir).join(format!("{program}.log"))),
        (None, None) => None,
    }
}

fn formats(config: &Config) -> Result<Formats, SetupError> {
    let template = |option: &'static str| {
        Template::parse(config.str("DEFAULT", option))
            .map_err(|problem| SetupError::Option { option, problem })
    };
    let date = config.str("DEFAULT", "log_date_format").to_owned();
    check_date(&date).map_err(|problem| SetupError::Option { option: "log_date_format", problem })?;
    Ok(Formats {
        date,
        context: template("logging_context_format_string")?,
        default: template("logging_default_format_string")?,
        debug_suffix: template("logging_debug_format_suffix")?,
        exception_prefix: template("logging_exception_prefix")?,
        user_identity: template("logging_user_identity_format")?,
        instance: template("instance_format")?,
    })
}
