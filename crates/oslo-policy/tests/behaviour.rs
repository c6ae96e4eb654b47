//! Refusing when in doubt, files, reloading, the sample: what the vectors do not show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use oslo_config::{LoadArgs, Registry};
use oslo_policy::{
    Credentials, DeprecatedRule, Enforcer, PolicyError, PolicyOptions, Reason, RuleDefault, Target,
};
use proptest::prelude::*;
use serde_json::json;

fn member() -> Credentials {
    Credentials::default().set("project_id", "p-1").roles(["Member"])
}

fn with_file(path: &Path, defaults: &[(&str, &str)]) -> Result<Enforcer, PolicyError> {
    let options = PolicyOptions {
        policy_file: Some(path.to_path_buf()),
        recheck: Duration::ZERO,
        ..PolicyOptions::default()
    };
    Enforcer::new(defaults.iter().map(|(name, check)| RuleDefault::new(name, check)).collect(), options)
}

fn with_text(text: &str) -> Result<Enforcer, PolicyError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, text).unwrap();
    let options = PolicyOptions {
        policy_file: Some(path),
        recheck: Duration::from_secs(3600),
        ..PolicyOptions::default()
    };
    Enforcer::new(Vec::new(), options)
}

fn allowed(enforcer: &Enforcer, rule: &str) -> bool {
    enforcer.enforce(rule, &Target::new(), &member()).is_ok()
}

#[test]
fn whatever_is_wrong_refuses_also_under_not() {
    let text = r#"
"a": "not rolemember"
"b": "not (role:x"
"c": "not 01:x"
"d": "not role:100%"
"e": "not http://h/p"
"f": "not rule:f"
"g": "rule:h"
"h": "not rule:g"
"i": "not domain_id.x:y"
"j":
"k": ~
"l": !
"m": {"a": "b"}
"n": [["role:member", {"x": "y"}]]
"o": 1
"p": true
"q": [[["@"]]]
"r": "not role:%(missing)s"
"s": "   "
"#;
    let enforcer = with_text(text).unwrap();
    for rule in "abcdefghijklmnopqs".chars() {
        let refused = enforcer.enforce(&rule.to_string(), &Target::new(), &member()).unwrap_err();
        assert!(matches!(refused.reason, Reason::Broken(_)), "{rule}: {refused:?}");
    }
    assert!(allowed(&enforcer, "r"), "a missing key is a plain no, as upstream");
}

#[test]
fn yaml_as_operators_write_it() {
    let text = "# comment\n---\na: role:member\n'b': &m 'role:member and\n  not role:x'\nc: >\n  role:x or\n  role:member\nd: *m\n\
                e: []\nf: \"\"\ng:\n  - role:x\n  - - role:member\n    - \"@\"\nh: !!str role:member\n100: '@'\n";
    let enforcer = with_text(text).unwrap();
    for rule in ["a", "b", "c", "d", "e", "f", "g", "h", "100"] {
        assert!(allowed(&enforcer, rule), "{rule}: {:?}", enforcer.effective());
    }
    for empty in ["", "# only a comment\n", "---\n", "{}", "~", "null\n"] {
        assert!(with_text(empty).unwrap().effective().is_empty(), "{empty:?}");
    }
    let twice = with_text("a: '@'\na: '!'\n").unwrap();
    assert!(!allowed(&twice, "a"), "the last one counts");
}

#[test]
fn files_that_are_no_policies_are_refused_at_start() {
    for (text, said) in [
        ("- a\n", "not a mapping"),
        ("text\n", "not a mapping"),
        ("a: [\n", "policy.yaml cannot be used"),
        ("\"a\": \"b\n", "policy.yaml cannot be used"),
        ("a: '@'\n---\nb: '@'\n", "more than one YAML document"),
        ("? [a, b]\n: '@'\n", "line 1: the name of a rule must be text"),
        ("a: *nothing\n", "policy.yaml cannot be used"),
        ("a: &x [role:member]\nb: *x\n", "must stand for a text"),
    ] {
        let error = with_text(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text:?}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(
        matches!(with_file(folder.path(), &[]), Err(PolicyError::Unreadable { .. })),
        "a directory is no file"
    );
}

#[test]
fn the_programs_own_rules_must_be_right() {
    for (defaults, said) in [
        (vec![RuleDefault::new("a", "role:x and")], "cannot be understood"),
        (vec![RuleDefault::new("a", "01:x")], "neither a literal nor"),
        (vec![RuleDefault::new("a", "@"), RuleDefault::new("a", "@")], "declared twice"),
    ] {
        let error = Enforcer::new(defaults, PolicyOptions::default()).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("error of the program"), "{error}");
    }
}

