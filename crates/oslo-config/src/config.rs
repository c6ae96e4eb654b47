//! The configuration as loaded: checked values behind typed getters.
//!
//! A getter cannot fail for anything an operator wrote. Asking for an option that was never registered, or by the
//! wrong type, is an error of the program: it is logged, and the getter answers with the empty value. Use
//! [`Config::get`] to see that error as a `Result`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::arguments::LoadArgs;
use crate::error::{ConfigError, OptionError};
use crate::ini::IniFile;
use crate::opt::OptGroup;
use crate::registry::{Registry, section_key};
use crate::resolve::{Resolved, Resolver};
use crate::value::{Origin, Value};
use crate::warn::{self, Warning};

/// A loaded configuration. Immutable; share it in an `Arc`.
#[derive(Clone)]
pub struct Config {
    pub(crate) registry: Registry,
    pub(crate) args: LoadArgs,
    files: Vec<IniFile>,
    pub(crate) values: BTreeMap<String, BTreeMap<String, Resolved>>,
    warnings: Vec<Warning>,
}

impl fmt::Debug for Config {
    /// Without the values: they may be secret. See [`Config::dump`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&Path> = self.files.iter().map(|file| file.path.as_path()).collect();
        f.debug_struct("Config").field("files", &files).finish_non_exhaustive()
    }
}

impl Config {
    pub(crate) fn resolve(
        registry: Registry,
        args: LoadArgs,
        files: Vec<IniFile>,
    ) -> Result<Self, ConfigError> {
        registry.check()?;
        for setting in args.overrides.iter().chain(&args.command_line) {
            let (group, name) = (setting.group.clone(), setting.name.replace('-', "_"));
            if registry.find(&group, &name).is_none() {
                return Err(ConfigError::NoSuchOption { group, name });
            }
        }
        let resolver = Resolver { registry: &registry, args: &args, files: &files };
        let mut values: BTreeMap<String, BTreeMap<String, Resolved>> = BTreeMap::new();
        let mut bad = Vec::new();
        for group in registry.groups() {
            for opt in &group.opts {
                match resolver.resolve(group, opt) {
                    Ok(found) => {
                        values.entry(section_key(&group.name)).or_default().insert(opt.name.clone(), found);
                    }
                    Err(problem) => bad.push(*problem),
                }
            }
        }
        if !bad.is_empty() {
            return Err(ConfigError::Values(bad));
        }
        let mut warnings: Vec<Warning> =
            files.iter().flat_map(|file| warn::about_file(&registry, file)).collect();
        warnings.extend(warn::about_environment(&registry, args.environment.keys()));
        Ok(Config { registry, args, files, values, warnings })
    }

    /// The same sources read with more options registered, for sections whose name another option gives
    /// (`auth_section`). Nothing is read from disk again.
    pub fn with_groups(&self, groups: Vec<OptGroup>) -> Result<Config, ConfigError> {
        Config::resolve(self.registry.clone().groups_of(groups), self.args.clone(), self.files.clone())
    }

    /// Reads the same sources again (for SIGHUP); combine with [`Config::mutate`].
    pub fn read_again(&self) -> Result<Config, ConfigError> {
        self.registry.load(self.args.clone())
    }

    /// Unknown sections and options, deprecated names: log them once logging is set up.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The files that were read, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The project's name.
    pub fn project(&self) -> &str {
        self.registry.project()
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        self.registry.program()
    }

    /// A file named in the configuration: as it is if absolute, else beside the configuration files, then in the
    /// standard places. None if it is nowhere.
    pub fn find_file(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        crate::find::find_file(&self.registry, &self.args, name.as_ref())
    }

    /// The checked value.
    pub fn get(&self, group: &str, name: &str) -> Result<&Value, OptionError> {
        self.lookup(group, name).map(|resolved| &resolved.value)
    }

    /// Where the value came from; `Origin::Default` also for an option that is not registered.
    pub fn origin(&self, group: &str, name: &str) -> Origin {
        self.lookup(group, name).map_or(Origin::Default, |resolved| resolved.origin.clone())
    }

    /// Whether anybody but the declaration gave the option a value.
    pub fn is_set(&self, group: &str, name: &str) -> bool {
        self.origin(group, name) != Origin::Default
    }

    /// Text; empty without a value.
    pub fn str(&self, group: &str, name: &str) -> &str {
        self.opt_str(group, name).unwrap_or_default()
    }

