//! A parsed rule: a tree of checks, and its canonical text.

use std::fmt;

use crate::literal::Left;

/// A rule or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Check {
    /// `@`, or an empty rule.
    Allow,
    /// `!`.
    Refuse,
    /// Text that means nothing: refuses the whole request. The text says why.
    Broken(String),
    Not(Box<Check>),
    And(Vec<Check>),
    Or(Vec<Check>),
    /// `rule:name`.
    Rule(String),
    /// `role:name`.
    Role(Right),
    /// `left:right`.
    Generic {
        kind: String,
        left: Left,
        right: Right,
    },
    /// `http:…`, `https:…`: not supported.
    Remote(String),
}

/// The right side of a check: text with `%(key)s` in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Right {
    /// As written.
    pub(crate) text: String,
    /// Taken apart, or why it cannot be.
    pub(crate) pieces: Result<Vec<Piece>, String>,
}

/// A piece of a right side.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    /// A key of the target.
    Key(String),
}

impl Right {
    /// Takes `%(key)s` and `%%` apart; any other `%` makes it unusable.
    pub(crate) fn new(text: &str) -> Self {
        Right { text: text.to_owned(), pieces: split(text) }
    }
}

fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        pieces.push(Piece::Text(before.to_owned()));
        if let Some(next) = after.strip_prefix('%') {
            pieces.push(Piece::Text("%".to_owned()));
            rest = next;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(")s"));
        let (key, next) = reference.ok_or_else(|| format!("{text:?} has a % that is not part of %(key)s"))?;
        pieces.push(Piece::Key(key.to_owned()));
        rest = next;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Allow => f.write_str("@"),
            Check::Refuse | Check::Broken(_) => f.write_str("!"),
            Check::Not(inner) => write!(f, "not {inner}"),
            Check::And(parts) => join(f, parts, " and "),
            Check::Or(parts) => join(f, parts, " or "),
            Check::Rule(name) => write!(f, "rule:{name}"),
            Check::Role(right) => write!(f, "role:{}", right.text),
            Check::Generic { kind, right, .. } => write!(f, "{kind}:{}", right.text),
            Check::Remote(url) => f.write_str(url),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Check], word: &str) -> fmt::Result {
    let texts: Vec<String> = parts.iter().map(Check::to_string).collect();
    write!(f, "({})", texts.join(word))
}

impl Check {
    /// Every problem inside, for the log at load.
    pub(crate) fn problems(&self) -> Vec<String> {
        match self {
            Check::Broken(problem) => vec![problem.clone()],
            Check::Not(inner) => inner.problems(),
            Check::And(parts) | Check::Or(parts) => parts.iter().flat_map(Check::problems).collect(),
            Check::Role(right) => right.pieces.as_ref().err().cloned().into_iter().collect(),
            Check::Generic { left, right, .. } => {
                let left = if let Left::Unusable(problem) = left { Some(problem.clone()) } else { None };
                left.into_iter().chain(right.pieces.as_ref().err().cloned()).collect()
            }
            Check::Remote(url) => vec![format!("checks of the kind {url:?} are not supported and refuse")],
            Check::Allow | Check::Refuse | Check::Rule(_) => Vec::new(),
        }
    }

    /// The rules this one calls.
    pub(crate) fn calls(&self) -> Vec<&str> {
        match self {
            Check::Rule(name) => vec![name],
            Check::Not(inner) => inner.calls(),
            Check::And(parts) | Check::Or(parts) => parts.iter().flat_map(Check::calls).collect(),
            _ => Vec::new(),
        }
    }
}
