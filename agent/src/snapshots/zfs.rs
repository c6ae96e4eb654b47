//! A snapshot of a ZFS dataset, read where ZFS shows it itself: `<mount point>/.zfs/snapshot/<name>`.

use super::Place;
use super::host::{Call, Host, succeed};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// ZFS refuses to destroy what it still unmounts.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub dataset: String,
    pub name: String,
    /// Where the dataset is mounted.
    pub point: PathBuf,
}

impl Snapshot {
    pub fn plan(place: &Place, name: &str) -> Result<Self, String> {
        let dataset = place.mount.source.clone();
        if dataset.starts_with('-') || dataset.contains('@') {
            return Err(format!("'{dataset}' is no dataset that can be snapshotted"));
        }
        if place.mount.root != Path::new("/") {
            let point = place.mount.point.display();
            return Err(format!(
                "only a part of {dataset} is mounted on {point}; name a path on the dataset's own mount point"
            ));
        }
        Ok(Self { dataset, name: name.to_owned(), point: place.mount.point.clone() })
    }

    pub fn full_name(&self) -> String {
        format!("{}@{}", self.dataset, self.name)
    }

    pub fn root(&self) -> PathBuf {
        self.point.join(".zfs/snapshot").join(&self.name)
    }

    pub async fn make(&self, host: &dyn Host) -> Result<(), String> {
        succeed(host, Call::of(&["zfs", "snapshot", &self.full_name()])).await?;
        // ZFS mounts it when somebody looks in.
        let looked = std::fs::read_dir(self.root()).and_then(|mut items| items.next().transpose());
        looked.map(|_| ()).map_err(|error| format!("{}: {error}", self.root().display()))
    }

    async fn exists(&self, host: &dyn Host) -> Result<bool, String> {
        let name = self.full_name();
        let call = Call::of(&["zfs", "list", "-H", "-o", "name", "-t", "snapshot", &name]);
        let ending = host.run(call).await?;
        let said = ending.stderr.to_ascii_lowercase();
        match ending.is_success() {
            true => Ok(true),
            false if said.contains("does not exist") || said.contains("could not find any snapshots") => {
                Ok(false)
            }
            false => Err(ending.trouble("zfs list", None)),
        }
    }

    pub async fn check(&self, host: &dyn Host) -> Result<(), String> {
        let gone = || Err("somebody destroyed it while it was read".to_owned());
        if self.exists(host).await? { Ok(()) } else { gone() }
    }

    pub async fn remove(&self, host: &dyn Host) -> Result<(), String> {
        let mut trouble = String::new();
        for number in 0..TRIES {
            if number > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if !self.exists(host).await? {
                return Ok(());
            }
            match succeed(host, Call::of(&["zfs", "destroy", &self.full_name()])).await {
                Ok(_) => return Ok(()),
                Err(cause) => trouble = cause,
            }
        }
        Err(trouble)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::mounts;
    use super::super::recorded::{Answer, Recorded};
    use super::*;

    /// As ZFS answers, recorded: the kernels of the machines that run tests have none.
    #[tokio::test]
    async fn a_dataset_is_snapshotted_and_let_go() {
        let point = tempfile::tempdir().unwrap();
        let point = point.path().canonicalize().unwrap();
        let table = format!(
            "30 22 0:50 / {} rw - zfs tank/data rw\n31 22 0:51 /part /mnt rw - zfs tank/two rw\n",
            point.display()
        );
        let host = Recorded::new(&table);
        let on = |path: &Path| Place { path: path.to_path_buf(), mount: mounts::of(&host, path).unwrap() };
        let made = Snapshot::plan(&on(&point.join("sub")), "freezer_snapshot_t").unwrap();
        assert_eq!(made.full_name(), "tank/data@freezer_snapshot_t");
        let shown = made.root();
        assert_eq!(shown, point.join(".zfs/snapshot/freezer_snapshot_t"));
        host.add(
            Answer::ok("zfs snapshot tank/data@freezer_snapshot_t", "")
                .doing(move || std::fs::create_dir_all(&shown).unwrap()),
        );
        made.make(&host).await.unwrap();
        host.add(Answer::ok("zfs list", "tank/data@freezer_snapshot_t\n"));
        made.check(&host).await.unwrap();
        host.add(Answer::failed(
            "zfs list",
            "cannot open 'tank/data@freezer_snapshot_t': dataset does not exist",
        ));
        assert!(made.check(&host).await.unwrap_err().contains("destroyed"));
        host.add(Answer::failed("zfs list", "permission denied"));
        assert!(made.remove(&host).await.unwrap_err().contains("permission denied"), "not taken for gone");
        host.add(Answer::ok("zfs list", "tank/data@freezer_snapshot_t\n"));
        host.add(Answer::failed("zfs destroy", "dataset is busy"));
        host.add(Answer::ok("zfs list", "tank/data@freezer_snapshot_t\n"));
        host.add(Answer::ok("zfs destroy tank/data@freezer_snapshot_t", ""));
        made.remove(&host).await.unwrap();
        host.heard();
        let refused = Snapshot::plan(&on(Path::new("/mnt/x")), "n").unwrap_err();
        assert!(refused.contains("only a part of tank/two"), "{refused}");
    }
}
