//! Does a rule hold for a target and credentials? Pure; no I/O.
//!
//! An error is not "false": it refuses the whole request, because `not` would turn a false into an allowance.

use serde_json::Value;

use crate::Target;
use crate::check::{Check, Piece, Right};
use crate::credentials::Credentials;
use crate::literal::{Left, python_str};
use crate::rules::Rules;

/// Rules calling rules deeper than this go in a circle.
const DEEPEST: usize = 300;

/// What a check is evaluated against.
pub(crate) struct Question<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) target: &'a Target,
    pub(crate) credentials: &'a Credentials,
}

impl Question<'_> {
    pub(crate) fn holds(&self, check: &Check) -> Result<bool, String> {
        self.at(check, 0)
    }

    fn at(&self, check: &Check, depth: usize) -> Result<bool, String> {
        if depth > DEEPEST {
            return Err("rules call each other in a circle, or too many levels deep".to_owned());
        }
        match check {
            Check::Allow => Ok(true),
            Check::Refuse => Ok(false),
            Check::Broken(problem) => Err(problem.clone()),
            Check::Remote(url) => Err(format!("{url:?}: http checks are not supported")),
            Check::Not(inner) => self.at(inner, depth + 1).map(|holds| !holds),
            Check::And(parts) => self.chain(parts, depth, false),
            Check::Or(parts) => self.chain(parts, depth, true),
            Check::Rule(name) => match self.rules.get(name) {
                Some(rule) => self.at(rule, depth + 1),
                None => Ok(false),
            },
            Check::Role(right) => {
                let name = self.fill(right)?;
                Ok(name.is_some_and(|name| self.credentials.has_role(&name)))
            }
            Check::Generic { left, right, .. } => self.compare(left, right),
        }
    }

    /// Looks at the parts in order until one decides.
    fn chain(&self, parts: &[Check], depth: usize, decides: bool) -> Result<bool, String> {
        for part in parts {
            if self.at(part, depth + 1)? == decides {
                return Ok(decides);
            }
        }
        Ok(!decides)
    }

    fn compare(&self, left: &Left, right: &Right) -> Result<bool, String> {
        let Some(wanted) = self.fill(right)? else { return Ok(false) };
        match left {
            Left::Literal(text) => Ok(*text == wanted),
            Left::Unusable(problem) => Err(problem.clone()),
            Left::Path(path) => {
                let Some((first, rest)) = path.split_first() else { return Ok(false) };
                match self.credentials.values().get(first) {
                    Some(value) => find(value, rest, &wanted),
                    None => Ok(false),
                }
            }
        }
    }

    /// The right side with the target's values. None: the target has no such key.
    fn fill(&self, right: &Right) -> Result<Option<String>, String> {
        let pieces = right.pieces.as_ref().map_err(Clone::clone)?;
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Key(key) => match self.target.get(key) {
                    Some(value) => text.push_str(&python_str(value)),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text))
    }
}

/// Follows names into objects; a list on the way means any of its elements.
fn find(value: &Value, path: &[String], wanted: &str) -> Result<bool, String> {
    if let Value::Array(items) = value {
        for item in items {
            if find_inside(item, path, wanted)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    find_inside(value, path, wanted)
}

fn find_inside(value: &Value, path: &[String], wanted: &str) -> Result<bool, String> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(python_str(value) == wanted);
    };
    match value {
        Value::Object(map) => map.get(name).map_or(Ok(false), |inner| find(inner, rest, wanted)),
        _ => Err(format!("a credential has no part {name:?}: it is no object")),
    }
}
