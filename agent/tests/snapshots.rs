//! Folders that are read from snapshots: Btrfs, ext4 and xfs for real, on loop devices. LVM's own programs are stand-ins that
//! answer as LVM does and copy an image where a device mapper would snapshot it: machines that run tests have none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_agent::serve::{executor_options, start};
use freezer_testkit::{Said, program, random_name};
use oslo_config::LoadArgs;
use oslo_messaging::{RabbitOptions, Transport};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);
const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn ran(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).env("PATH", SYSTEM).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}; see devstack/minicloud"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A file system on a loop device, with the agent's folders beside it.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(kind: &str) -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        let image = std::fs::File::create(stage.at("volume")).unwrap();
        image.set_len(if kind == "xfs" { 320 << 20 } else { 128 << 20 }).unwrap();
        ran(&[&format!("mkfs.{kind}"), "-q", stage.at("volume").to_str().unwrap()]);
        for name in ["live", "bin", "store", "state"] {
            std::fs::create_dir(stage.at(name)).unwrap();
        }
        ran(&["mount", "-o", "loop", &stage.name("volume"), &stage.name("live")]);
        std::fs::write(stage.at("agent.conf"), format!("[agent]\nstate_dir = {}\n", stage.name("state")))
            .unwrap();
        std::fs::create_dir(stage.at("live/data")).unwrap();
        std::fs::write(stage.at("live/data/file"), "of old").unwrap();
        stage
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// A program that the agent finds first. `$STAGE` is this folder, `$REAL` where the real programs are.
    fn stand_in(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        let head = format!("#!/bin/sh -e\nSTAGE={}\nPATH={SYSTEM}\n", self.folder.path().display());
        std::fs::write(&path, head + script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn path(&self) -> String {
        format!("{}:{SYSTEM}", self.name("bin"))
    }

    async fn agent(&self, arguments: &[&str]) -> Said {
        let conf = self.name("agent.conf");
        let arguments = [&["--config-file", &conf][..], arguments].concat();
        Said::by_agent("fs", &self.at("store"), &[("PATH", &self.path())], &arguments).await
    }

    async fn save(&self, more: &[&str]) -> Said {
        let data = self.name("live/data");
        let what = ["--action", "backup", "--path-to-backup", &data, "--incremental"];
        self.agent(&[&what[..], more].concat()).await
    }

    async fn restored(&self, name: &str) -> PathBuf {
        let target = self.name(name);
        self.agent(&["--action", "restore", "--restore-abs-path", &target]).await.document();
        self.at(name)
    }

    /// An agent at work, which a test kills.
    fn at_work(&self, more: &[&str]) -> Child {
        let mut command = Command::new(program("freezer-agent"));
        command.env_clear().env("PATH", self.path()).args(["--config-file", &self.name("agent.conf")]);
        command.args(["--action", "backup", "--storage", "local", "--container", &self.name("store")]);
        command.args(["--hostname", "h", "--backup-name", "db", "--path-to-backup", &self.name("live/data")]);
        command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Notes of what must be undone.
    fn notes(&self) -> Vec<PathBuf> {
        let Ok(items) = std::fs::read_dir(self.at("state/snapshots")) else { return Vec::new() };
        items.map(|item| item.unwrap().path()).collect()
    }

    /// What the agent must never leave.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.notes(), Vec::<PathBuf>::new());
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!table.contains(&self.name("state")), "{table}");
    }

    /// No backup is there, not even a part of one.
    #[track_caller]
    fn nothing_is_stored(&self) {
        let stored = ran(&["find", &self.name("store"), "-type", "f"]);
        assert_eq!(stored, "");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let inside = table.lines().filter_map(|line| line.split(' ').nth(4));
        let inside: Vec<&str> = inside.filter(|point| point.starts_with(&self.name(""))).collect();
        for point in inside.iter().rev() {
            let _ = Command::new("/usr/bin/umount").args(["--lazy", point]).status();
        }
        if let Ok(device) = std::fs::read_to_string(self.at("snap.dev")) {
            let _ = Command::new("/usr/sbin/losetup").args(["--detach", device.trim()]).status();
        }
    }
}

fn awaited(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref())
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// What happens while the snapshot is there, as the programs of the host see it.
const CHANGE: &str = "echo changed > $STAGE/live/data/file; echo new > $STAGE/live/data/new\n";

