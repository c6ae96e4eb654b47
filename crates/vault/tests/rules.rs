//! Rules about what is saved: git itself says what they mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::BackupRequest;
use freezer_vault::backup::{Rules, Source};
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::*;

/// What git would take of a folder: its own repository is beside it.
fn by_git(room: &Room, rules: &[String]) -> BTreeSet<String> {
    std::fs::write(room.path("rules"), rules.join("\n") + "\n").unwrap();
    let line = format!(
        "cd '{source}' && export GIT_DIR='{git}' GIT_WORK_TREE='{source}' GIT_CONFIG_GLOBAL=/dev/null && \
         git init -q && git ls-files -z --others --exclude-from='{rules}'",
        source = room.source().display(),
        git = room.path("git").display(),
        rules = room.path("rules").display(),
    );
    let names = String::from_utf8(shell(&line)).unwrap();
    names.split_terminator('\0').map(str::to_owned).collect()
}

async fn by_us(room: &Room, exclude: &[String], include: &[String], now: i64) -> BTreeSet<String> {
    let source = Source { rules: Rules::new(exclude, include).unwrap(), ..Source::new(room.source()) };
    room.backup(BackupRequest { source, ..room.incremental(now) }).await.unwrap();
    let target = format!("restored {now}");
    room.restore(room.to(&target)).await.unwrap();
    let files = tree(&room.path(&target)).into_iter().filter(|(_, entry)| entry.kind != 'd');
    files.map(|(name, _)| name).collect()
}

fn make(room: &Room, names: &[&str]) {
    for name in names {
        let path = room.source().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_follows_when_the_rules_change() {
    let room = Room::new();
    make(
        &room,
        &["a.log", "keep.log", "sub/a.log", "sub/b", "cache/x", "sub/cache/y", "etc/a.conf", "etc/b"],
    );
    let rules = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let first = rules(&["*.log", "!keep.log", "/cache/"]);
    let found = by_us(&room, &first, &[], T0).await;
    assert_eq!(found, set(&["keep.log", "sub/b", "sub/cache/y", "etc/a.conf", "etc/b"]));
    assert_eq!(found, by_git(&room, &first));
    let found = by_us(&room, &rules(&["cache", "sub/*", "!sub/b"]), &[], T0 + 1).await;
    assert_eq!(
        found,
        set(&["a.log", "keep.log", "sub/b", "etc/a.conf", "etc/b"]),
        "also what was left out before"
    );
    let found = by_us(&room, &rules(&["keep.log"]), &rules(&["*.conf", "*.log", "/cache"]), T0 + 2).await;
    assert_eq!(found, set(&["a.log", "sub/a.log", "etc/a.conf", "cache/x"]));
}

fn rule() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "*", "?", "a*", "**", "[ab]", "x.log", "*.log"]);
    (any::<bool>(), any::<bool>(), prop::collection::vec(part, 1..4), any::<bool>()).prop_map(
        |(negated, anchored, parts, of_folders)| {
            let text = parts.join("/");
            let mark = |is: bool, mark: &'static str| if is { mark } else { "" };
            format!("{}{}{text}{}", mark(negated, "!"), mark(anchored, "/"), mark(of_folders, "/"))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn git_takes_the_same_files(rules in prop::collection::vec(rule(), 1..6)) {
        let room = Room::new();
        make(&room, &[
            "a/a/x.log", "a/b", "a/x.log", "b/a/b", "b/x.log", "b/b/a/x.log", "c/a", "c/d/b", "x.log", "ab/a", "d",
        ]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ours = runtime.block_on(by_us(&room, &rules, &[], T0));
        prop_assert_eq!(ours, by_git(&room, &rules), "{:?}", rules);
    }
}
