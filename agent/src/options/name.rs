//! The name of an action's backups.

use super::medium::Medium;
use super::values::{OptionsError, Values};
use freezer_model::naming;

/// What an action calls its backups.
pub struct Name {
    pub name: String,
    pub is_default: bool,
    /// Tried when there is no backup under the name.
    pub others: Vec<String>,
}

/// The given name, its template filled in; or the default, which differs for each resource. `machine` is this host's name.
pub fn choose(values: &Values, machine: &str, medium: &Medium) -> Result<Name, OptionsError> {
    let template = values.text("backup_name")?.unwrap_or_default();
    let is_default = template == naming::TEMPLATE;
    let host = values.text("hostname")?.unwrap_or_else(|| machine.to_owned());
    let mut others = Vec::new();
    let mut name = filled(&template, values, machine, medium)?;
    if is_default && *medium == Medium::Files {
        // What all folders of a host were called before.
        let shared = naming::of_host(&host);
        name = match values.text("path_to_backup")? {
            Some(path) => {
                others.push(shared);
                naming::of_folder(&host, &path)
            }
            None => shared,
        };
        others.push(naming::of_host(machine));
    }
    // Upstream keeps the raw template in its paths (B14); a name without braces is the same in both.
    others.push(template);
    let mut seen = vec![name.clone()];
    others.retain(|other| {
        let is_new = !seen.contains(other);
        seen.push(other.clone());
        is_new
    });
    if name.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(OptionsError::bad("backup_name", format!("'{name}' has an empty or dot part")));
    }
    Ok(Name { name, is_default, others })
}

fn filled(template: &str, values: &Values, machine: &str, medium: &Medium) -> Result<String, OptionsError> {
    let get = |key: &str| values.text(key).map(Option::unwrap_or_default);
    let said = get("mode")?;
    Ok(template
        .replace("{mode}", if matches!(medium, Medium::Files) { said.as_str() } else { medium.mode() })
        .replace("{backup_media}", medium.mode())
        .replace("{storage}", &get("storage")?)
        .replace("{container}", &get("container")?)
        .replace("{project_id}", &get("project_id")?)
        .replace("{resource_id}", medium.resource().unwrap_or(machine)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::medium;
    use super::*;
    use serde_json::{Value, json};

    fn named(action: Value) -> Name {
        let mut values = Values::default();
        values.fill(action.as_object().unwrap());
        choose(&values, "web", &medium::choose(&values).unwrap()).unwrap()
    }

    #[test]
    fn folders_without_a_name_have_names_of_their_own() {
        let (etc, srv) = (named(json!({"path_to_backup": "/etc"})), named(json!({"path_to_backup": "/srv"})));
        assert!(etc.is_default && etc.name != srv.name);
        assert_eq!(etc.name, naming::of_folder("web", "/etc"));
        assert_eq!(etc.others, ["freezer_fs_web", "freezer_{mode}_{resource_id}"]);
        let elsewhere = named(json!({"path_to_backup": "/etc", "hostname": "db"}));
        assert_eq!(elsewhere.name, naming::of_folder("db", "/etc"));
        assert_eq!(elsewhere.others, ["freezer_fs_db", "freezer_fs_web", "freezer_{mode}_{resource_id}"]);
        let all = named(json!({"action": "admin"}));
        assert_eq!(all.name, "freezer_fs_web");
    }

    #[test]
    fn given_names_stay_as_they_are() {
        let daily = named(json!({"path_to_backup": "/etc", "backup_name": "daily"}));
        assert!(!daily.is_default && daily.name == "daily" && daily.others.is_empty());
        let old = named(json!({"path_to_backup": "/etc", "backup_name": "freezer_fs_web"}));
        assert_eq!((old.name.as_str(), old.is_default), ("freezer_fs_web", false));
        let filled = named(json!({"path_to_backup": "/etc", "backup_name": "x_{mode}_{resource_id}"}));
        assert_eq!((filled.name.as_str(), filled.is_default), ("x_fs_web", false));
        assert_eq!(filled.others, ["x_{mode}_{resource_id}"]);
    }

    /// Conductors tell by these names which runs would work on the same backups.
    #[test]
    fn conductors_know_the_default_names() {
        for action in [
            json!({"cinder_vol_id": "v"}),
            json!({"cinder_vol_name": "n", "mode": "cinder"}),
            json!({"glance_image_id": "i"}),
            json!({"nova_inst_id": "s"}),
            json!({"nova_inst_name": "s", "project_id": "p"}),
            json!({"rbd_pool": "p", "rbd_image": "i"}),
            json!({"cindernative_vol_id": "v"}),
        ] {
            assert_eq!(naming::default_of(action.as_object().unwrap()), Some(named(action).name));
        }
    }
}