#[tokio::test]
async fn btrfs_is_read_as_it_was_and_left_as_it_is() {
    let stage = Stage::new("btrfs");
    std::fs::remove_dir_all(stage.at("live/data")).unwrap();
    ran(&["btrfs", "subvolume", "create", &stage.name("live/data")]);
    std::fs::create_dir(stage.at("live/data/sub")).unwrap();
    std::fs::write(stage.at("live/data/sub/deep"), "deep").unwrap();
    std::fs::write(stage.at("live/data/file"), "of old").unwrap();
    stage.stand_in("btrfs", &format!("btrfs \"$@\"\n[ \"$2\" != snapshot ] || {{ {CHANGE} }}\n"));
    let first = stage.save(&["--snapshot", "true", "--consistency-check"]).await.document();
    let path = stage.name("live/data");
    assert_eq!(
        (&first["path_to_backup"], &first["fs_real_path"]),
        (&Value::from(path.clone()), &Value::from(path))
    );
    stage.is_clean();
    let back = stage.restored("first").await;
    let mut names: Vec<_> = std::fs::read_dir(&back).unwrap().map(|item| item.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["file", "sub"], "of the moment of the snapshot, and nothing of it");
    assert_eq!((text(back.join("file")), text(back.join("sub/deep"))), ("of old".into(), "deep".into()));

    // Both ways of reading are of one chain, and see what changed while the other was at work.
    std::fs::remove_file(stage.at("bin/btrfs")).unwrap();
    let second = stage.save(&["--snapshot", "btrfs"]).await.document();
    assert_eq!(second["curr_backup_level"], 1);
    // The file that was written right before the first snapshot may be read once more.
    assert!([12, 16].contains(&second["bytes_read"].as_u64().unwrap()), "{second}");
    let third = stage.save(&[]).await.document();
    assert_eq!(
        (&third["curr_backup_level"], &third["bytes_read"]),
        (&Value::from(2), &Value::from(0)),
        "{third}"
    );
    assert_eq!(text(stage.restored("second").await.join("file")), "changed\n");
    // One folder of a subvolume, with the place of somebody else's snapshot beside it.
    let sub = stage.name("live/data/sub");
    let one = ["--action", "backup", "--snapshot", "true", "--path-to-backup", &sub];
    assert_eq!(stage.agent(&one).await.document()["bytes_read"], 4);
    assert_eq!(ran(&["btrfs", "subvolume", "list", &stage.name("live")]).lines().count(), 1);
    stage.is_clean();
    // A trial changes nothing on the host.
    stage.stand_in("btrfs", "exit 7\n");
    stage.save(&["--snapshot", "true", "--dry-run"]).await.document();
    stage.save(&["--snapshot", "true"]).await.fails_with(&["snapshot", "btrfs ended with status 7"]);
    stage.is_clean();
}

#[tokio::test]
async fn a_killed_agents_snapshot_goes_with_the_next() {
    let stage = Stage::new("btrfs");
    stage.stand_in("btrfs", "btrfs \"$@\"\n[ \"$2\" != snapshot ] || { touch $STAGE/held; while [ -e $STAGE/held ]; do sleep 0.02; done; }\n");
    let mut agent = stage.at_work(&["--snapshot", "true"]);
    awaited("the snapshot", || stage.at("held").exists());
    agent.kill().unwrap();
    agent.wait().unwrap();
    let note =
        stage.notes().into_iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    assert_eq!(ran(&["btrfs", "subvolume", "list", &stage.name("live")]).lines().count(), 1);
    // What a program that is still at work holds is nobody's yet.
    std::fs::remove_file(stage.at("bin/btrfs")).unwrap();
    stage.save(&["--snapshot", "true"]).await.document();
    assert_eq!(stage.notes(), std::slice::from_ref(&note));
    std::fs::remove_file(stage.at("held")).unwrap();
    ran(&["flock", note.to_str().unwrap(), "true"]);
    let done = stage.save(&["--snapshot", "true"]).await;
    assert_eq!(
        (done.document()["is_partial"].clone(), done.err.matches("left by an agent that is gone").count()),
        (Value::from(false), 1)
    );
    assert_eq!(ran(&["btrfs", "subvolume", "list", &stage.name("live")]), "");
    stage.is_clean();
}

/// Lets a test know that it is at work, and ends when that says so.
const HANG: &str = "touch $STAGE/held; while [ -e $STAGE/held ]; do sleep 0.02; done\n";
/// A copy of the volume is its snapshot; without a freeze it would be none.
const TAKE: &str = "cp $STAGE/volume $STAGE/copy";
const MOUNT: &str = "mount -o ro,loop$MORE $STAGE/copy $FREEZER_SNAPSHOT_DIR";
const REMOVE: &str = "umount $FREEZER_SNAPSHOT_DIR 2>/dev/null || true; rm -f $STAGE/copy; echo $FREEZER_SNAPSHOT >> $STAGE/removed\n";

