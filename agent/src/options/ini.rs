//! The job INI file (`--config FILE`) that upstream's scheduler hands to its agent.
//!
//! Sections do not matter but for `[storage:…]`, which this agent refuses; keys are lower-cased and
//! may be written with dashes; `%%` stands for `%`. `False` and `None` mean "not set".

use serde_json::{Map, Value};

/// Reads the text of a job INI file into key → text. `name` is for messages only.
pub fn parse(text: &str, name: &str) -> Result<Map<String, Value>, String> {
    let mut values = Map::new();
    let mut in_section = false;
    let mut last: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let at = || format!("{name}:{}", number + 1);
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with(';') {
            continue;
        }
        if let (true, Some(Value::String(value))) =
            (line.starts_with([' ', '\t']), last.as_ref().and_then(|key| values.get_mut(key)))
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[') {
            let section =
                section.strip_suffix(']').ok_or_else(|| format!("{}: a section without its ]", at()))?;
            if section.starts_with("storage:") {
                return Err(format!(
                    "{}: several storages in one job are not available; use one job for each",
                    at()
                ));
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
        values.insert(key.clone(), Value::String(value));
        last = Some(key);
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
        assert!(parse("[storage:one]\n", "job").is_err());
    }
}
