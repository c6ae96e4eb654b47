//! LVM as it answers, recorded: machines without a device mapper have none that could be asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::lvm::Snapshot;
use super::mounts::{self, Mount};
use super::recorded::{Answer, Recorded};
use super::{Made, Place};
use crate::options::snapshot::{LvmOptions, SnapshotKind, SnapshotOptions};
use std::path::{Path, PathBuf};

const TABLE: &str =
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 253:2 / /srv rw - xfs /dev/mapper/vg0-srv rw\n";

fn rows(rows: &[&str]) -> String {
    format!(r#"{{"report": [{{"lv": [{}]}}]}}"#, rows.join(","))
}

fn origin(attributes: &str) -> String {
    rows(&[&format!(
        r#"{{"vg_name":"vg0", "lv_name":"srv", "lv_path":"/dev/vg0/srv", "lv_attr":"{attributes}", "lv_tags":"",
            "lv_kernel_major":"253", "lv_kernel_minor":"2", "data_percent":"", "pool_lv":""}}"#
    )])
}

fn snapshot(tag: &str, attributes: &str, percent: &str) -> String {
    rows(&[&format!(
        r#"{{"vg_name":"vg0", "lv_name":"freezer_snapshot_t", "lv_path":"/dev/vg0/freezer_snapshot_t",
            "lv_attr":"{attributes}", "lv_tags":"other,{tag}", "lv_kernel_major":"253", "lv_kernel_minor":"7",
            "data_percent":"{percent}", "pool_lv":"pool"}}"#
    )])
}

fn options() -> LvmOptions {
    LvmOptions { group: None, volume: None, name: None, writable: false, size: "1G".to_owned(), mount: None }
}

fn place(host: &Recorded, path: &str) -> Place {
    Place { path: PathBuf::from(path), mount: mounts::of(host, Path::new(path)).unwrap() }
}

async fn planned(host: &Recorded, options: LvmOptions, mount: &Path) -> Result<Snapshot, String> {
    let place = place(host, "/srv/data");
    Snapshot::plan(host, &options, &place, ("freezer_snapshot_t", mount.to_path_buf())).await
}

const TAG: &str = "freezer_freezer_snapshot_t";
const FIND: &str = "lvs --reportformat json --options vg_name,lv_name,lv_path,lv_attr,lv_tags,lv_kernel_major,\
                    lv_kernel_minor,data_percent,pool_lv --select vg_name=\"vg0\" && lv_name=\"freezer_snapshot_t\"";

#[tokio::test]
async fn a_thick_volume_is_snapshotted_mounted_checked_and_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("t");
    let host = Recorded::new(TABLE).then(Answer::ok("lvs", origin("owi-aos---")));
    let made = planned(&host, options(), &mount).await.unwrap();
    let line = format!("40 22 253:7 / {} ro - xfs /dev/mapper/vg0-freezer_snapshot_t ro", mount.display());
    host.add(Answer::ok("lvcreate", ""));
    host.add(Answer::ok("mount", "").mounting(line.clone()));
    made.make(&host).await.unwrap();
    assert!(host.heard()[0].contains("--select lv_kernel_major=253 && lv_kernel_minor=2"));
    assert!(mount.is_dir());

    host.add(Answer::ok("lvs", snapshot(TAG, "swi-aos---", "12.50")));
    made.check(&host).await.unwrap();
    host.heard();
    for (attributes, percent) in [("swi-I-s---", "100.00"), ("swi-S-s---", ""), ("swi-aos---", "100.00")] {
        host.add(Answer::ok("lvs", snapshot(TAG, attributes, percent)));
        let full = made.check(&host).await.unwrap_err();
        assert!(full.contains("ran full") && full.contains("1G") && full.contains("lvm_snapsize"), "{full}");
    }
    host.add(Answer::ok("lvs", rows(&[])));
    assert!(made.check(&host).await.unwrap_err().contains("removed"));
    host.heard();

    host.add(Answer::ok("lvs", snapshot(TAG, "swi-aos---", "")));
    host.add(Answer::ok("umount", "").mounting(format!("-{line}")));
    host.add(Answer::ok("lvremove --force vg0/freezer_snapshot_t", ""));
    host.add(Answer::ok("lvs", rows(&[])));
    made.remove(&host).await.unwrap();
    let asked = host.heard();
    assert_eq!(
        (asked[0].as_str(), asked[1].as_str()),
        (FIND, format!("umount {}", mount.display()).as_str())
    );
    assert!(!mount.exists(), "its own folder goes with it");
}

#[tokio::test]
async fn the_commands_are_those_that_lvm_takes() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("t");
    let mounted = format!("40 22 253:7 / {} ro - xfs /dev/mapper/x ro", mount.display());
    for (attributes, size, writable, create, how) in [
        (
            "-wi-ao----",
            "1G",
            false,
            "--permission r --addtag TAG --name NAME --size 1G vg0/srv",
            "nouuid,norecovery ",
        ),
        (
            "owi-aos---",
            "80%FREE",
            true,
            "--permission rw --addtag TAG --name NAME --extents 80%FREE vg0/srv",
            "nouuid ",
        ),
        (
            "Vwi-aotz--",
            "1G",
            false,
            "--permission r --addtag TAG --name NAME --setactivationskip n vg0/srv",
            "norecovery ",
        ),
    ] {
        let host = Recorded::new(TABLE).then(Answer::ok("lvs", origin(attributes)));
        let asked = LvmOptions { size: size.to_owned(), writable, ..options() };
        let made = planned(&host, asked, &mount).await.unwrap();
        host.add(Answer::ok("lvcreate", ""));
        host.add(Answer::ok("mount", "").mounting(mounted.clone()));
        made.make(&host).await.unwrap();
        let heard = host.heard();
        let create = create.replace("TAG", TAG).replace("NAME", "freezer_snapshot_t");
        assert_eq!(heard[1], format!("lvcreate --snapshot {create}"));
        assert!(
            heard[2].starts_with("mount -t xfs -o ro,nosuid,nodev,noexec,") && heard[2].contains(how),
            "{heard:?}"
        );
        assert!(heard[2].ends_with(&format!(" /dev/vg0/freezer_snapshot_t {}", mount.display())));
    }
}