async fn by_commands(kind: &str) {
    let stage = Stage::new(kind);
    // Xfs refuses two of one identity, and keeps something in its log, which a device that cannot be written keeps.
    let more = if kind == "xfs" { "MORE=,nouuid,norecovery\n" } else { "" };
    // A write does not come through while the first command runs, and does afterwards.
    stage.stand_in(
        "take",
        &format!(
            "(echo late > $STAGE/live/data/late) >/dev/null 2>&1 &\n{TAKE}\n[ ! -e $STAGE/live/data/late ]\n"
        ),
    );
    stage.stand_in(
        "attach",
        &format!("{more}until [ -e $STAGE/live/data/late ]; do :; done\n{CHANGE}{MOUNT}\n"),
    );
    stage.stand_in("remove", REMOVE);
    let commands = [
        "--snapshot-command",
        "take",
        "--snapshot-mount-command",
        "attach",
        "--snapshot-remove-command",
        "remove",
    ];
    let frozen = [&commands[..], &["--fsfreeze"]].concat();
    stage.save(&frozen).await.document();
    let back = stage.restored("back").await;
    assert_eq!(text(back.join("file")), "of old");
    assert!(!back.join("new").exists() && !back.join("late").exists());
    assert_eq!(text(stage.at("removed")).lines().count(), 1);
    stage.is_clean();
    stage.stand_in("take", TAKE);
    // What is not mounted is not taken for an empty folder, and the living one not for its snapshot.
    stage.stand_in("attach", "");
    stage.save(&frozen).await.fails_with(&["has mounted nothing"]);
    stage.stand_in("attach", "mount --bind $STAGE/live $FREEZER_SNAPSHOT_DIR\n");
    stage.save(&frozen).await.fails_with(&["the living file system itself"]);
    stage.stand_in("take", "echo no space >&2; exit 4\n");
    stage.save(&frozen).await.fails_with(&["snapshot_command: take ended with status 4: no space"]);
    std::fs::write(stage.at("live/data/file"), "it moves").unwrap();
    stage.is_clean();
}

/// Option `sync`, which is on unless told otherwise.
#[tokio::test]
async fn what_was_written_is_on_the_disk_before_it_is_saved() {
    let stage = Stage::new("ext4");
    let written = random_name();
    std::fs::write(stage.at("live/data/file"), &written).unwrap();
    stage.save(&[]).await.document();
    // The kernel alone would leave it in memory for half a minute.
    let search = "tr -d '\\0' < \"$1\" | grep -qaF \"$2\"";
    ran(&["sh", "-c", search, "sh", &stage.name("volume"), &written]);
}

#[tokio::test]
async fn a_frozen_ext4_is_copied_by_commands() {
    by_commands("ext4").await;
}

#[tokio::test]
async fn a_frozen_xfs_is_copied_by_commands() {
    by_commands("xfs").await;
}

#[tokio::test]
async fn nothing_stays_frozen() {
    let stage = Stage::new("ext4");
    stage.stand_in("take", HANG);
    stage.stand_in("remove", REMOVE);
    let late = [
        "--snapshot-command",
        "take",
        "--snapshot-remove-command",
        "remove",
        "--fsfreeze",
        "--fsfreeze-timeout",
    ];
    stage.save(&[&late[..], &["1"]].concat()).await.fails_with(&["snapshot_command"]);
    std::fs::write(stage.at("live/data/file"), "after the time-out").unwrap();
    stage.is_clean();
    stage.nothing_is_stored();
    std::fs::remove_file(stage.at("held")).unwrap();

    let mut agent = stage.at_work(&[&late[..], &["600"]].concat());
    awaited("the freeze", || stage.at("held").exists());
    agent.kill().unwrap();
    agent.wait().unwrap();
    // Of an agent that is gone the watchdog lets go at once: this would wait for ten minutes.
    let touched = stage.name("live/data/touched");
    ran(&["timeout", "-s", "KILL", "180", "touch", &touched]);
    std::fs::remove_file(stage.at("held")).unwrap();
    ended(&stage);
    stage.stand_in("take", &format!("{HANG}\n{TAKE}\n"));
    stage.stand_in("attach", MOUNT);
    let good = [&late[..], &["600", "--snapshot-mount-command", "attach"]].concat();

    // Not even with the watchdog gone: the next agent knows.
    let mut agent = stage.at_work(&good);
    awaited("the freeze", || stage.at("held").exists());
    // It would let go at once if it outlived the agent by a moment.
    kill_watchdog(&stage.name("live"));
    agent.kill().unwrap();
    agent.wait().unwrap();
    std::fs::remove_file(stage.at("held")).unwrap();
    ended(&stage);
    stage.stand_in("take", TAKE);
    stage.save(&good).await.document();
    std::fs::write(stage.at("live/data/file"), "it moves").unwrap();
    stage.is_clean();
}

