//! Unmodified programs of OpenStack, in virtual environments that are made once.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the programs of these packages: `FREEZER_TEST_VENV` with `-NAME` after it.
pub fn programs(name: &str, packages: &[&str]) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = std::env::var_os("FREEZER_TEST_VENV")
        .map_or_else(|| here.join("../../target/test-venv"), PathBuf::from);
    let mut place = place.into_os_string();
    place.push(format!("-{name}"));
    let output = Command::new(here.join("make-venv")).arg(place).args(packages).output().expect("make-venv");
    assert!(
        output.status.success(),
        "{packages:?} cannot be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Those of Freezer in Python: `freezer-agent` and `freezer-scheduler`.
pub fn freezer_in_python() -> PathBuf {
    programs("scheduler", &["freezer==19.0.0", "python-freezerclient==6.5.0"])
}