    /// Text, if there is a value.
    pub fn opt_str(&self, group: &str, name: &str) -> Option<&str> {
        self.typed(group, name, "text", |value| match value {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number; 0 without a value.
    pub fn int(&self, group: &str, name: &str) -> i64 {
        self.opt_int(group, name).unwrap_or_default()
    }

    /// A whole number, if there is a value.
    pub fn opt_int(&self, group: &str, name: &str) -> Option<i64> {
        self.typed(group, name, "whole number", |value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        })
    }

    /// A port; 0 without a value.
    pub fn port(&self, group: &str, name: &str) -> u16 {
        self.opt_int(group, name).and_then(|number| u16::try_from(number).ok()).unwrap_or_default()
    }

    /// A number; 0 without a value.
    pub fn float(&self, group: &str, name: &str) -> f64 {
        self.opt_float(group, name).unwrap_or_default()
    }

    /// A number, if there is a value.
    pub fn opt_float(&self, group: &str, name: &str) -> Option<f64> {
        self.typed(group, name, "number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Int(number) => Some(*number as f64),
            _ => None,
        })
    }

    /// A switch; off without a value.
    pub fn bool(&self, group: &str, name: &str) -> bool {
        self.opt_bool(group, name).unwrap_or_default()
    }

    /// A switch, if there is a value.
    pub fn opt_bool(&self, group: &str, name: &str) -> Option<bool> {
        self.typed(group, name, "switch", |value| match value {
            Value::Bool(on) => Some(*on),
            _ => None,
        })
    }

    /// The elements of a list or multi-valued option; none without a value.
    pub fn list(&self, group: &str, name: &str) -> Vec<String> {
        self.typed(group, name, "list", |value| match value {
            Value::List(items) => Some(items.iter().map(Value::to_string).collect()),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// The elements of a list or multi-valued option of whole numbers; none without a value.
    pub fn int_list(&self, group: &str, name: &str) -> Vec<i64> {
        let number = |value: &Value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        };
        self.typed(group, name, "list of whole numbers", |value| match value {
            Value::List(items) => items.iter().filter(|item| **item != Value::Null).map(number).collect(),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// The pairs of a dict; none without a value.
    pub fn dict(&self, group: &str, name: &str) -> BTreeMap<String, String> {
        self.typed(group, name, "dict", |value| match value {
            Value::Dict(pairs) => Some(pairs.iter().map(|(k, v)| (k.clone(), v.to_string())).collect()),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// What the files say in a section, registered or not: the last text of each option, as written (`$` untouched).
    /// None if no file has the section. The environment is not looked at.
    pub fn section_raw(&self, section: &str) -> Option<BTreeMap<String, String>> {
        let key = section_key(section);
        let mut found = None;
        for part in self.files.iter().flat_map(|file| &file.sections).filter(|s| section_key(&s.name) == key)
        {
            let texts: &mut BTreeMap<String, String> = found.get_or_insert_default();
            texts.extend(part.entries.iter().map(|entry| (entry.key.clone(), entry.text.clone())));
        }
        found
    }

    /// All sections the files name, once each, in order.
    pub fn sections(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for section in self.files.iter().flat_map(|file| &file.sections) {
            if !names.iter().any(|known| section_key(known) == section_key(&section.name)) {
                names.push(&section.name);
            }
        }
        names
    }

    /// Every option with its value, one a line, secrets masked: for the debug log at start.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for group in self.registry.groups() {
            for opt in &group.opts {
                let Ok(resolved) = self.lookup(&group.name, &opt.name) else { continue };
                let shown = if resolved.secret && resolved.value != Value::Null {
                    "****".to_owned()
                } else {
                    resolved.value.to_string()
                };
                let prefix = if group.name == "DEFAULT" { String::new() } else { format!("{}.", group.name) };
                text.push_str(&format!("{prefix}{} = {shown}\n", opt.name));
            }
        }
        text
    }

    fn lookup(&self, group: &str, name: &str) -> Result<&Resolved, OptionError> {
        let found =
            self.values.get(&section_key(group)).and_then(|options| options.get(&name.replace('-', "_")));
        found.ok_or_else(|| OptionError::Unknown { group: group.to_owned(), name: name.to_owned() })
    }

    fn typed<'a, T>(
        &'a self,
        group: &str,
        name: &str,
        wanted: &'static str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let error = match self.get(group, name) {
            Ok(Value::Null) => return None,
            Ok(value) => match take(value) {
                Some(taken) => return Some(taken),
                None => OptionError::Type { group: group.to_owned(), name: name.to_owned(), wanted },
            },
            Err(error) => error,
        };
        tracing::error!(%error, "configuration getter used wrongly");
        None
    }
}
