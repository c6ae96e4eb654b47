//! Precedence, warnings, secrets, searching, changing, sample: what the vectors do not show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oslo_config::{Config, ConfigError, LoadArgs, Opt, OptGroup, OptionError, Origin, Registry, Source};
use proptest::prelude::*;

fn registry() -> Registry {
    Registry::new("backup", "backup-api")
        .group(
            "DEFAULT",
            vec![
                Opt::str("bind_host").default("0.0.0.0").help("Address to listen on.").mutable(),
                Opt::port("bind_port").default("9090").deprecated_name("DEFAULT", "port"),
                Opt::float("ratio").default("0.5").min(0.0).max(1.0),
                Opt::bool("debug").default("false").mutable(),
            ],
        )
        .groups_of(vec![OptGroup::new(
            "database",
            vec![Opt::str("connection").secret(), Opt::str("copy"), Opt::int("pool").default("5").max(10)],
        )])
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    registry().load(LoadArgs::default().file(write(folder.path(), "a.conf", text)))
}

#[test]
fn precedence_is_the_documented_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.conf", "[DEFAULT]\nbind_host = file\n");
    let base = || LoadArgs::default();
    let host = |args: LoadArgs| {
        let config = registry().load(args).unwrap();
        (config.str("DEFAULT", "bind_host").to_owned(), config.origin("DEFAULT", "bind_host"))
    };
    let variables = env(&[("OS_DEFAULT__BIND_HOST", "env")]);
    assert_eq!(host(base()), ("0.0.0.0".into(), Origin::Default));
    let args = base().file(&file);
    assert_eq!(host(args.clone()), ("file".into(), Origin::File { path: file, line: 2 }));
    let args = args.environment(variables);
    assert_eq!(host(args.clone()), ("env".into(), Origin::Environment("OS_DEFAULT__BIND_HOST".into())));
    let args = args.option("DEFAULT", "bind-host", "cli");
    assert_eq!(host(args.clone()), ("cli".into(), Origin::CommandLine));
    let args = args.set_override("DEFAULT", "bind_host", "program");
    assert_eq!(host(args), ("program".into(), Origin::Override));
}

#[test]
fn unknown_names_warn_with_file_and_line() {
    let text = "[DEFAULT]\nnope = 1\nBind_Host = x\n[default]\ndebug = 1\n\n[nowhere]\nx = 1\ny = 2\n[database]\nport = 1\n";
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.conf", text);
    let variables =
        env(&[("OS_DATABASE__NOPE", "x"), ("OS_OTHER__X", "x"), ("OS_PASSWORD", "x"), ("HOME", "/")]);
    let config = registry().load(LoadArgs::default().file(&path).environment(variables)).unwrap();
    let prefix = format!("{}:", path.display());
    let said: Vec<String> = config.warnings().iter().map(|w| w.to_string().replace(&prefix, "")).collect();
    assert_eq!(
        said,
        [
            "2: option nope of section [DEFAULT] is unknown and ignored",
            "3: option Bind_Host of section [DEFAULT] is unknown and ignored; did you mean bind_host?",
            "4: section [default] is unknown and ignored; did you mean [DEFAULT]?",
            "7: section [nowhere] is unknown and ignored",
            "11: option port of section [database] is unknown and ignored",
            "environment variable OS_DATABASE__NOPE is ignored: section [database] has no such option",
        ]
    );
}

#[test]
fn deprecated_names_are_read_and_warned_about() {
    let config = load("[DEFAULT]\nport = 1234\n").unwrap();
    assert_eq!(config.port("DEFAULT", "bind_port"), 1234);
    let said = config.warnings()[0].to_string();
    assert!(
        said.ends_with(
            "a.conf:2: option port of section [DEFAULT] is deprecated; write bind_port in section [DEFAULT]"
        ),
        "{said}"
    );
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path(), "1.conf", "[DEFAULT]\nbind_port = 1\n");
    let second = write(folder.path(), "2.conf", "[DEFAULT]\nport = 2\n");
    let config = registry().load(LoadArgs::default().file(first).file(second)).unwrap();
    assert_eq!(config.port("DEFAULT", "bind_port"), 2, "a later file wins, whichever name it uses");
}

