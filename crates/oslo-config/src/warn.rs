//! Remarks about the files: things that do not stop the program but are probably not what the operator meant.

use std::fmt;
use std::path::PathBuf;

use crate::ini::IniFile;
use crate::opt::Opt;
use crate::registry::{Registry, section_key};

/// One remark, to be logged once logging is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file, unless the remark is about something else.
    pub path: Option<PathBuf>,
    /// Line from 1; 0 without a file.
    pub line: usize,
    /// The remark.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}:{}: {}", path.display(), self.line, self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl Warning {
    pub(crate) fn at(file: &IniFile, line: usize, message: String) -> Self {
        Warning { path: Some(file.path.clone()), line, message }
    }
}

/// Sections and options nobody registered, and those written under an old name.
pub(crate) fn about_file(registry: &Registry, file: &IniFile) -> Vec<Warning> {
    let mut found = Vec::new();
    for section in &file.sections {
        let open = registry.is_open(&section.name);
        if !open && !registry.knows_section(&section.name) {
            found.push(Warning::at(file, section.line, unknown_section(registry, &section.name)));
            continue;
        }
        for entry in &section.entries {
            let unknown = || (!open).then(|| unknown_option(registry, &section.name, &entry.key));
            let message = match about_known(registry, &section.name, &entry.key) {
                Known::Fine => None,
                Known::Old(message) => Some(message),
                Known::No => unknown(),
            };
            found.extend(message.map(|message| Warning::at(file, entry.line, message)));
        }
    }
    found
}

/// Variables that look like ours (`OS_<GROUP>__<OPTION>` of a registered group) but name no option.
pub(crate) fn about_environment<'a>(
    registry: &Registry,
    names: impl Iterator<Item = &'a String>,
) -> Vec<Warning> {
    let mut found = Vec::new();
    for name in names {
        let Some((group, option)) = name.strip_prefix("OS_").and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let Some(registered) = registry.groups().iter().find(|g| variable_part(&g.name) == group) else {
            continue;
        };
        if !registered.opts.iter().any(|opt| variable_part(&opt.name) == option) {
            let message = format!(
                "environment variable {name} is ignored: section [{}] has no such option",
                registered.name
            );
            found.push(Warning { path: None, line: 0, message });
        }
    }
    found
}

/// The spelling of a section or option inside the name of an environment variable.
pub(crate) fn variable_part(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn unknown_section(registry: &Registry, name: &str) -> String {
    let meant = registry
        .groups()
        .iter()
        .map(|g| g.name.as_str())
        .find(|known| known.eq_ignore_ascii_case(name.trim()) && section_key(known) != section_key(name));
    match meant {
        Some(known) => format!("section [{name}] is unknown and ignored; did you mean [{known}]?"),
        None => format!("section [{name}] is unknown and ignored"),
    }
}

/// Whether an option is registered, and what is to be said about it then.
enum Known {
    Fine,
    Old(String),
    No,
}

fn about_known(registry: &Registry, section: &str, key: &str) -> Known {
    if let Some(opt) = registry.find(section, key) {
        return match &opt.deprecated_for_removal {
            Some(reason) => Known::Old(format!(
                "option {key} of section [{section}] is deprecated and will be removed: {reason}"
            )),
            None => Known::Fine,
        };
    }
    match registry.find_deprecated(section, key) {
        Some((group, opt)) => Known::Old(format!(
            "option {key} of section [{section}] is deprecated; write {} in section [{group}]",
            opt.name
        )),
        None => Known::No,
    }
}

fn unknown_option(registry: &Registry, section: &str, key: &str) -> String {
    let wanted = key.replace('-', "_");
    let close = |opt: &&Opt| opt.name.eq_ignore_ascii_case(&wanted);
    match registry.group_named(section).and_then(|g| g.opts.iter().find(close)) {
        Some(opt) => {
            format!("option {key} of section [{section}] is unknown and ignored; did you mean {}?", opt.name)
        }
        None => format!("option {key} of section [{section}] is unknown and ignored"),
    }
}
