//! A snapshot of a logical volume, thick or thin, mounted for reading. LVM freezes the file system for the moment itself.
//!
//! A thick snapshot has room for what changes while it lives; when that runs out it is lost, and reads of it fail or are wrong.
//! So LVM is asked when all was read.

use super::Place;
use super::host::{Call, Host, succeed};
use super::mounts::{self, Mount};
use crate::options::snapshot::LvmOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of the volume, in the place of names that an operator can give: what bears it, an agent has made.
const TAG: &str = "freezer";
/// A volume is busy for a moment after the last reader.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });
const FIELDS: &str =
    "vg_name,lv_name,lv_path,lv_attr,lv_tags,lv_kernel_major,lv_kernel_minor,data_percent,pool_lv";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub group: String,
    pub origin: String,
    pub name: String,
    /// Nobody else's volume has it, whatever its name.
    pub tag: String,
    /// None of a thin volume.
    pub size: Option<String>,
    pub writable: bool,
    /// Of the file system.
    pub kind: String,
    pub mount: PathBuf,
    pub is_mount_own: bool,
}

/// A row of `lvs`.
struct Volume(Value);

impl Volume {
    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn attribute(&self, place: usize) -> u8 {
        self.text("lv_attr").as_bytes().get(place).copied().unwrap_or(b'-')
    }

    fn device(&self) -> Option<(u32, u32)> {
        Some((self.text("lv_kernel_major").parse().ok()?, self.text("lv_kernel_minor").parse().ok()?))
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.text("lv_tags").split(',').any(|one| one == tag)
    }
}

async fn volumes(host: &dyn Host, select: &str) -> Result<Vec<Volume>, String> {
    let call = Call::of(&["lvs", "--reportformat", "json", "--options", FIELDS, "--select", select]);
    let said = succeed(host, call).await?;
    let strange = |cause: String| format!("lvs said what this agent cannot read: {cause}");
    let report: Value = serde_json::from_str(&said).map_err(|error| strange(error.to_string()))?;
    let rows = report.pointer("/report/0/lv").and_then(Value::as_array);
    let rows = rows.ok_or_else(|| strange("it has no volumes".to_owned()))?;
    Ok(rows.iter().cloned().map(Volume).collect())
}

impl Snapshot {
    pub async fn plan(
        host: &dyn Host,
        options: &LvmOptions,
        place: &Place,
        (name, mount): (&str, PathBuf),
    ) -> Result<Self, String> {
        let Mount { device: (major, minor), source, kind, point, .. } = &place.mount;
        let select = format!("lv_kernel_major={major} && lv_kernel_minor={minor}");
        let found = volumes(host, &select).await?.into_iter().next().ok_or_else(|| {
            format!(
                "{} lies on {source} ({kind}), which is no volume of LVM; leave snapshot out, or name snapshot_command",
                place.path.display()
            )
        })?;
        let (group, origin) = (found.text("vg_name").to_owned(), found.text("lv_name").to_owned());
        if let Some(said) = options.group.as_ref().filter(|said| **said != group) {
            return Err(format!(
                "lvm_volgroup is {said}, but {} lies in {group}; leave it out",
                place.path.display()
            ));
        }
        let is_named = |said: &str| {
            said == origin || said == format!("{group}/{origin}") || said == found.text("lv_path")
        };
        if let Some(said) = options.volume.as_ref().filter(|said| !is_named(said)) {
            let path = place.path.display();
            return Err(format!("lvm_srcvol is {said}, but {path} lies on {group}/{origin}; leave it out"));
        }
        if options
            .mount
            .as_ref()
            .is_some_and(|mount| mount.starts_with(point) && mount.starts_with(&place.path))
        {
            return Err("lvm_dirmount lies in the folder that is saved; choose another".to_owned());
        }
        let snapshot = Self {
            name: options.name.clone().unwrap_or_else(|| name.to_owned()),
            tag: format!("{TAG}_{name}"),
            size: (found.attribute(0) != b'V').then(|| options.size.clone()),
            writable: options.writable,
            kind: kind.clone(),
            is_mount_own: options.mount.as_ref().is_none_or(|mount| !mount.exists()),
            mount: options.mount.clone().unwrap_or(mount),
            group,
            origin,
        };
        snapshot.check_mount(host)?;
        Ok(snapshot)
    }