#[test]
fn all_bad_values_are_reported_at_once() {
    let error = load("[DEFAULT]\nbind_port = http\nratio = 2\ndebug =\n[database]\npool = 11\n").unwrap_err();
    let ConfigError::Values(bad) = &error else { panic!("{error}") };
    let places: Vec<(String, usize)> = bad
        .iter()
        .map(|b| match &b.origin {
            Origin::File { line, .. } => (b.name.clone(), *line),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        places,
        [("bind_port".into(), 2), ("ratio".into(), 3), ("debug".into(), 4), ("pool".into(), 6)]
    );
    assert_eq!(error.to_string().lines().count(), 4);
    assert!(error.to_string().contains("expected a number from 0 to 1"), "{error}");
}

#[test]
fn a_secret_is_shown_nowhere() {
    let sources = [
        "[database]\nconnection = a$hush\n",
        "[database]\nconnection = ${connection}hush\n",
        "[database]\nconnection = hush\npool = $connection\n",
        "[database]\nconnection = $copy hush\ncopy = $nothing\n",
    ];
    for text in sources {
        let error = load(text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("a.conf:"), "{shown}");
    }
    let config = load("[database]\nconnection = hush\ncopy = <$connection>\n").unwrap();
    assert_eq!(config.str("database", "copy"), "<hush>");
    let shown = format!("{config:?} {}", config.dump());
    assert!(!shown.contains("hush"), "{shown}");
    assert!(
        shown.contains("database.connection = ****\ndatabase.copy = ****\ndatabase.pool = 5\n"),
        "{shown}"
    );
    assert!(shown.contains("\nbind_port = 9090\n"), "{shown}");
    let args = LoadArgs::default().set_override("database", "connection", "hush");
    assert!(!format!("{args:?}").contains("hush"));
    let kinds = [
        Opt::int("x"),
        Opt::bool("x"),
        Opt::port("x"),
        Opt::ip("x"),
        Opt::uri("x"),
        Opt::dict("x"),
        Opt::float("x"),
    ];
    for opt in kinds {
        let args = LoadArgs::default().option("g", "x", "hush,hush");
        let error = Registry::new("p", "p").group("g", vec![opt.secret()]).load(args).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
    let no_utf8 = tempfile::tempdir().unwrap();
    std::fs::write(no_utf8.path().join("a.conf"), b"[database]\nconnection = hush\xff\n").unwrap();
    let error = registry().load(LoadArgs::default().file(no_utf8.path().join("a.conf"))).unwrap_err();
    assert!(
        error.to_string().contains("a.conf:2: not UTF-8") && !format!("{error:?}").contains("hush"),
        "{error}"
    );
}

#[test]
fn required_and_conflicting_options() {
    let needed = Registry::new("p", "p").group("g", vec![Opt::str("x").required()]);
    let error = needed.load(LoadArgs::default()).unwrap_err().to_string();
    assert!(error.contains("set x in section [g]") && error.contains("OS_G__X"), "{error}");
    assert!(needed.load(LoadArgs::default().option("g", "x", "1")).is_ok());
    let twice = Registry::new("p", "p").group("g", vec![Opt::str("x")]).group("G", vec![Opt::str("x")]);
    assert!(twice.load(LoadArgs::default()).is_ok(), "the same declaration may come twice");
    let error = twice.group("g", vec![Opt::int("x")]).load(LoadArgs::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Conflict { .. }), "{error}");
    let error = registry().load(LoadArgs::default().option("g", "x", "1")).unwrap_err();
    assert!(matches!(error, ConfigError::NoSuchOption { .. }), "{error}");
}

#[test]
fn references_that_go_in_circles_are_refused() {
    let error =
        load("[DEFAULT]\nbind_host = $database.copy\n[database]\ncopy = $DEFAULT.bind_host\n").unwrap_err();
    assert!(error.to_string().contains("refers to"), "{error}");
    let config =
        load("[DEFAULT]\nbind_host = $database.copy$database.copy\n[database]\ncopy = $pool\n").unwrap();
    assert_eq!(config.str("DEFAULT", "bind_host"), "55", "twice the same reference is no circle");
}

#[test]
fn files_are_searched_in_the_standard_places() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    write(root.path(), "etc/backup/backup.conf", "[DEFAULT]\nbind_host = etc\nbind_port = 1\nratio = 0.1\n");
    write(root.path(), "etc/backup-api.conf", "[DEFAULT]\nbind_port = 2\n");
    write(root.path(), "etc/backup/backup.conf.d/10.conf", "[DEFAULT]\nratio = 0.2\n");
    let args = || {
        LoadArgs::default().root(root.path()).environment(env(&[("HOME", home.to_str().unwrap())])).search()
    };
    let seen = |args: LoadArgs| {
        let c = registry().load(args).unwrap();
        (
            c.str("DEFAULT", "bind_host").to_owned(),
            c.port("DEFAULT", "bind_port"),
            c.float("DEFAULT", "ratio"),
        )
    };
    assert_eq!(seen(args()), ("etc".into(), 2, 0.2));
    write(root.path(), "home/.backup/backup.conf", "[DEFAULT]\nbind_host = home\n");
    assert_eq!(seen(args()), ("home".into(), 2, 0.2), "only the first place with the file counts");
    let own = write(root.path(), "own.conf", "[DEFAULT]\nbind_host = own\n");
    assert_eq!(seen(args().file(own)), ("own".into(), 9090, 0.2), "a file given replaces the files searched");
    write(root.path(), "home/.backup/policy.yaml", "");
    let config = registry().load(args()).unwrap();
    assert_eq!(config.find_file("policy.yaml").unwrap(), home.join(".backup/policy.yaml"));
    assert_eq!(config.find_file("nothing.yaml"), None);
}

