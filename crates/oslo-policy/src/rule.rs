//! Declarations of rules, as a service registers them.

/// Where a rule applies, for the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The HTTP method.
    pub method: String,
    /// The path, with `{…}` for what varies.
    pub path: String,
}

/// The rule this one replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeprecatedRule {
    /// Its name; the same as the new one if only the check changed.
    pub name: String,
    /// Its check.
    pub check: String,
    /// Why it was replaced.
    pub reason: String,
    /// The release that replaced it.
    pub since: String,
}

/// A rule with its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDefault {
    /// The name operators and code use.
    pub name: String,
    /// The check, in the policy language.
    pub check: String,
    /// What it protects.
    pub description: String,
    /// The requests it is asked for.
    pub operations: Vec<Operation>,
    /// The token scopes it accepts (`project`, `domain`, `system`); empty: any.
    pub scope_types: Vec<String>,
    /// What it replaces.
    pub deprecated_rule: Option<DeprecatedRule>,
}

impl RuleDefault {
    /// A rule without any documentation.
    pub fn new(name: &str, check: &str) -> Self {
        RuleDefault {
            name: name.to_owned(),
            check: check.to_owned(),
            description: String::new(),
            operations: Vec::new(),
            scope_types: Vec::new(),
            deprecated_rule: None,
        }
    }

    /// What the rule protects.
    pub fn description(mut self, text: &str) -> Self {
        self.description = text.to_owned();
        self
    }

    /// One more request the rule is asked for.
    pub fn operation(mut self, method: &str, path: &str) -> Self {
        self.operations.push(Operation { method: method.to_owned(), path: path.to_owned() });
        self
    }

    /// The token scopes the rule accepts.
    pub fn scope_types(mut self, scopes: &[&str]) -> Self {
        self.scope_types = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    /// What the rule replaces.
    pub fn deprecated(mut self, old: DeprecatedRule) -> Self {
        self.deprecated_rule = Some(old);
        self
    }
}
