//! Imports into the cluster and exports from it that break off in their middle, each time at the same byte.

use super::{LOOK, PATIENCE};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// It is Ceph's own `rbd` that imports; of a stream that is longer it gets this much, and opens its image before it ends.
const CUT_BYTES: usize = 4096;

/// A `PATH` of programs where this follows in the shell when an import has come so far. `$PPID` is the agent.
pub fn path_where_imports_end(folder: &Path, then: &str) -> String {
    let script = format!(
        r#"#!/bin/sh
case " $* " in
*" import-diff "*) ;;
*) exec /usr/bin/rbd "$@" ;;
esac
for image; do :; done
{{
    head -c {CUT_BYTES} > "$0.head"
    cat "$0.head"
    if [ "$(wc -c < "$0.head")" -eq {CUT_BYTES} ]; then
        until /usr/bin/rbd -c /etc/ceph/ceph.conf status "$image" | grep -q watcher=; do :; done
        {then}
    fi
}} | /usr/bin/rbd "$@"
"#
    );
    path_with_rbd(folder, &script)
}

/// The same for exports of changes: this follows when so much has come of one.
pub fn path_where_exports_end(folder: &Path, then: &str) -> String {
    path_where_exports_end_after(folder, CUT_BYTES, then)
}

/// The same when so many bytes have come of one.
pub fn path_where_exports_end_after(folder: &Path, bytes: usize, then: &str) -> String {
    let script = format!(
        r#"#!/bin/sh
case " $* " in
*" export-diff "*) ;;
*) exec /usr/bin/rbd "$@" ;;
esac
/usr/bin/rbd "$@" | head -c {bytes}
{then}
exit 1
"#
    );
    path_with_rbd(folder, &script)
}

/// A `PATH` with an `rbd` that notes what it is asked for; and the file where, one call a line.
pub fn path_that_notes(folder: &Path) -> (String, std::path::PathBuf) {
    let notes = folder.join(format!("notes-{}", freezer_testkit::random_name()));
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\nexec /usr/bin/rbd \"$@\"\n", notes.display());
    (path_with_rbd(folder, &script), notes)
}

fn path_with_rbd(folder: &Path, script: &str) -> String {
    let programs = folder.join(format!("programs-{}", freezer_testkit::random_name()));
    std::fs::create_dir(&programs).unwrap();
    let program = programs.join("rbd");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", programs.display())
}

/// Waits until nobody has the image open.
pub fn is_let_go(image: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let words = ["-c", "/etc/ceph/ceph.conf", "status", "--format", "json", image];
        let output = Command::new("rbd").args(words).output().unwrap();
        let status: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        if status["watchers"].as_array().unwrap().is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{image}: {status}");
        std::thread::sleep(LOOK);
    }
}

/// The import fails, whatever else would come.
pub const FAILS: &str = "cat > /dev/null";
/// The agent is told to stop.
pub const STOPS: &str = "kill -TERM $PPID; cat > /dev/null";
/// The agent dies.
pub const DIES: &str = "kill -KILL $PPID";
/// For exports: the agent is told to stop, and nothing more comes until it ends the program.
pub const HANGS: &str = "kill -TERM $PPID; exec sleep 30";