#[test]
fn a_named_file_is_looked_for_beside_the_configuration() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (write(root.path(), "a/x.conf", ""), write(root.path(), "b/x.conf", ""));
    let dir = root.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    write(root.path(), "a/policy.yaml", "");
    let config = registry().load(LoadArgs::default().file(a).dir(&dir).file(b)).unwrap();
    assert_eq!(config.find_file("policy.yaml").unwrap(), root.path().join("a/policy.yaml"));
    let beside_b = write(root.path(), "b/policy.yaml", "");
    assert_eq!(config.find_file("policy.yaml").unwrap(), beside_b);
    let in_dir = write(root.path(), "dir/policy.yaml", "");
    assert_eq!(config.find_file("policy.yaml").unwrap(), in_dir);
    assert_eq!(config.find_file(&beside_b).unwrap(), beside_b);
}

#[test]
fn arguments_keep_their_order() {
    let argv = [
        "--config-dir=d",
        "db",
        "--config-file",
        "f",
        "--verbose",
        "--config-dir",
        "e",
        "--",
        "--config-file",
    ];
    let (args, rest) = LoadArgs::default().take_from(argv.iter().map(Into::into)).unwrap();
    assert_eq!(args.sources, [Source::Dir("d".into()), Source::File("f".into()), Source::Dir("e".into())]);
    assert_eq!(rest, ["db", "--verbose", "--", "--config-file"]);
    let error = LoadArgs::default().take_from(["--config-file".into()]).unwrap_err();
    assert_eq!(error.to_string(), "--config-file needs a path after it");
    assert!(LoadArgs::default().take_from(["--config-dir=".into()]).is_err());
}

#[test]
fn sections_named_by_other_options() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[DEFAULT]\n[Cloud]\nusername = u\npassword = a$$b\nusername = v\n[cloud]\nextra = $x\n";
    let args = LoadArgs::default().file(write(folder.path(), "a.conf", text));
    let config = registry().open_section("cloud").load(args).unwrap();
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let raw = config.section_raw("cloud").unwrap();
    assert_eq!(raw, env(&[("extra", "$x"), ("password", "a$$b"), ("username", "v")]));
    assert_eq!(config.section_raw("other"), None);
    assert_eq!(config.sections(), ["DEFAULT", "Cloud"]);
    let more = vec![OptGroup::new(
        "cloud",
        vec![Opt::str("password").secret(), Opt::str("user").deprecated_name("cloud", "username")],
    )];
    let config = config.with_groups(more).unwrap();
    assert_eq!((config.str("cloud", "password"), config.str("cloud", "user")), ("a$b", "v"));
}

#[test]
fn only_mutable_options_change_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.conf", "[DEFAULT]\ndebug = false\nbind_port = 1\n");
    let old = registry().load(LoadArgs::default().file(&path)).unwrap();
    write(folder.path(), "a.conf", "[DEFAULT]\ndebug = true\nbind_port = 2\n");
    let mutation = old.mutate(&old.read_again().unwrap());
    assert!(mutation.config.bool("DEFAULT", "debug"));
    assert_eq!(mutation.config.port("DEFAULT", "bind_port"), 1);
    assert_eq!((mutation.changed.len(), mutation.changed[0].name.as_str()), (1, "debug"));
    assert_eq!((mutation.ignored.len(), mutation.ignored[0].name.as_str()), (1, "bind_port"));
    std::fs::remove_file(&path).unwrap();
    assert!(old.read_again().is_err());
}

