//! Imports into the cluster that break off in their middle, each time at the same byte.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// It is Ceph's own `rbd` that imports; of a stream that is longer it gets this much, and opens its image before it ends.
const CUT_BYTES: usize = 4096;

/// A `PATH` of programs where this follows in the shell when an import has come so far. `$PPID` is the agent.
pub fn path_where_imports_end(folder: &Path, then: &str) -> String {
    let programs = folder.join(format!("programs-{}", freezer_testkit::random_name()));
    std::fs::create_dir(&programs).unwrap();
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
    let program = programs.join("rbd");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", programs.display())
}

/// The import fails, whatever else would come.
pub const FAILS: &str = "cat > /dev/null";
/// The agent is told to stop.
pub const STOPS: &str = "kill -TERM $PPID; cat > /dev/null";
/// The agent dies.
pub const DIES: &str = "kill -KILL $PPID";
