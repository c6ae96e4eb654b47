//! Lines as written to a file, against those captured from the Python library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use oslo_config::{LoadArgs, Registry};
use oslo_log::{Places, RequestContext};
use serde_json::Value as Json;
use tracing::{debug, error, info, trace, warn};

fn vectors() -> [Json; 2] {
    ["newest", "debian12"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{name}.json"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    })
}

fn load(settings: &[(&str, &str)]) -> oslo_config::Config {
    let args = settings
        .iter()
        .fold(LoadArgs::default(), |args, (name, text)| args.set_override("DEFAULT", name, *text));
    Registry::new("backup", "backup-api").groups_of(oslo_log::options()).load(args).unwrap()
}

/// What `body` leaves in the log file.
fn written(settings: &[(&str, &str)], body: impl FnOnce()) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.log");
    let mut settings = settings.to_vec();
    settings.push(("log_file", path.to_str().unwrap()));
    let (subscriber, _guard) = oslo_log::prepare(&load(&settings), "backup-api", &Places::default()).unwrap();
    tracing::subscriber::with_default(subscriber, body);
    std::fs::read_to_string(path).unwrap()
}

/// Lines without time and process number, after checking that both are there.
fn stripped(text: &str) -> Vec<String> {
    let head = |line: &str| {
        let shape: String = line.chars().take(23).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "0000-00-00 00:00:00.000"
    };
    text.strip_suffix('\n')
        .unwrap_or(text)
        .split('\n')
        .map(|line| {
            if !head(line) {
                return line.to_owned();
            }
            let (process, rest) = line[24..].split_once(' ').unwrap();
            assert!(process.parse::<u32>().is_ok(), "{line}");
            rest.to_owned()
        })
        .collect()
}

fn context() -> RequestContext {
    RequestContext {
        request_id: Some("req-11111111-2222-3333-4444-555555555555".into()),
        user: Some("u-1".into()),
        project: Some("p-1".into()),
        user_domain: Some("default".into()),
        project_domain: Some("default".into()),
        user_name: Some("alice".into()),
        project_name: Some("demo".into()),
        roles: vec!["member".into()],
        ..RequestContext::default()
    }
}

fn global() -> RequestContext {
    RequestContext { global_request_id: Some("req-99999999-8888-7777-6666-555555555555".into()), ..context() }
}

fn inside(context: &RequestContext, body: impl FnOnce()) {
    oslo_log::span(context).in_scope(body);
}

/// What the probe's cases log, said with tracing.
fn say(case: &str) {
    match case {
        "defaults" | "use_json, plain" => {
            info!(target: "backup::api", "hello {}", "world");
            warn!(target: "backup::api", "warn");
            error!(target: "backup::api", "err");
            error!(target: "backup::api", critical = true, "crit");
            debug!(target: "backup::api", "not shown");
        }
        "debug" => {
            debug!(target: "backup::api", "shown");
            trace!(target: "backup::api", "trace: shown?");
        }
        "with a request context" => inside(&context(), || info!(target: "backup::api", "in a request")),
        "with a global request id" => {
            inside(&global(), || info!(target: "backup::api", "in a request with a global id"));
        }
        "use_json, context" => {
            inside(&global(), || info!(target: "backup::api", "in a request with a global id"))
        }
        "system scope" => {
            let system = RequestContext {
                project: None,
                project_domain: None,
                system_scope: Some("all".into()),
                ..context()
            };
            inside(&system, || info!(target: "backup::api", "system scope"));
        }
        "resource_uuid in the context" => {
            let about = RequestContext { resource_uuid: Some("b-1".into()), ..context() };
            inside(&about, || info!(target: "backup::api", "about a resource"));
        }
        "instance_uuid given with the call" => {
            inside(&context(), || info!(target: "backup::api", instance_uuid = "i-1", "about an instance"));
        }
        "exception" | "use_json, exception" => {
            error!(target: "backup::api", error = "ServiceError: two\nlines", "it failed");
        }
        "active exception without exc_info" => {
            error!(target: "backup::api", error = "ServiceError: two", "no exc_info given");
            info!(target: "backup::api", "below warning");
            warn!(target: "backup::api", "no exc_info given, ValueError");
        }
        "message of two lines" => info!(target: "backup::api", "first\nsecond"),
        "non-ASCII" => info!(target: "backup::api", "снимок ☃"),
        other => panic!("a case of the vectors this test does not know: {other}"),
    }
}

