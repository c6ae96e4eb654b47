//! The job INI file (`--config FILE`) that upstream's scheduler hands to its agent.
//!
//! Sections do not matter but for `[storage:…]`, each of which is one of several storages; keys are lower-cased and
//! may be written with dashes; `%%` stands for `%`. `False` and `None` mean "not set".

use serde_json::{Map, Value};

/// Key of the list that sections `[storage:…]` become.
pub const STORAGES: &str = "storages";

/// Reads the text of a job INI file into key → text. `name` is for messages only.
pub fn parse(text: &str, name: &str) -> Result<Map<String, Value>, String> {
    let mut values = Map::new();
    // Those of sections that are storages.
    let mut storages: Vec<Value> = Vec::new();
    let mut in_storage = false;
    let mut in_section = false;
    let mut last: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let at = || format!("{name}:{}", number + 1);
        let trimmed = line.trim();
        let section = match storages.last_mut() {
            Some(Value::Object(storage)) if in_storage => storage,
            _ => &mut values,
        };
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with(';') {
            continue;
        }
        if let (true, Some(Value::String(value))) =
            (line.starts_with([' ', '\t']), last.as_ref().and_then(|key| section.get_mut(key)))
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or_else(|| format!("{}: a section without its ]", at()))?;
            in_storage = name.starts_with("storage:");
            if in_storage {
                storages.push(Value::Object(Map::new()));
            }
            in_section = true;
            last = None;
            continue;
        }
        if !in_section {
            return Err(format!("{}: an option before the first [section]", at()));
        }
        let split = trimmed
            .find(['=', ':'])
            .ok_or_else(|| format!("{}: neither 'key = value' nor a [section]", at()))?;
        let key = trimmed.get(..split).unwrap_or_default().trim().to_ascii_lowercase().replace('-', "_");
        let value = trimmed.get(split + 1..).unwrap_or_default().trim().replace("%%", "%");
        section.insert(key.clone(), Value::String(value));
        last = Some(key);
    }
    if !storages.is_empty() {
        values.insert(STORAGES.to_owned(), Value::Array(storages));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_upstreams_scheduler_writes() {
        let text = "[action]\naction = backup\nPath-To-Backup = /etc\nexclude = 50%%\n; note\n[default]\nmax_level: 3\n";
        let values = parse(text, "job").unwrap();
        assert_eq!(values["action"], "backup");
        assert_eq!(values["path_to_backup"], "/etc");
        assert_eq!(values["exclude"], "50%");
        assert_eq!(values["max_level"], "3");
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        assert_eq!(parse("x = 1\n", "job").unwrap_err(), "job:1: an option before the first [section]");
        assert!(parse("[a]\nnonsense\n", "job").unwrap_err().starts_with("job:2: "));
    }

    #[test]
    fn storages_have_sections_of_their_own() {
        let text = "[action]\naction = backup\n[storage:near]\nstorage = local\ncontainer = /srv\n[storage:far]\nstorage = ssh\n\
                    ssh-host = far\n[more]\nmax_level = 3\n";
        let wanted = serde_json::json!({"action": "backup", "max_level": "3", "storages": [
            {"storage": "local", "container": "/srv"}, {"storage": "ssh", "ssh_host": "far"}]});
        assert_eq!(Value::Object(parse(text, "job").unwrap()), wanted);
    }
}