/// Waits until no program works with a snapshot any more.
fn ended(stage: &Stage) {
    for note in stage.notes().iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        ran(&["flock", note.to_str().unwrap(), "true"]);
    }
}

/// With its whole group, as the kernel or systemd may end all that an agent has started.
fn kill_watchdog(point: &str) {
    let of = |process: &Path| {
        let words = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        words.split('\0').any(|word| word == "freezer-thaw") && words.split('\0').any(|word| word == point)
    };
    let processes = std::fs::read_dir("/proc").unwrap().map(|item| item.unwrap().path());
    let watchdog = processes.into_iter().find(|process| of(process)).expect("a watchdog");
    ran(&["kill", "-KILL", "--", &format!("-{}", watchdog.file_name().unwrap().to_str().unwrap())]);
}

/// LVM's programs over an image: `vg/lv` is the loop device of `live`.
fn lvm(stage: &Stage) {
    stage.stand_in(
        "lvs",
        "for select; do :; done\n\
         numbers() { stat -c '\"lv_kernel_major\":\"%Hr\",\"lv_kernel_minor\":\"%Lr\"' $1; }\n\
         case \"$select\" in\n\
         lv_kernel_major=*) row='\"lv_name\":\"lv\",\"lv_tags\":\"\",\"lv_attr\":\"owi-aos---\",\"data_percent\":\"\",'\n\
            device=$(findmnt -no SOURCE $STAGE/live) ;;\n\
         *) [ -e $STAGE/snap.dev ] || { echo '{\"report\":[{\"lv\":[]}]}'; exit 0; }\n\
            state=$(cat $STAGE/attr 2>/dev/null || echo 'swi-aos---\",\"data_percent\":\"3.10')\n\
            row=\"\\\"lv_name\\\":\\\"snap\\\",\\\"lv_tags\\\":\\\"$(cat $STAGE/tag)\\\",\\\"lv_attr\\\":\\\"$state\\\",\"\n\
            device=$(cat $STAGE/snap.dev) ;;\n\
         esac\n\
         echo \"{\\\"report\\\":[{\\\"lv\\\":[{\\\"vg_name\\\":\\\"vg\\\",$row$(numbers $device)}]}]}\"\n",
    );
    stage.stand_in(
        "lvcreate",
        "echo lvcreate \"$@\" >> $STAGE/asked\n\
         fsfreeze -f $STAGE/live; cp $STAGE/volume $STAGE/snap.img; fsfreeze -u $STAGE/live\n\
         while [ \"$1\" != --addtag ]; do shift; done; echo \"$2\" > $STAGE/tag\n\
         losetup --find --show --read-only $STAGE/snap.img > $STAGE/snap.new; mv $STAGE/snap.new $STAGE/snap.dev\n",
    );
    stage.stand_in(
        "mount",
        &format!(
            "for target; do :; done\n[ $6 = $target ]\nmount \"$1\" \"$2\" \"$3\" \"$4\" $(cat $STAGE/snap.dev) $target\n\
             {CHANGE}[ ! -e $STAGE/hang ] || {{ touch $STAGE/held; while [ -e $STAGE/held ]; do sleep 0.02; done; }}\n"
        ),
    );
    stage.stand_in(
        "lvremove",
        "echo lvremove \"$@\" >> $STAGE/asked\nlosetup --detach $(cat $STAGE/snap.dev)\nrm $STAGE/snap.dev $STAGE/snap.img\n",
    );
}

