//! The demo as a newcomer starts it: exit status 0, both trees equal, nothing left running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::process::Command;

fn demo(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_freezer-standalone")).arg("demo").args(arguments).output().unwrap()
}

fn tree(root: &std::path::Path) {
    for folder in 0..20 {
        let folder = root.join(format!("folder {folder}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in 0..30 {
            std::fs::write(folder.join(format!("file{file}")), format!("{file}\n").repeat(file * 50))
                .unwrap();
        }
    }
    std::os::unix::fs::symlink("folder 1/file2", root.join("link")).unwrap();
}

#[test]
fn the_demo_saves_and_restores_two_states() {
    let work = tempfile::tempdir().unwrap();
    let (source, dir) = (work.path().join("source"), work.path().join("demo"));
    tree(&source);
    let output = demo(&[source.to_str().unwrap(), "--dir", dir.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in ["level 0", "level 1", "the newest state", "the older state", "curl", "openstack"] {
        assert!(said.contains(part), "'{part}' is missing in:\n{said}");
    }
    assert!(dir.join("restored-newest/new folder/deep/größe.txt").exists());
    assert!(!dir.join("restored-older/new folder").exists());
}

#[test]
fn the_demo_refuses_what_it_cannot_use() {
    let work = tempfile::tempdir().unwrap();
    let missing = demo(&[
        work.path().join("nothing").to_str().unwrap(),
        "--dir",
        work.path().join("d").to_str().unwrap(),
    ]);
    assert!(!missing.status.success());
    let used = demo(&["--dir", work.path().to_str().unwrap(), work.path().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&used.stderr).contains("not empty"));
}