#[tokio::test]
async fn what_others_made_stays() {
    let folder = tempfile::tempdir().unwrap();
    let host = Recorded::new(TABLE).then(Answer::ok("lvs", origin("-wi-ao----")));
    let named = LvmOptions { name: Some("freezer_snapshot_t".to_owned()), ..options() };
    let made = planned(&host, named, &folder.path().join("t")).await.unwrap();
    host.add(Answer::failed(
        "lvcreate",
        "Logical Volume \"freezer_snapshot_t\" already exists in volume group \"vg0\"",
    ));
    assert!(made.make(&host).await.unwrap_err().contains("already exists"));
    host.heard();
    // It has the name, but not the tag: no lvremove follows.
    host.add(Answer::ok("lvs", snapshot("of_an_operator", "swi-aos---", "1.0")));
    made.remove(&host).await.unwrap();
    assert_eq!(host.heard().len(), 1);
}

#[tokio::test]
async fn a_busy_volume_is_tried_again_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let host = Recorded::new(TABLE).then(Answer::ok("lvs", origin("-wi-ao----")));
    let made = planned(&host, options(), &folder.path().join("t")).await.unwrap();
    for _ in 0..5 {
        host.add(Answer::ok("lvs", snapshot(TAG, "swi-aos---", "1.0")));
        host.add(Answer::failed("lvremove", "Logical volume vg0/freezer_snapshot_t in use."));
    }
    assert!(made.remove(&host).await.unwrap_err().contains("in use"));
    host.heard();
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().to_path_buf();
    std::fs::write(occupied.join("file"), "").unwrap();
    for (options, word) in [
        (LvmOptions { group: Some("vg1".to_owned()), ..options() }, "lvm_volgroup is vg1"),
        (LvmOptions { volume: Some("/dev/vg0/other".to_owned()), ..options() }, "lies on vg0/srv"),
        (LvmOptions { mount: Some(occupied), ..options() }, "not empty"),
        (LvmOptions { mount: Some("/srv/data/snap".into()), ..options() }, "in the folder that is saved"),
    ] {
        let host = Recorded::new(TABLE).then(Answer::ok("lvs", origin("-wi-ao----")));
        let refused = planned(&host, options, &folder.path().join("t")).await.unwrap_err();
        assert!(refused.contains(word), "{refused}");
        assert_eq!(host.heard().len(), 1);
    }
    let host = Recorded::new(TABLE).then(Answer::ok("lvs", rows(&[])));
    let refused = planned(&host, options(), &folder.path().join("t")).await.unwrap_err();
    assert!(refused.contains("no volume of LVM") && refused.contains("snapshot_command"), "{refused}");
    for (same, spelling) in [("srv", "name"), ("vg0/srv", "both"), ("/dev/vg0/srv", "path")] {
        let host = Recorded::new(TABLE).then(Answer::ok("lvs", origin("-wi-ao----")));
        let named = LvmOptions { volume: Some(same.to_owned()), ..options() };
        assert!(planned(&host, named, &folder.path().join("t")).await.is_ok(), "{spelling}");
    }
}

#[tokio::test]
async fn a_kind_that_is_not_the_paths_is_refused() {
    let host =
        Recorded::new("22 1 0:33 / /srv rw - btrfs /dev/sdb rw\n24 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    for (kind, path, word) in [
        (SnapshotKind::Lvm(options()), "/srv/data", "say snapshot=btrfs"),
        (SnapshotKind::Zfs, "/srv/data", "lies on btrfs, not on zfs"),
        (SnapshotKind::Btrfs, "/home", "lies on ext4, not on btrfs"),
    ] {
        let wanted = SnapshotOptions { kind, lifetime_secs: 1 };
        let place = place(&host, path);
        let refused = Made::plan(&host, &wanted, &place, ("t", Path::new("/nowhere"))).await.unwrap_err();
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(host.heard().len(), 0);
}

#[test]
fn a_part_that_is_mounted_is_found_in_the_whole() {
    let snapshot = Snapshot {
        group: "vg0".to_owned(),
        origin: "srv".to_owned(),
        name: "n".to_owned(),
        tag: TAG.to_owned(),
        size: None,
        writable: false,
        kind: "ext4".to_owned(),
        mount: "/state/t".into(),
        is_mount_own: true,
    };
    let live = |root: &str| Mount {
        device: (253, 2),
        root: root.into(),
        point: "/srv".into(),
        kind: "ext4".to_owned(),
        source: String::new(),
    };
    assert_eq!(snapshot.root(&live("/")), Path::new("/state/t"));
    assert_eq!(snapshot.root(&live("/sub/folder")), Path::new("/state/t/sub/folder"));
}