#[test]
fn getters_never_panic() {
    let config = load("").unwrap();
    assert_eq!(config.str("DEFAULT", "nope"), "");
    assert_eq!(config.int("DEFAULT", "bind_host"), 0);
    assert!(matches!(config.get("x", "y"), Err(OptionError::Unknown { .. })));
    assert_eq!(config.opt_str("database", "connection"), None);
}

#[test]
fn sample_shows_every_option_and_is_harmless() {
    let registry = registry().groups_of(vec![
        OptGroup::new(
            "quotas",
            vec![
                Opt::int("jobs").default("10").min(-1).help("How many jobs a project may have. ".repeat(5)),
                Opt::str("mode").default("a").choices(&["a", "b"]),
                Opt::multi("paths").default("/a").default(" /b "),
                Opt::str("node").default("h1").sample_default("<host name>"),
                Opt::list("empty"),
            ],
        )
        .help("Limits."),
    ]);
    let sample = registry.sample();
    assert!(sample.starts_with("[DEFAULT]\n\n# Address to listen on. (string value)\n# Note: This option can be changed without restarting.\n#bind_host = 0.0.0.0\n"), "{sample}");
    assert!(sample.contains("# (port value)\n# Minimum value: 0\n# Maximum value: 65535\n# Deprecated group/name - [DEFAULT]/port\n#bind_port = 9090\n"), "{sample}");
    assert!(sample.contains("[quotas]\n\n#\n# Limits.\n#\n"), "{sample}");
    assert!(sample.contains("# Allowed values: a, b\n#mode = a\n"), "{sample}");
    assert!(sample.contains("#paths = /a\n#paths = \" /b \"\n") && sample.contains("#empty =\n"), "{sample}");
    assert!(
        sample.contains("#node = <host name>\n") && sample.contains("#connection = <None>\n"),
        "{sample}"
    );
    assert!(sample.lines().all(|line| line.len() <= 79));
    let folder = tempfile::tempdir().unwrap();
    let config = registry.load(LoadArgs::default().file(write(folder.path(), "s.conf", &sample))).unwrap();
    assert!(
        config.warnings().is_empty() && config.dump() == registry.load(LoadArgs::default()).unwrap().dump()
    );
    // Every commented default, put in force, reads back as the default.
    let live: String = sample
        .lines()
        .filter(|l| !l.starts_with("# ") && *l != "#" && !l.contains("= <"))
        .map(|l| format!("{}\n", l.trim_start_matches('#')))
        .collect();
    let config = registry.load(LoadArgs::default().file(write(folder.path(), "l.conf", &live))).unwrap();
    assert_eq!(config.dump(), registry.load(LoadArgs::default()).unwrap().dump());
}

proptest! {
    /// Any text is read or refused, never a panic; and what is refused is refused with a place.
    #[test]
    fn any_text_is_survived(text in "[\\[\\]a-z=:#;$ {}\\.\"'\n\t\\\\é_-]{0,200}") {
        match load(&format!("[DEFAULT]\n{text}")) {
            Ok(_) => {}
            Err(error) => prop_assert!(error.to_string().contains("a.conf:"), "{}", error),
        }
    }

    /// What is written with quotes and doubled dollars comes back as it was.
    #[test]
    fn any_line_of_text_comes_back(value in "[ -~é]{0,40}") {
        let text = format!("[DEFAULT]\nbind_host = \"{}\"\n", value.replace("\\$", "\\\u{1}").replace('$', "$$"));
        prop_assume!(!text.contains('\u{1}'));
        let config = load(&text).unwrap();
        prop_assert_eq!(config.str("DEFAULT", "bind_host"), value);
    }

    #[test]
    fn any_whole_number_comes_back(number in any::<i64>()) {
        let args = LoadArgs::default().option("g", "x", number.to_string());
        let config = Registry::new("p", "p").group("g", vec![Opt::int("x")]).load(args).unwrap();
        prop_assert_eq!(config.int("g", "x"), number);
    }
}
