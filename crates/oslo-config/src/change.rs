//! Taking over changed files while the program runs: only what was declared mutable.

use crate::config::Config;
use crate::value::Value;

/// One option whose value differs between two loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The section.
    pub group: String,
    /// The option.
    pub name: String,
}

/// What [`Config::mutate`] made of a second load.
#[derive(Debug)]
pub struct Mutation {
    /// The old configuration with the new values of its mutable options.
    pub config: Config,
    /// Options that took a new value.
    pub changed: Vec<Change>,
    /// Options that differ in the files and need a restart: warn about them.
    pub ignored: Vec<Change>,
}

impl Config {
    /// Takes the mutable options of `fresh` (usually from [`Config::read_again`]) and keeps the rest.
    pub fn mutate(&self, fresh: &Config) -> Mutation {
        let mut mutation = Mutation { config: self.clone(), changed: Vec::new(), ignored: Vec::new() };
        for (group, options) in &self.values {
            for (name, old) in options {
                let Some(new) = fresh.values.get(group).and_then(|options| options.get(name)) else {
                    continue;
                };
                if same(&old.value, &new.value) {
                    continue;
                }
                let change = Change { group: group.clone(), name: name.clone() };
                if !old.mutable {
                    mutation.ignored.push(change);
                    continue;
                }
                mutation.changed.push(change);
                if let Some(slot) =
                    mutation.config.values.get_mut(group).and_then(|options| options.get_mut(name))
                {
                    *slot = new.clone();
                }
            }
        }
        mutation
    }
}

/// Equal, where "not a number" equals itself: it has not changed.
fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => old == new,
    }
}
