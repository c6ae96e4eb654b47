//! Which files are read, in which order.

use std::path::{Path, PathBuf};

use crate::arguments::{LoadArgs, Source};
use crate::error::ConfigError;
use crate::ini::{self, IniFile};
use crate::registry::Registry;

/// Reads every file of the load; a later one wins.
pub(crate) fn read_all(registry: &Registry, args: &LoadArgs) -> Result<Vec<IniFile>, ConfigError> {
    let mut files = Vec::new();
    for source in effective_sources(registry, args) {
        match source {
            Source::File(path) => files.push(ini::read(&path)?),
            Source::Dir(path) => {
                for file in files_of_dir(&path)? {
                    files.push(ini::read(&file)?);
                }
            }
        }
    }
    Ok(files)
}

/// What the command line names, or what the standard places hold.
///
/// The two kinds fall back separately, as upstream: with a `--config-file` and no `--config-dir` the standard
/// `<project>.conf.d` is still read (before the file given).
fn effective_sources(registry: &Registry, args: &LoadArgs) -> Vec<Source> {
    if !args.search {
        return args.sources.clone();
    }
    let mut sources = Vec::new();
    let places = standard_places(registry.project(), args);
    let names = [registry.project(), registry.program()];
    if !args.sources.iter().any(|s| matches!(s, Source::File(_))) {
        sources.extend(first_found(&names, ".conf", &places).map(Source::File));
    }
    if !args.sources.iter().any(|s| matches!(s, Source::Dir(_))) {
        sources.extend(first_found(&names, ".conf.d", &places).map(Source::Dir));
    }
    sources.extend(args.sources.iter().cloned());
    sources
}

fn first_found<'a>(
    names: &'a [&str; 2],
    extension: &'a str,
    places: &'a [PathBuf],
) -> impl Iterator<Item = PathBuf> + 'a {
    let [project, program] = *names;
    let count = if project == program { 1 } else { 2 };
    names.iter().take(count).filter_map(move |name| {
        places.iter().map(|place| place.join(format!("{name}{extension}"))).find(|path| path.exists())
    })
}

/// `~/.<project>`, `~`, `/etc/<project>`, `/etc`, then those of a snap.
pub(crate) fn standard_places(project: &str, args: &LoadArgs) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(home) = args.environment.get("HOME").filter(|home| !home.is_empty()) {
        places.push(Path::new(home).join(format!(".{project}")));
        places.push(PathBuf::from(home));
    }
    let etc = if args.root.as_os_str().is_empty() { PathBuf::from("/etc") } else { args.root.join("etc") };
    places.push(etc.join(project));
    places.push(etc);
    for snap in ["SNAP_COMMON", "SNAP"] {
        if let Some(folder) = args.environment.get(snap).filter(|folder| !folder.is_empty()) {
            places.push(Path::new(folder).join("etc").join(project));
        }
    }
    places
}

fn files_of_dir(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let listing = std::fs::read_dir(dir).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            ConfigError::NoSuchDir(dir.to_path_buf())
        }
        _ => ConfigError::Unreadable { path: dir.to_path_buf(), cause },
    })?;
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|cause| ConfigError::Unreadable { path: dir.to_path_buf(), cause })?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A directory called something.conf is skipped: it cannot be read as a file.
        if name.ends_with(".conf") && !name.starts_with('.') && !entry.path().is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Where a file named in the configuration is looked for: beside the configuration, then in the standard places.
pub(crate) fn find_file(registry: &Registry, args: &LoadArgs, name: &Path) -> Option<PathBuf> {
    if name.is_absolute() {
        return name.exists().then(|| name.to_path_buf());
    }
    let sources = effective_sources(registry, args);
    let dirs = sources.iter().rev().filter_map(|source| match source {
        Source::Dir(path) => Some(path.clone()),
        Source::File(_) => None,
    });
    let beside = sources.iter().rev().filter_map(|source| match source {
        Source::File(path) => Some(path.parent().map(Path::to_path_buf).unwrap_or_default()),
        Source::Dir(_) => None,
    });
    let standard = if args.search { standard_places(registry.project(), args) } else { Vec::new() };
    dirs.chain(beside).chain(standard).map(|place| place.join(name)).find(|path| path.exists())
}
