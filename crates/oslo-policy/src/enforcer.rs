//! The enforcer: rules in force, kept up to date with their files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::check::Check;
use crate::credentials::Credentials;
use crate::error::{Forbidden, PolicyError, Reason};
use crate::evaluate::Question;
use crate::rule::RuleDefault;
use crate::rules::Rules;
use crate::{Target, file, parse};

/// Where the rules are and how they are applied. [`PolicyOptions::from_config`] reads `[oslo_policy]`.
#[derive(Clone, Debug)]
pub struct PolicyOptions {
    /// The file that overrides defaults; it need not exist.
    pub policy_file: Option<PathBuf>,
    /// Directories of more files; they need not exist.
    pub policy_dirs: Vec<PathBuf>,
    /// The rule in place of one that does not exist.
    pub default_rule: String,
    /// Whether the scope of the token counts; otherwise a mismatch is only logged.
    pub enforce_scope: bool,
    /// Whether a replaced default does not allow any more.
    pub enforce_new_defaults: bool,
    /// How often at most the files' times are looked at.
    pub recheck: Duration,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        PolicyOptions {
            policy_file: None,
            policy_dirs: Vec::new(),
            default_rule: "default".to_owned(),
            enforce_scope: true,
            enforce_new_defaults: true,
            recheck: Duration::from_secs(1),
        }
    }
}

/// What identifies a version of a file: device, inode, size, time of change in seconds and nanoseconds.
type Version = (u64, u64, u64, i64, i64);

/// All files there are, with their versions.
type Snapshot = BTreeMap<PathBuf, Version>;

struct Watch {
    looked: Instant,
    seen: Snapshot,
}

/// Answers who may do what. Share it in an `Arc`.
pub struct Enforcer {
    defaults: Vec<RuleDefault>,
    options: PolicyOptions,
    rules: RwLock<Arc<Rules>>,
    watch: Mutex<Watch>,
}

impl std::fmt::Debug for Enforcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enforcer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Enforcer {
    /// Takes the program's rules and reads the files.
    pub fn new(defaults: Vec<RuleDefault>, options: PolicyOptions) -> Result<Self, PolicyError> {
        check_defaults(&defaults)?;
        let seen = snapshot(&options)?;
        let rules = load(&defaults, &options, &seen)?;
        let watch = Mutex::new(Watch { looked: Instant::now(), seen });
        Ok(Enforcer { defaults, options, rules: RwLock::new(Arc::new(rules)), watch })
    }

    /// Whether the rule holds. A rule nobody defined is the default rule, or refused if there is none.
    pub fn enforce(&self, rule: &str, target: &Target, credentials: &Credentials) -> Result<(), Forbidden> {
        self.refresh();
        let rules = self.current();
        let refuse = |reason| Err(Forbidden { rule: rule.to_owned(), reason });
        let Some(check) = rules.get(rule) else {
            return refuse(Reason::Unknown);
        };
        if let Some(reason) = self.wrong_scope(rule, credentials) {
            return refuse(reason);
        }
        match (Question { rules: &rules, target, credentials }).holds(check) {
            Ok(true) => Ok(()),
            Ok(false) => refuse(Reason::Refused),
            Err(problem) => {
                tracing::error!("policy {rule} cannot be evaluated and refuses: {problem}");
                refuse(Reason::Broken(problem))
            }
        }
    }

    /// Like [`Enforcer::enforce`], but a rule that the program did not declare is refused whatever the files say.
    pub fn authorize(&self, rule: &str, target: &Target, credentials: &Credentials) -> Result<(), Forbidden> {
        if !self.defaults.iter().any(|known| known.name == rule) {
            tracing::error!(
                "policy {rule} was asked for and is not registered: this is an error of the program"
            );
            return Err(Forbidden { rule: rule.to_owned(), reason: Reason::Unknown });
        }
        self.enforce(rule, target, credentials)
    }

