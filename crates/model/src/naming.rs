//! Names that backups get when nobody names them. Agents name by these rules, and conductors know by them which runs would work
//! on the same backups.
//!
//! Every resource has a name of its own: a folder's holds a hash of its path, so that chains of different folders never mix.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::{Component, Path};

/// The default of option `backup_name`.
pub const TEMPLATE: &str = "freezer_{mode}_{resource_id}";
const LONGEST_LABEL: usize = 40;
const HASH_DIGITS: usize = 8;

/// Options that name one resource of a cloud, with the mode they belong to.
const RESOURCES: [(&str, &str); 8] = [
    ("cinder_vol_id", "cinder"),
    ("cinder_vol_name", "cinder"),
    ("cindernative_vol_id", "cindernative"),
    ("nova_inst_id", "nova"),
    ("nova_inst_name", "nova"),
    ("glance_image_id", "glance"),
    ("glance_image_name", "glance"),
    ("rbd_image", "rbd"),
];
/// Spellings of the folder that is saved, first the one that wins.
const FOLDERS: [&str; 3] = ["path_to_backup", "file_to_backup", "src_file"];

/// Default name of a folder's or file's backups: `freezer_fs_<host>_<last part>-<hash of the path>`.
pub fn of_folder(host: &str, path: &str) -> String {
    let path = plain_path(path);
    let last = path.rsplit('/').next().unwrap_or_default();
    let label: String =
        last.chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_') { letter } else { '_' }
            })
            .take(LONGEST_LABEL)
            .collect();
    let label = if label.is_empty() { "root" } else { label.as_str() };
    let hash: String = Sha256::digest(path.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}_{label}-{}", of_host(host), hash.get(..HASH_DIGITS).unwrap_or_default())
}

/// Name that all folders of a host shared before they had names of their own.
pub fn of_host(host: &str) -> String {
    format!("freezer_fs_{host}")
}

/// Whether [`of_folder`] made this name for a folder of the host.
pub fn is_of_folder(host: &str, name: &str) -> bool {
    let rest = name.strip_prefix(&of_host(host)).and_then(|rest| rest.strip_prefix('_'));
    let hash = rest.and_then(|rest| rest.rsplit_once('-')).map(|(_, hash)| hash);
    hash.is_some_and(|hash| {
        hash.len() == HASH_DIGITS && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A path without what changes nothing: doubled and last slashes, and parts that are `.`.
pub fn plain_path(path: &str) -> String {
    let mut plain = String::new();
    for part in Path::new(path).components() {
        match part {
            Component::RootDir => plain.push('/'),
            other => {
                if !plain.is_empty() && !plain.ends_with('/') {
                    plain.push('/');
                }
                plain.push_str(&other.as_os_str().to_string_lossy());
            }
        }
    }
    plain
}

/// What distinguishes the backups that an action without `backup_name` works on, among those of its client; `None` when it is
/// about several, or about all of the host.
pub fn default_of(options: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| {
        let value =
            options.iter().find(|(name, _)| name.trim().to_ascii_lowercase().replace('-', "_") == key);
        value.and_then(|(_, value)| value.as_str()).filter(|text| !text.trim().is_empty())
    };
    let mut named = RESOURCES.iter().filter_map(|(key, mode)| Some((*mode, text(key)?)));
    if let Some((mode, resource)) = named.next() {
        return Some(format!("freezer_{mode}_{resource}"));
    }
    match text("mode").unwrap_or("fs") {
        // The host is the client's, which is known without its name.
        "fs" => FOLDERS.iter().find_map(|key| text(key)).map(|path| of_folder("", path)),
        "mssql" => Some("freezer_sqlserver_".to_owned()),
        mode @ ("cloud" | "project" | "mysql" | "postgresql" | "mongo" | "sqlserver") => {
            Some(format!("freezer_{mode}_"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn folders_have_names_of_their_own() {
        let etc = of_folder("web", "/etc");
        assert!(etc.starts_with("freezer_fs_web_etc-"), "{etc}");
        assert_eq!(etc, of_folder("web", "//etc/./"));
        assert_ne!(etc, of_folder("web", "/srv/etc"));
        assert_ne!(of_folder("web", "/a/../etc"), etc, "a link may stand for a");
        assert!(of_folder("web", "/").starts_with("freezer_fs_web_root-"));
        let strange = of_folder("web", "/srv/a b/\u{e9}t\u{e9} {x}");
        assert!(strange.starts_with("freezer_fs_web__t___x_-"), "{strange}");
        let long = format!("/srv/{}", "x".repeat(255));
        assert!(of_folder("web", &long).len() < 80);
        for name in [&etc, &strange, &of_folder("web", "/"), &of_folder("web", &long)] {
            assert!(is_of_folder("web", name), "{name}");
        }
        for name in [
            "freezer_fs_web",
            "freezer_fs_web_etc",
            "freezer_fs_web_etc-1234567",
            "freezer_fs_web_etc-0123456X",
        ] {
            assert!(!is_of_folder("web", name), "{name}");
        }
        assert!(!is_of_folder("other", &etc));
    }

    #[test]
    fn default_names_tell_what_they_are_of() {
        let name = |options: Value| default_of(options.as_object().unwrap());
        let etc = name(json!({"path_to_backup": "/etc"}));
        assert!(etc.is_some());
        assert_eq!(name(json!({"file-to-backup": "/etc/", "mode": "fs"})), etc);
        assert_ne!(name(json!({"path_to_backup": "/srv"})), etc);
        assert_eq!(name(json!({"action": "admin"})), None);
        assert_eq!(name(json!({"cinder_vol_id": "v"})).as_deref(), Some("freezer_cinder_v"));
        assert_eq!(name(json!({"mode": "nova", "project_id": "p"})), None);
        assert_eq!(name(json!({"mode": "project"})).as_deref(), Some("freezer_project_"));
    }
}