#[test]
fn a_broken_change_keeps_the_rules_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let enforcer = with_file(&path, &[("a", "role:x")]).unwrap();
    assert!(!allowed(&enforcer, "a"));
    std::fs::write(&path, "a: role:member").unwrap();
    assert!(allowed(&enforcer, "a"), "a file that appears is read");
    std::fs::write(&path, "a: [").unwrap();
    assert!(allowed(&enforcer, "a") && allowed(&enforcer, "a"));
    std::fs::write(&path, "a: role:other").unwrap();
    assert!(!allowed(&enforcer, "a"));
    std::fs::write(&path, "a: role:member").unwrap();
    assert!(allowed(&enforcer, "a"));
    std::fs::remove_file(&path).unwrap();
    assert!(!allowed(&enforcer, "a"), "without the file the default is back");
}

#[test]
fn files_are_looked_at_only_now_and_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "a: role:member").unwrap();
    let options = PolicyOptions {
        policy_file: Some(path.clone()),
        recheck: Duration::from_secs(3600),
        ..PolicyOptions::default()
    };
    let enforcer = Enforcer::new(Vec::new(), options).unwrap();
    std::fs::write(&path, "a: role:other").unwrap();
    assert!(allowed(&enforcer, "a"));
}

#[test]
fn authorize_wants_declared_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "b: '@'\ndefault: '@'").unwrap();
    let enforcer = with_file(&path, &[("a", "@")]).unwrap();
    let ask = |rule| enforcer.authorize(rule, &Target::new(), &member());
    assert!(ask("a").is_ok());
    assert_eq!(ask("b").unwrap_err().reason, Reason::Unknown);
    assert!(allowed(&enforcer, "b") && allowed(&enforcer, "c"), "enforce takes what the file has");
}

#[test]
fn usual_rules_keep_projects_apart() {
    let rules = [
        ("admin_api", "role:admin"),
        ("project_member", "role:member and project_id:%(project_id)s"),
        ("backup:create", "rule:admin_api or rule:project_member"),
    ];
    let defaults = rules.iter().map(|(name, check)| RuleDefault::new(name, check)).collect();
    let enforcer = Enforcer::new(defaults, PolicyOptions::default()).unwrap();
    let target = |project: &str| Target::from_iter([("project_id".to_owned(), json!(project))]);
    let ask = |credentials: &Credentials, project| {
        enforcer.enforce("backup:create", &target(project), credentials).is_ok()
    };
    assert!(ask(&member(), "p-1") && !ask(&member(), "p-2"));
    assert!(ask(&Credentials::default().roles(["admin"]), "p-2"));
    assert!(!ask(&Credentials::default().set("project_id", "p-1").roles(["reader"]), "p-1"));
    assert!(!ask(&Credentials::default(), "p-1"), "a token without project and roles gets nothing");
}

#[test]
fn options_come_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("svc.conf");
    std::fs::write(
        &conf,
        "[oslo_policy]\npolicy_dirs = more\npolicy_dirs = /abs\nenforce_new_defaults = false\n",
    )
    .unwrap();
    let registry = Registry::new("svc", "svc").groups_of(oslo_policy::options());
    let config = registry.load(LoadArgs::default().file(&conf)).unwrap();
    let options = PolicyOptions::from_config(&config);
    assert_eq!(options.policy_file.unwrap(), folder.path().join("policy.yaml"));
    assert_eq!(options.policy_dirs, [folder.path().join("more"), "/abs".into()]);
    assert_eq!((options.enforce_scope, options.enforce_new_defaults), (true, false));
    assert_eq!(options.default_rule, "default");
    let defaults = PolicyOptions::from_config(&registry.load(LoadArgs::default()).unwrap());
    assert_eq!(defaults.policy_dirs, [Path::new("policy.d")]);
}