    /// The rules in force in their canonical form, by name.
    pub fn effective(&self) -> BTreeMap<String, String> {
        self.refresh();
        self.current().iter().map(|(name, check)| (name.clone(), check.to_string())).collect()
    }

    fn current(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wrong_scope(&self, rule: &str, credentials: &Credentials) -> Option<Reason> {
        let declared = self.defaults.iter().find(|known| known.name == rule)?;
        let given = credentials.scope();
        if declared.scope_types.is_empty() || declared.scope_types.iter().any(|scope| scope == given) {
            return None;
        }
        let wanted = declared.scope_types.clone();
        if !self.options.enforce_scope {
            tracing::warn!(
                "policy {rule} wants a token for {}, the request has one for {given}",
                wanted.join(" or ")
            );
            return None;
        }
        Some(Reason::Scope { wanted, given })
    }

    /// Looks at the files if it is time to, and loads the rules again if anything changed. Only one caller does it;
    /// the others go on with the rules in force.
    fn refresh(&self) {
        let Ok(mut watch) = self.watch.try_lock() else { return };
        if watch.looked.elapsed() < self.options.recheck {
            return;
        }
        let loaded = snapshot(&self.options).and_then(|now| {
            if now == watch.seen {
                return Ok(None);
            }
            // Remembered also if it cannot be loaded: the error is logged once, not at every request.
            watch.seen = now;
            load(&self.defaults, &self.options, &watch.seen).map(Some)
        });
        watch.looked = Instant::now();
        match loaded {
            Ok(None) => {}
            Ok(Some(rules)) => {
                tracing::info!("policies were loaded again: their files changed");
                *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
            }
            Err(error) => tracing::error!("the policies in force stay: {error}"),
        }
    }
}

fn check_defaults(defaults: &[RuleDefault]) -> Result<(), PolicyError> {
    let mut names = BTreeSet::new();
    for rule in defaults {
        let wrong =
            |problem: &str| PolicyError::Default { name: rule.name.clone(), problem: problem.to_owned() };
        if !names.insert(&rule.name) {
            return Err(wrong("it is declared twice"));
        }
        let old = rule.deprecated_rule.as_ref().map(|old| old.check.as_str());
        for text in std::iter::once(rule.check.as_str()).chain(old) {
            if let Some(problem) = parse::rule(text).problems().first() {
                return Err(wrong(problem));
            }
        }
    }
    Ok(())
}

/// The versions of all files that are there now.
fn snapshot(options: &PolicyOptions) -> Result<Snapshot, PolicyError> {
    let mut seen = Snapshot::new();
    for path in all_files(options)? {
        match std::fs::metadata(&path) {
            Ok(m) => {
                seen.insert(path, (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(PolicyError::Unreadable { path, cause }),
        }
    }
    Ok(seen)
}

/// The main file, then those of the directories: the order in which they override each other.
fn all_files(options: &PolicyOptions) -> Result<Vec<PathBuf>, PolicyError> {
    let mut files: Vec<PathBuf> = options.policy_file.iter().cloned().collect();
    for dir in &options.policy_dirs {
        files.extend(file::list_dir(dir)?);
    }
    Ok(files)
}

fn load(defaults: &[RuleDefault], options: &PolicyOptions, seen: &Snapshot) -> Result<Rules, PolicyError> {
    let mut from_files = BTreeMap::new();
    for path in all_files(options)?.iter().filter(|path| seen.contains_key(*path)) {
        for (name, check) in file::read(path)?.unwrap_or_default() {
            log_problems(path, &name, &check);
            from_files.insert(name, check);
        }
    }
    let rules = Rules::new(defaults, from_files, &options.default_rule, options.enforce_new_defaults);
    for (name, called) in rules.undefined() {
        tracing::warn!("policy {name} calls rule:{called}, which does not exist");
    }
    Ok(rules)
}

fn log_problems(path: &Path, name: &str, check: &Check) {
    for problem in check.problems() {
        tracing::error!("policy {name} of {} refuses: {problem}", path.display());
    }
}
