//! The options of oslo.log that this crate honours.

use oslo_config::{Opt, OptGroup};

/// Crates whose chatter is of no use to an operator at INFO.
const QUIET: &str = "amqp=WARN,lapin=WARN,reqwest=WARN,hyper=WARN,hyper_util=WARN,h2=WARN,rustls=WARN,\
actix_server=WARN,actix_http=WARN,actix_web=WARN,russh=WARN,russh_sftp=WARN,mio=WARN,tokio=WARN,\
async_global_executor=WARN,oslo.messaging=INFO,oslo_messaging=INFO,keystonemiddleware=WARN,keystone=INFO,oslo_policy=INFO";

/// What a program registers to be able to call [`crate::setup`].
pub fn options() -> Vec<OptGroup> {
    let mut opts = destinations();
    opts.extend(forms());
    vec![OptGroup::new("DEFAULT", opts)]
}

fn destinations() -> Vec<Opt> {
    vec![
        Opt::bool("debug").default("false").mutable().help(
            "If set to true, the logging level will be set to DEBUG instead of the default INFO level.",
        ),
        Opt::str("log_file")
            .deprecated_name("DEFAULT", "logfile")
            .help("Name of the log file to send logging output to; relative to log_dir. Without it logging goes to stderr."),
        Opt::str("log_dir")
            .deprecated_name("DEFAULT", "logdir")
            .help("Directory for log files; the file is called after the program unless log_file names it."),
        Opt::bool("watch_log_file")
            .default("true")
            .deprecated_for_removal("a log file that was moved away is always opened again"),
        Opt::bool("use_stderr").default("false").help("Log to standard error as well."),
        Opt::bool("use_syslog").default("false").help("Log to the local syslog socket as well."),
        Opt::str("syslog_log_facility").default("LOG_USER").help("Syslog facility to receive log lines."),
        Opt::bool("use_journal").default("false").help("Log to the systemd journal, with structured fields."),
        Opt::bool("use_json").default("false").help("Write one JSON object a line instead of the formats below."),
        Opt::list("default_log_levels")
            .default(QUIET)
            .help("Pairs logger=LEVEL, separated by commas: what less important loggers may say."),
    ]
}

fn forms() -> Vec<Opt> {
    vec![
        Opt::str("log_date_format")
            .default("%Y-%m-%d %H:%M:%S")
            .help("Format of %(asctime)s in log lines; local time."),
        Opt::str("logging_context_format_string")
            .default(
                "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s \
                 [%(global_request_id)s %(request_id)s %(user_identity)s] %(instance)s%(message)s",
            )
            .help("Format of a line within a request."),
        Opt::str("logging_default_format_string")
            .default("%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(instance)s%(message)s")
            .help("Format of a line outside of requests."),
        Opt::str("logging_debug_format_suffix")
            .default("%(funcName)s %(pathname)s:%(lineno)d")
            .help("What is added to the line when its level is DEBUG."),
        Opt::str("logging_exception_prefix")
            .default("%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s %(instance)s")
            .help("What each line of a backtrace starts with."),
        Opt::str("logging_user_identity_format")
            .default("%(user)s %(project)s %(domain)s %(system_scope)s %(user_domain)s %(project_domain)s")
            .help("Format of %(user_identity)s in logging_context_format_string."),
        Opt::str("instance_format")
            .default("[instance: %(uuid)s] ")
            .help("Format of %(instance)s, for a line about one resource."),
    ]
}
