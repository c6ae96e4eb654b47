//! What a load reads: files and directories in the order of the command line, single options, the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::error::ConfigError;

/// One `--config-file` or `--config-dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An INI file.
    File(PathBuf),
    /// A directory: its `*.conf`, sorted, not the hidden ones and not those of subdirectories.
    Dir(PathBuf),
}

/// One option set from outside the files.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What [`crate::Registry::load`] reads. The default reads nothing: no files, no environment, no search.
#[derive(Clone, Default)]
pub struct LoadArgs {
    /// Files and directories, later ones win.
    pub sources: Vec<Source>,
    pub(crate) overrides: Vec<Setting>,
    pub(crate) command_line: Vec<Setting>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) search: bool,
    pub(crate) root: PathBuf,
}

impl fmt::Debug for LoadArgs {
    /// Without the values: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadArgs")
            .field("sources", &self.sources)
            .field("search", &self.search)
            .finish_non_exhaustive()
    }
}

impl LoadArgs {
    /// The environment of this process, and the standard places if no file or directory is given.
    pub fn from_process() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        LoadArgs::default().environment(environment).search()
    }

    /// Takes every `--config-file F`, `--config-file=F`, `--config-dir D`, `--config-dir=D` out of the arguments
    /// (up to `--`), keeping their order among each other, and returns the rest for the program's own parser.
    pub fn take_from(
        mut self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, Vec<OsString>), ConfigError> {
        let mut rest = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                rest.push(argument);
                rest.extend(arguments.by_ref());
                break;
            }
            let Some((flag, value)) = split_flag(&argument) else {
                rest.push(argument);
                continue;
            };
            let value = match value.or_else(|| arguments.next()) {
                Some(value) if !value.is_empty() => PathBuf::from(value),
                _ => return Err(ConfigError::Arguments(format!("{flag} needs a path after it"))),
            };
            self.sources.push(if flag == "--config-file" { Source::File(value) } else { Source::Dir(value) });
        }
        Ok((self, rest))
    }

    /// One more file, after those before it.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::File(path.into()));
        self
    }

    /// One more directory, after those before it.
    pub fn dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::Dir(path.into()));
        self
    }

    /// An option given on the command line (its text as it would stand in a file). A multi-valued one may be given again.
    pub fn option(mut self, group: &str, name: &str, text: impl Into<String>) -> Self {
        self.command_line.push(Setting { group: group.to_owned(), name: name.to_owned(), text: text.into() });
        self
    }

    /// An option set by the program itself: beats everything else.
    pub fn set_override(mut self, group: &str, name: &str, text: impl Into<String>) -> Self {
        self.overrides.push(Setting { group: group.to_owned(), name: name.to_owned(), text: text.into() });
        self
    }

    /// The environment to read (`OS_<GROUP>__<OPTION>`, and HOME, SNAP, SNAP_COMMON for the search).
    pub fn environment(mut self, variables: BTreeMap<String, String>) -> Self {
        let wanted = |name: &str| name.starts_with("OS_") || matches!(name, "HOME" | "SNAP" | "SNAP_COMMON");
        self.environment = variables.into_iter().filter(|(name, _)| wanted(name)).collect();
        self
    }

    /// Look in the standard places (`~/.<project>`, `~`, `/etc/<project>`, `/etc`) if no file or directory is given.
    pub fn search(mut self) -> Self {
        self.search = true;
        self
    }

    /// Put this directory before `/etc` of the search (for tests and for installations under a prefix).
    pub fn root(mut self, path: impl Into<PathBuf>) -> Self {
        self.root = path.into();
        self
    }
}

fn split_flag(argument: &OsString) -> Option<(&'static str, Option<OsString>)> {
    let text = argument.to_str()?;
    for flag in ["--config-file", "--config-dir"] {
        let Some(after) = text.strip_prefix(flag) else { continue };
        if after.is_empty() {
            return Some((flag, None));
        }
        if let Some(value) = after.strip_prefix('=') {
            return Some((flag, Some(OsString::from(value))));
        }
    }
    None
}
