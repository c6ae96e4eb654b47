//! Whether a local backup gives back what it was made of.

use std::path::Path;
use std::process::Command;

/// Restores that backup from `store` of the folder and compares it with `source` there.
pub fn restores(folder: &Path, name: &str) {
    let target = folder.join(format!("restored-{name}"));
    let _ = std::fs::remove_dir_all(&target);
    let output = Command::new(freezer_testkit::program("freezer-agent"))
        .args(["--action", "restore", "--storage", "local", "--quiet", "--backup-name", name, "--container"])
        .arg(folder.join("store"))
        .arg("--restore-abs-path")
        .arg(&target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let same = Command::new("diff").arg("-r").arg(folder.join("source")).arg(&target).output().unwrap();
    assert!(same.status.success(), "{name} differs: {}", String::from_utf8_lossy(&same.stdout));
}