#[test]
fn the_sample_documents_and_changes_nothing() {
    let old = DeprecatedRule {
        name: "jobs:list".to_owned(),
        check: "role:member".to_owned(),
        reason: "Names follow\nthe guideline.".to_owned(),
        since: "2.0".to_owned(),
    };
    let rules = [
        RuleDefault::new("admin_api", "role:admin").description("Administrators."),
        RuleDefault::new("jobs:get_all", "rule:admin_api or 'x':%(y)s")
            .description("List jobs.\n\nOf a project.")
            .operation("GET", "/v2/{project_id}/jobs")
            .operation("GET", "/v2/jobs")
            .scope_types(&["project"])
            .deprecated(old),
    ];
    let sample = oslo_policy::sample(&rules);
    assert_eq!(
        sample,
        "# Administrators.\n#\"admin_api\": \"role:admin\"\n\n# List jobs.\n# Of a project.\n\
         # GET  /v2/{project_id}/jobs\n# GET  /v2/jobs\n# Intended scope(s): project\n\
         #\"jobs:get_all\": \"rule:admin_api or 'x':%(y)s\"\n\
         # DEPRECATED: \"jobs:list\": \"role:member\" was replaced by \"jobs:get_all\" in 2.0.\n\
         # Names follow the guideline.\n\n"
    );
    assert!(with_text(&sample).unwrap().effective().is_empty());
    let live: String =
        sample.lines().filter(|l| l.starts_with("#\"")).map(|l| format!("{}\n", &l[1..])).collect();
    let effective = with_text(&live).unwrap().effective();
    assert_eq!(effective["admin_api"], "role:admin");
    assert_eq!(effective["jobs:get_all"], "(rule:admin_api or 'x':%(y)s)");
}

#[test]
fn many_threads_may_ask_while_files_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "a: role:member").unwrap();
    let enforcer = with_file(&path, &[]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| assert!(allowed(&enforcer, "a"))));
        }
        for turn in 0..100 {
            let new = folder.path().join("new");
            std::fs::write(&new, format!("a: role:member\nb{turn}: '@'\n")).unwrap();
            std::fs::rename(new, &path).unwrap();
        }
    });
    assert!(enforcer.effective().contains_key("b99"));
}

/// A random expression, its value when `true:1` checks hold, and how it is written.
fn expression() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![
        Just(("@".to_owned(), true)),
        Just(("!".to_owned(), false)),
        Just(("role:member".to_owned(), true)),
        Just(("1:2".to_owned(), false))
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let many = prop::collection::vec(inner.clone(), 2..4);
        let words = |parts: &[(String, bool)], word: &str| {
            parts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(word)
        };
        prop_oneof![
            inner.prop_map(|(text, value)| (format!("not {text}"), !value)),
            many.clone()
                .prop_map(move |parts| (format!("({})", words(&parts, " and ")), parts.iter().all(|p| p.1))),
            many.prop_map(move |parts| (format!("( {} )", words(&parts, " OR ")), parts.iter().any(|p| p.1))),
        ]
    })
}

proptest! {
    #[test]
    fn expressions_mean_what_they_say((text, value) in expression()) {
        let enforcer = Enforcer::new(vec![RuleDefault::new("a", &text)], PolicyOptions::default()).unwrap();
        prop_assert_eq!(allowed(&enforcer, "a"), value, "{}", text);
        // The canonical form means the same.
        let canonical = enforcer.effective()["a"].clone();
        let again = Enforcer::new(vec![RuleDefault::new("a", &canonical)], PolicyOptions::default()).unwrap();
        prop_assert_eq!(allowed(&again, "a"), value, "{}", canonical);
    }

    /// `and` binds closer than `or`, without parentheses.
    #[test]
    fn and_binds_closer(words in prop::collection::vec((any::<bool>(), any::<bool>()), 1..12)) {
        let mut text = String::new();
        let mut choices = vec![true];
        for (index, (holds, or)) in words.iter().enumerate() {
            if index > 0 {
                text.push_str(if *or { " or " } else { " and " });
                if *or { choices.push(true); }
            }
            text.push_str(if *holds { "@" } else { "!" });
            *choices.last_mut().unwrap() &= *holds;
        }
        let enforcer = Enforcer::new(vec![RuleDefault::new("a", &text)], PolicyOptions::default()).unwrap();
        prop_assert_eq!(allowed(&enforcer, "a"), choices.iter().any(|c| *c), "{}", text);
    }

    #[test]
    fn any_text_is_survived(text in "[ ()'\"%:!@a-z01.,\\[\\]{}&*|>~?#\n-]{0,80}") {
        if let Ok(enforcer) = with_text(&text) {
            for rule in enforcer.effective().keys() {
                let _ = allowed(&enforcer, rule);
            }
        }
        let quoted = serde_json::to_string(&json!({"a": text})).unwrap();
        let _ = allowed(&with_text(&quoted).unwrap(), "a");
    }
}

#[test]
fn a_long_chain_of_not_does_not_overflow_the_stack() {
    let text = format!("a: \"{}@\"\n", "not ".repeat(20_000));
    assert!(!allowed(&with_text(&text).unwrap(), "a"));
}