#[test]
fn plain_lines() {
    for version in vectors() {
        for case in version["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            if name.starts_with("use_json") {
                continue;
            }
            let settings: &[(&str, &str)] = if name == "debug" { &[("debug", "true")] } else { &[] };
            let ours = stripped(&written(settings, || say(name)));
            let lines: Vec<&str> =
                case["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            let mut theirs = stripped(&lines.join("\n"));
            match name {
                // Python's traceback has no counterpart; the module's path stands for the function.
                "exception" => theirs.truncate(2),
                "debug" => theirs[0] = theirs[0].replace("debug log_probe.py:61", &ours[0][27..]),
                _ => {}
            }
            assert_eq!(ours, theirs, "{name}");
        }
    }
    let ours = stripped(&written(&[("debug", "true")], || say("debug")));
    assert!(
        ours[0].starts_with("DEBUG backup.api [-] shown lines crates/oslo-log/tests/lines.rs:"),
        "{ours:?}"
    );
}

#[test]
fn json_lines() {
    let [newest, _] = vectors();
    for case in newest["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if !name.starts_with("use_json") {
            continue;
        }
        let text = written(&[("use_json", "true")], || say(name));
        let ours: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let theirs = case["lines"].as_array().unwrap();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            compare_json(ours, &serde_json::from_str(theirs.as_str().unwrap()).unwrap());
        }
    }
}

fn compare_json(ours: &Json, theirs: &Json) {
    let keys = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(ours), keys(theirs));
    for key in ["message", "name", "levelname", "levelno", "error_summary", "process_name"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    for (key, value) in theirs.as_object().unwrap() {
        let same = std::mem::discriminant(value) == std::mem::discriminant(&ours[key]);
        assert!(same || key == "traceback", "{key}: {value} {}", ours[key]);
    }
    assert_eq!(keys(&ours["context"]), keys(&theirs["context"]));
    for (key, value) in theirs["context"].as_object().unwrap() {
        // There is no token to be masked.
        let expected = if key == "auth_token" { &Json::Null } else { value };
        assert_eq!(&ours["context"][key], expected, "{key}");
    }
    assert_eq!(ours["asctime"].as_str().unwrap().len(), "2026-11-22 16:28:53".len());
    assert!(ours["created"].as_f64().unwrap() > 1.7e9 && ours["relative_created"].as_f64().unwrap() >= 0.0);
}

#[test]
fn our_defaults_are_upstreams() {
    let config = load(&[]);
    for version in vectors() {
        for (name, value) in version["options"].as_object().unwrap() {
            // Our list names other libraries; and files are watched always.
            if name == "default_log_levels" || name == "watch_log_file" {
                continue;
            }
            if let Ok(ours) = config.get("DEFAULT", name) {
                match value {
                    Json::Null => assert_eq!(*ours, oslo_config::Value::Null, "{name}"),
                    Json::Bool(on) => assert_eq!(*ours, oslo_config::Value::Bool(*on), "{name}"),
                    other => assert_eq!(ours.to_string(), other.as_str().unwrap(), "{name}"),
                }
            }
        }
    }
}

