//! The rules in force: defaults of the code, with what the files say over them.

use std::collections::BTreeMap;

use crate::check::Check;
use crate::rule::{DeprecatedRule, RuleDefault};

/// Parsed rules by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    by_name: BTreeMap<String, Check>,
    default_rule: String,
}

impl Rules {
    /// `from_files` holds what the files say, a later file's rule in place of an earlier one's.
    pub(crate) fn new(
        defaults: &[RuleDefault],
        from_files: BTreeMap<String, Check>,
        default_rule: &str,
        new_defaults: bool,
    ) -> Self {
        let mut by_name = BTreeMap::new();
        for rule in defaults {
            let check = match &rule.deprecated_rule {
                Some(old) => replaced(rule, old, &from_files, new_defaults),
                None => crate::parse::rule(&rule.check),
            };
            by_name.insert(rule.name.clone(), check);
        }
        by_name.extend(from_files);
        Rules { by_name, default_rule: default_rule.to_owned() }
    }

    /// The rule, or the default rule in place of one that does not exist.
    pub(crate) fn get(&self, name: &str) -> Option<&Check> {
        self.by_name.get(name).or_else(|| self.by_name.get(&self.default_rule))
    }

    /// Every rule, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Check)> {
        self.by_name.iter()
    }

    /// Calls of rules that do not exist, as (caller, called).
    pub(crate) fn undefined(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        for (name, check) in &self.by_name {
            found.extend(
                check
                    .calls()
                    .into_iter()
                    .filter(|called| !self.by_name.contains_key(*called))
                    .map(|c| (name.as_str(), c)),
            );
        }
        found
    }
}

/// The default of a rule that replaces another one, unless a file names the new rule (then that is taken anyway).
fn replaced(
    rule: &RuleDefault,
    old: &DeprecatedRule,
    from_files: &BTreeMap<String, Check>,
    new_defaults: bool,
) -> Check {
    let (new_check, old_check) = (crate::parse::rule(&rule.check), crate::parse::rule(&old.check));
    if from_files.contains_key(&rule.name) {
        return new_check;
    }
    let renamed = old.name != rule.name;
    if let Some(written) = from_files.get(&old.name).filter(|_| renamed) {
        tracing::warn!("policy {} was replaced by {} in {}: {}", old.name, rule.name, old.since, old.reason);
        let text = written.to_string();
        // A generated file keeps the old name as an alias of the new one: that says nothing.
        if text != old_check.to_string() && text != format!("rule:{}", rule.name) {
            return written.clone();
        }
    }
    if !new_defaults && old.check != rule.check {
        return Check::Or(vec![new_check, old_check]);
    }
    new_check
}