    /// Nothing is mounted over what is there.
    fn check_mount(&self, host: &dyn Host) -> Result<(), String> {
        let bad = |cause: &str| Err(format!("lvm_dirmount {}: {cause}", self.mount.display()));
        match std::fs::read_dir(&self.mount).map(|mut items| items.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return bad("it is not empty; choose an empty directory"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return bad(&error.to_string()),
        }
        let is_used = mounts::all(host)?.iter().any(|mount| mount.point == self.mount);
        if is_used || self.mount.to_str().is_none() {
            bad("it is a mount point already, or not UTF-8")
        } else {
            Ok(())
        }
    }

    /// The root of what the folder's own mount shows.
    pub fn root(&self, live: &Mount) -> PathBuf {
        match live.root.strip_prefix("/") {
            Ok(part) if !part.as_os_str().is_empty() => self.mount.join(part),
            _ => self.mount.clone(),
        }
    }

    pub async fn make(&self, host: &dyn Host) -> Result<(), String> {
        let permission = if self.writable { "rw" } else { "r" };
        let volume = format!("{}/{}", self.group, self.origin);
        let mut words = vec!["lvcreate", "--snapshot", "--permission", permission];
        words.extend(["--addtag", &self.tag, "--name", &self.name]);
        match &self.size {
            Some(share) if share.contains('%') => words.extend(["--extents", share]),
            Some(amount) => words.extend(["--size", amount]),
            None => words.extend(["--setactivationskip", "n"]),
        }
        words.push(&volume);
        succeed(host, Call::of(&words)).await?;
        let folder = std::fs::DirBuilder::new().recursive(true).create(&self.mount);
        folder.map_err(|error| format!("{}: {error}", self.mount.display()))?;
        // LVM has emptied the journal; of xfs some stays, which a device that cannot be written cannot do away with.
        let how = match (self.kind.as_str(), self.writable) {
            ("xfs", false) => "ro,nosuid,nodev,noexec,nouuid,norecovery",
            ("xfs", true) => "ro,nosuid,nodev,noexec,nouuid",
            _ => "ro,nosuid,nodev,noexec",
        };
        let (device, mount) =
            (format!("/dev/{}/{}", self.group, self.name), self.mount.display().to_string());
        succeed(host, Call::of(&["mount", "-t", &self.kind, "-o", how, &device, &mount])).await?;
        let is_mounted = mounts::all(host)?.iter().any(|one| one.point == self.mount);
        if is_mounted { Ok(()) } else { Err(format!("mount of {device} on {mount} does not show")) }
    }

    /// What bears the name and the tag.
    async fn find(&self, host: &dyn Host) -> Result<Option<Volume>, String> {
        let select = format!("vg_name=\"{}\" && lv_name=\"{}\"", self.group, self.name);
        let found = volumes(host, &select).await?;
        Ok(found.into_iter().find(|volume| volume.has_tag(&self.tag)))
    }

    pub async fn check(&self, host: &dyn Host) -> Result<(), String> {
        let volume = self.find(host).await?.ok_or("somebody removed it while it was read")?;
        let used: f64 = volume.text("data_percent").parse().unwrap_or_default();
        let is_lost = matches!(volume.attribute(4), b'I' | b'S');
        match &self.size {
            Some(size) if is_lost || used >= 100.0 => Err(format!(
                "it ran full: more has changed meanwhile than {size} holds; give more by lvm_snapsize"
            )),
            _ if is_lost || matches!(volume.attribute(8), b'F' | b'p') => {
                let attributes = volume.text("lv_attr");
                Err(format!(
                    "LVM calls it broken ({attributes}); look at the pool {}",
                    volume.text("pool_lv")
                ))
            }
            _ => Ok(()),
        }
    }

    pub async fn remove(&self, host: &dyn Host) -> Result<(), String> {
        let mut trouble = "lvremove left it there".to_owned();
        for number in 0..TRIES {
            let Some(volume) = self.find(host).await? else {
                self.remove_folder();
                return Ok(());
            };
            if let Err(cause) = self.remove_found(host, &volume, number > 1).await {
                trouble = cause;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(trouble)
    }

    async fn remove_found(&self, host: &dyn Host, volume: &Volume, lazily: bool) -> Result<(), String> {
        let device = volume.device();
        let is_ours = |mount: &Mount| mount.point == self.mount && Some(mount.device) == device;
        if mounts::all(host)?.iter().any(is_ours) {
            let mount = self.mount.display().to_string();
            let words: &[&str] = if lazily { &["umount", "--lazy", &mount] } else { &["umount", &mount] };
            succeed(host, Call::of(words)).await?;
        }
        let name = format!("{}/{}", self.group, self.name);
        succeed(host, Call::of(&["lvremove", "--force", &name])).await.map(|_| ())
    }

    fn remove_folder(&self) {
        if self.is_mount_own {
            // Only an empty one goes.
            let _ = std::fs::remove_dir(Path::new(&self.mount));
        }
    }
}
