//! The job files: which there are, and which are obeyed.
//!
//! A job runs commands and reads every file as the daemon's user, often root. So a file (and the folder) must belong to root
//! or to that user, and nobody else may write to it.

use super::document;
use freezer_model::{ClientId, Job, JobId, Timestamp};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// No job is that long.
const BYTES_MAX: u64 = 16 << 20;

/// A file that was read, and its job in the state that the file asks for.
#[derive(Debug)]
pub struct JobFile {
    pub path: PathBuf,
    pub job: Job,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Found {
    pub jobs: Vec<JobFile>,
    /// Files that are passed over, and why.
    pub refused: Vec<(PathBuf, String)>,
}

/// Reads the job files of a folder, or the one file that is named.
pub fn find(place: &Path, client: &ClientId, now: Timestamp) -> Result<Found, String> {
    let mut found = Found::default();
    let mut ids: BTreeMap<JobId, PathBuf> = BTreeMap::new();
    for path in paths(place)? {
        match read(&path, client, now) {
            Ok(job) => match ids.get(&job.job_id) {
                Some(first) => {
                    let (id, first) = (&job.job_id, first.display());
                    let why = format!("job {id} is in {first} already; give one of them another job_id");
                    found.refused.push((path, why));
                }
                None => {
                    ids.insert(job.job_id.clone(), path.clone());
                    found.jobs.push(JobFile { path, job });
                }
            },
            Err(why) => found.refused.push((path, why)),
        }
    }
    Ok(found)
}

fn paths(place: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |cause: String| {
        format!("job files {}: {cause}; --conf or [scheduler] jobs_dir names another folder", place.display())
    };
    let data = std::fs::metadata(place).map_err(|error| failed(error.to_string()))?;
    if !data.is_dir() {
        return Ok(vec![place.to_path_buf()]);
    }
    if let Some(why) = distrust(&data) {
        return Err(failed(why));
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(place).map_err(|error| failed(error.to_string()))? {
        let path = entry.map_err(|error| failed(error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("conf")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path, client: &ClientId, now: Timestamp) -> Result<Job, String> {
    let text = |error: std::io::Error| error.to_string();
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(text)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut file = File::open(path).map_err(text)?;
    let data = file.metadata().map_err(text)?;
    if let Some(why) = distrust(&data) {
        return Err(why);
    }
    if data.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(text)?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    document::read(&bytes, &name, client, now)
}

/// Why somebody else could have written it.
fn distrust(data: &Metadata) -> Option<String> {
    let (owner, own) = (data.uid(), rustix::process::geteuid().as_raw());
    if owner != own && owner != 0 {
        return Some(format!(
            "it belongs to user {owner}, who could have anything run as user {own}: give it to root or to that user (chown)"
        ));
    }
    let is_open = data.mode() & 0o022 != 0;
    is_open.then(|| {
        format!(
            "others than its owner may write to it, and could have anything run as user {own}: chmod go-w"
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const JOB: &str = r#"{"job_actions": [{"freezer_action": {"action": "exec", "command": "true"}}]}"#;

    fn found(place: &Path) -> Result<Found, String> {
        find(place, &ClientId::from("c"), Timestamp::from_secs(1))
    }

    fn put(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_are_read_and_others_passed_over_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        put(&at("a.conf"), JOB, 0o600);
        put(&at("B.CONF"), JOB, 0o644);
        put(&at("no.json"), "{", 0o600);
        put(&at("broken.conf"), "{", 0o600);
        put(&at("open.conf"), JOB, 0o664);
        put(&at("same.conf"), &JOB.replacen('{', r#"{"job_id": "a","#, 1), 0o600);
        std::fs::create_dir(at("folder.conf")).unwrap();
        let all = found(folder.path()).unwrap();
        let ids: Vec<&str> = all.jobs.iter().map(|file| file.job.job_id.as_str()).collect();
        assert_eq!(ids, ["B", "a"]);
        for (name, words) in [
            ("broken.conf", "EOF"),
            ("open.conf", "chmod go-w"),
            ("same.conf", "a.conf already"),
            ("folder.conf", "not a file"),
        ] {
            let why = all.refused.iter().find(|(path, _)| path.ends_with(name)).map(|(_, why)| why.as_str());
            assert!(why.is_some_and(|why| why.contains(words)), "{name}: {why:?}");
        }
        assert_eq!(all.refused.len(), 4);
        assert_eq!(found(&at("a.conf")).unwrap().jobs.len(), 1, "a single file");
        assert!(found(&at("nowhere")).err().unwrap().contains("nowhere"));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(found(folder.path()).err().unwrap().contains("chmod go-w"));
    }
}