#[tokio::test]
async fn lvm_is_read_as_it_was_and_a_full_snapshot_is_no_backup() {
    let stage = Stage::new("ext4");
    lvm(&stage);
    let wanted = ["--snapshot", "True", "--lvm-snapname", "snap", "--lvm-snapsize", "50%FREE"];
    stage.save(&wanted).await.document();
    let asked = text(stage.at("asked"));
    assert!(asked.contains("lvcreate --snapshot --permission r --addtag freezer_"), "{asked}");
    assert!(asked.ends_with("--name snap --extents 50%FREE vg/lv\nlvremove --force vg/snap\n"), "{asked}");
    assert_eq!(text(stage.restored("back").await.join("file")), "of old");
    stage.is_clean();
    let second = stage.save(&wanted).await.document();
    assert_eq!(
        (&second["curr_backup_level"], &second["files"]),
        (&Value::from(1), &Value::from(3)),
        "{second}"
    );
    assert_eq!(text(stage.restored("again").await.join("new")), "new\n");

    std::fs::remove_dir_all(stage.at("store")).unwrap();
    std::fs::create_dir(stage.at("store")).unwrap();
    for state in ["swi-I-s---\",\"data_percent\":\"100.00", "swi-aos---\",\"data_percent\":\"100.00"] {
        std::fs::write(stage.at("attr"), state).unwrap();
        stage.save(&wanted).await.fails_with(&[
            "LVM snapshot vg/snap",
            "ran full",
            "lvm_snapsize",
            "not kept",
        ]);
        stage.nothing_is_stored();
        stage.is_clean();
    }
    stage.save(&["--snapshot", "1", "--lvm-volgroup", "other"]).await.fails_with(&["lvm_volgroup is other"]);
    stage.is_clean();
}

#[tokio::test]
async fn what_an_aborted_or_killed_agent_has_of_lvm_goes() {
    let stage = Stage::new("ext4");
    lvm(&stage);
    std::fs::write(stage.at("hang"), "").unwrap();
    let mut agent = stage.at_work(&["--snapshot", "lvm", "--lvm-snapname", "snap"]);
    awaited("the snapshot", || stage.at("held").exists());
    ran(&["kill", "-TERM", &agent.id().to_string()]);
    std::fs::remove_file(stage.at("held")).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(143));
    stage.is_clean();
    stage.nothing_is_stored();

    let mut agent = stage.at_work(&["--snapshot", "lvm", "--lvm-snapname", "snap"]);
    awaited("the snapshot", || stage.at("held").exists());
    agent.kill().unwrap();
    agent.wait().unwrap();
    std::fs::remove_file(stage.at("held")).unwrap();
    std::fs::remove_file(stage.at("hang")).unwrap();
    ended(&stage);
    assert!(stage.at("snap.dev").exists(), "it was left");
    let done = stage.save(&["--snapshot", "lvm", "--lvm-snapname", "snap"]).await;
    done.document();
    assert!(
        done.err.contains("LVM snapshot vg/snap was left by an agent that is gone; removed"),
        "{}",
        done.err
    );
    stage.is_clean();
}

#[tokio::test]
async fn a_snapshot_does_not_live_for_ever() {
    let stage = Stage::new("btrfs");
    let slow =
        ["--snapshot", "true", "--snapshot-timeout", "1", "--upload-limit", "1K", "--compression", "none"];
    std::fs::write(stage.at("live/data/noise"), vec![7; 1 << 20]).unwrap();
    stage.save(&slow).await.fails_with(&["1 s old", "snapshot_timeout"]);
    stage.is_clean();
    stage.nothing_is_stored();
    assert_eq!(ran(&["btrfs", "subvolume", "list", &stage.name("live")]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_starts_removes_what_was_left() {
    let stage = Stage::new("btrfs");
    stage.stand_in("btrfs", &format!("btrfs \"$@\"\n{HANG}"));
    let mut agent = stage.at_work(&["--snapshot", "true"]);
    awaited("the snapshot", || stage.at("held").exists());
    agent.kill().unwrap();
    agent.wait().unwrap();
    let arguments = LoadArgs::default().file(stage.at("agent.conf")).option("agent", "project_id", "p");
    let config = freezer_agent::config::registry().load(arguments).unwrap();
    let options = executor_options(&config, &[]).unwrap();
    let bus = Transport::connect(&format!("fake://{}/", random_name()), RabbitOptions::default()).unwrap();
    let daemon = start(options, &bus).await.unwrap();
    // The program that the dead one had started is at work for a while yet: what it makes is not lost sight of.
    std::fs::remove_file(stage.at("held")).unwrap();
    let live = stage.name("live");
    awaited("the removal", || {
        ran(&["btrfs", "subvolume", "list", &live]).is_empty() && stage.notes().is_empty()
    });
    stage.is_clean();
    daemon.stop().await;
}