#[test]
fn fields_errors_and_secrets() {
    let text = written(&[], || {
        let failure = std::io::Error::other("disk \u{1b}[31mgone");
        warn!(target: "svc", job = "j-1", bytes = 7_u64, token = "hush", error = %failure, "step failed, password=hush");
        info!(target: "svc", error = "kept", "below warning");
        let cause: &(dyn std::error::Error + 'static) = &failure;
        error!(target: "svc", error = cause, url = "rabbit://u:hush@h/", "no broker");
        info!(target: "svc", only = 1);
    });
    assert_eq!(
        stripped(&text),
        [
            "WARNING svc [-] step failed, password=*** job=j-1 bytes=7 token=***: disk \\u{1b}[31mgone",
            "INFO svc [-] below warning error=kept",
            "ERROR svc [-] no broker url=rabbit://u:***@h/: disk \\u{1b}[31mgone",
            "INFO svc [-] only=1",
        ]
    );
    let text = written(&[("use_json", "true")], || {
        warn!(target: "svc", job = "j-1", token = 5, error = "auth_pass=hush", "password=hush");
    });
    let json: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(json["message"], "password=***");
    assert_eq!(json["error_summary"], "auth_pass=***");
    assert_eq!(json["extra"], serde_json::json!({"job": "j-1", "token": "***", "project": "backup"}));
}

#[test]
fn the_innermost_context_counts_and_grows() {
    let text = written(&[], || {
        let span = oslo_log::span(&RequestContext::new("req-a"));
        span.in_scope(|| {
            info!(target: "svc", "before login");
            oslo_log::record(&span, &RequestContext { user: Some("u".into()), ..RequestContext::default() });
            info!(target: "svc", "after login");
            assert_eq!(oslo_log::current().unwrap().user.as_deref(), Some("u"));
            tracing::info_span!("of somebody else").in_scope(|| info!(target: "svc", "deeper"));
            inside(&RequestContext::new("req-b"), || info!(target: "svc", "another"));
        });
        assert_eq!(oslo_log::current(), None);
        info!(target: "svc", "outside");
    });
    assert_eq!(
        stripped(&text),
        [
            "INFO svc [None req-a - - - - - -] before login",
            "INFO svc [None req-a u - - - - -] after login",
            "INFO svc [None req-a u - - - - -] deeper",
            "INFO svc [None req-b - - - - - -] another",
            "INFO svc [-] outside",
        ]
    );
}

#[test]
fn levels_of_loggers_and_of_debug() {
    let levels = [("default_log_levels", "noisy=WARN,curious.part=DEBUG")];
    let text = written(&levels, || {
        info!(target: "noisy::x", "a");
        warn!(target: "noisy::x", "b");
        debug!(target: "curious::part", "c");
        debug!(target: "svc", "d");
        inside(&RequestContext::new("req-a"), || warn!(target: "noisy", "in a span"));
    });
    let lines = stripped(&text);
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "WARNING noisy.x [-] b");
    assert!(lines[1].starts_with("DEBUG curious.part [-] c lines "));
    assert_eq!(lines[2], "WARNING noisy [None req-a - - - - - -] in a span");
}

#[test]
fn debug_can_be_switched_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("log_dir", folder.path().to_str().unwrap())];
    let (subscriber, guard) = oslo_log::prepare(&load(&settings), "prog", &Places::default()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for on in [false, true, false] {
            guard.set_debug(on);
            debug!(target: "svc", "debugging {on}");
        }
    });
    let text = std::fs::read_to_string(folder.path().join("prog.log")).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("debugging true"));
}

#[test]
fn a_log_file_moved_away_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    let dir = folder.path().to_str().unwrap();
    let settings = [("log_dir", dir), ("log_file", "a.log")];
    let always = Places { recheck: Duration::ZERO, ..Places::default() };
    let (subscriber, _guard) = oslo_log::prepare(&load(&settings), "prog", &always).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        info!(target: "svc", "one");
        std::fs::rename(&path, &moved).unwrap();
        info!(target: "svc", "two");
        std::fs::remove_file(&path).unwrap();
        info!(target: "svc", "three");
    });
    assert!(std::fs::read_to_string(&moved).unwrap().ends_with("one\n"));
    assert_eq!(stripped(&std::fs::read_to_string(&path).unwrap()), ["INFO svc [-] three"]);
    // Without looking at the name, only the signal's handler opens it again.
    let never = Places { recheck: Duration::from_secs(3600), ..Places::default() };
    let (subscriber, guard) = oslo_log::prepare(&load(&settings), "prog", &never).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        std::fs::rename(&path, &moved).unwrap();
        info!(target: "svc", "four");
        guard.reopen();
        info!(target: "svc", "five");
    });
    assert!(std::fs::read_to_string(&moved).unwrap().ends_with("four\n"));
    assert_eq!(stripped(&std::fs::read_to_string(&path).unwrap()), ["INFO svc [-] five"]);
}

#[test]
fn syslog_and_journal_get_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let places =
        Places { syslog: folder.path().join("s"), journal: folder.path().join("j"), ..Places::default() };
    let listen = |path: &Path| {
        let socket = std::os::unix::net::UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    };
    let (syslog, journal) = (listen(&places.syslog), listen(&places.journal));
    let log = folder.path().join("a.log");
    let settings = [
        ("use_syslog", "true"),
        ("syslog_log_facility", "LOG_LOCAL0"),
        ("use_journal", "true"),
        ("log_file", log.to_str().unwrap()),
    ];
    let (subscriber, _guard) = oslo_log::prepare(&load(&settings), "prog", &places).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        inside(&RequestContext::new("req-a"), || warn!(target: "svc", "first\nsecond"));
    });
    let receive = |socket: &std::os::unix::net::UnixDatagram| {
        let mut bytes = vec![0; 65536];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let got = receive(&syslog);
    assert!(got.starts_with("<132>") && got.contains(&format!(" prog[{}]: ", std::process::id())), "{got}");
    assert!(got.ends_with("WARNING svc [None req-a - - - - - -] first\nsecond"), "{got}");
    let got = receive(&journal);
    assert!(
        got.starts_with("MESSAGE\n") && got.contains("first\nsecond\nPRIORITY=4\nSYSLOG_IDENTIFIER=prog\n"),
        "{got}"
    );
    assert!(got.contains("\nLOGGER_NAME=svc\n") && got.ends_with("\nREQUEST_ID=req-a\n"), "{got}");
}

#[test]
fn what_cannot_be_used_is_refused_at_setup() {
    let nowhere =
        Places { syslog: "/dev/null/log".into(), journal: "/dev/null/journal".into(), ..Places::default() };
    for (option, text, said) in [
        ("log_file", "/dev/null/a.log", "cannot open the log file /dev/null/a.log"),
        ("use_syslog", "true", "set use_syslog = false"),
        ("use_journal", "true", "set use_journal = false"),
        ("default_log_levels", "a=LOUD", "\"a=LOUD\" is not logger=LEVEL"),
        ("logging_default_format_string", "%(nothing)s", "%(nothing) is not a field"),
        ("logging_default_format_string", "100%", "must be followed by (name)s"),
        ("logging_user_identity_format", "%(user)x", "must end with s or d"),
        ("log_date_format", "%Q", "no strftime format"),
    ] {
        match oslo_log::prepare(&load(&[(option, text)]), "prog", &nowhere) {
            Ok(_) => panic!("{option} = {text} was taken"),
            Err(error) => assert!(error.to_string().contains(said), "{error}"),
        }
    }
    let facility = load(&[("use_syslog", "true"), ("syslog_log_facility", "LOG_NOTHING")]);
    assert!(oslo_log::prepare(&facility, "prog", &nowhere).is_err());
}

#[test]
fn formats_can_be_changed() {
    let format = (
        "logging_default_format_string",
        "%(levelname)-8s|%(lineno)05d|%(name)6s|100%%|%(msecs)03d|%(message)s",
    );
    let text = written(&[format, ("log_date_format", "%H")], || info!(target: "svc", "x"));
    let parts: Vec<&str> = text.trim_end().split('|').collect();
    assert_eq!((parts[0], parts[2], parts[3], parts[5]), ("INFO    ", "   svc", "100%", "x"));
    assert_eq!((parts[1].len(), parts[4].len()), (5, 3));
}

#[test]
fn the_last_lines_are_kept_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.log");
    let settings = [("log_file", file.to_str().unwrap()), ("debug", "true")];
    let (subscriber, guard) = oslo_log::prepare(&load(&settings), "backup-api", &Places::default()).unwrap();
    guard.keep_tail("backup", 3);
    tracing::subscriber::with_default(subscriber, || {
        info!(target: "backup::api", "first");
        warn!(target: "backup::api", "password=secret given");
        debug!(target: "backup::api", "for developers");
        info!(target: "library", "of another");
        info!(target: "backup::api", "two\nlines");
        error!(target: "backup::api", error = "no room", "it failed");
    });
    let told: Vec<String> =
        guard.tail(9).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(told, ["WARNING password=*** given", "INFO two lines", "ERROR it failed: no room"]);
    assert_eq!(guard.tail(1).len(), 1);
}
