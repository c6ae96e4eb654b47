//! Text to [`Check`]. Never fails: what cannot be understood becomes a check that refuses.

use serde_json::Value;

use crate::check::{Check, Right};
use crate::literal::Left;

/// More than this many open parentheses, `not`s and unfinished chains at a time are no rule anybody meant; the limit
/// bounds the depth of the tree, which is walked by recursion.
const MOST_PENDING: usize = 100;

/// A word of a rule, or what a run of words was reduced to.
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    /// Text in quotes, which has no meaning by itself.
    Quoted,
    Check(Check),
    /// An unfinished chain of `and`, which the next `and` extends.
    AndChain(Vec<Check>),
    /// An unfinished chain of `or`.
    OrChain(Vec<Check>),
}

/// A rule in the policy language.
pub(crate) fn rule(text: &str) -> Check {
    if text.is_empty() {
        return Check::Allow;
    }
    let mut stack: Vec<Token> = Vec::new();
    for word in text.split_whitespace() {
        for token in tokens(word) {
            stack.push(token);
            while reduce(&mut stack) {}
            if stack.len() > MOST_PENDING {
                return Check::Broken(format!("the rule is nested deeper than {MOST_PENDING} levels"));
            }
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(Token::Check(check)), true) => check,
        (Some(Token::AndChain(parts)), true) => Check::And(parts),
        (Some(Token::OrChain(parts)), true) => Check::Or(parts),
        _ => Check::Broken(format!("{text:?} cannot be understood: check its parentheses, and, or, not")),
    }
}

/// The older form: a list is an "or" of its elements, each a check or an "and" list of checks.
pub(crate) fn list(items: &[Value]) -> Check {
    if items.is_empty() {
        return Check::Allow;
    }
    let mut choices = Vec::new();
    for item in items {
        match item {
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => choices.push(check(text)),
            Value::Array(parts) if parts.is_empty() => {}
            Value::Array(parts) => {
                let mut all: Vec<Check> = parts
                    .iter()
                    .map(|part| match part {
                        Value::String(text) => check(text),
                        other => Check::Broken(format!("{other} is no check")),
                    })
                    .collect();
                choices.push(if all.len() == 1 { all.remove(0) } else { Check::And(all) });
            }
            other => choices.push(Check::Broken(format!("{other} is no check"))),
        }
    }
    match choices.len() {
        0 => Check::Refuse,
        1 => choices.remove(0),
        _ => Check::Or(choices),
    }
}

/// Parentheses may touch a check; inside of one they belong to it (`%(key)s`).
fn tokens(word: &str) -> Vec<Token> {
    let bare = word.trim_start_matches('(');
    let mut tokens: Vec<Token> =
        std::iter::repeat_with(|| Token::Open).take(word.len() - bare.len()).collect();
    let clean = bare.trim_end_matches(')');
    let is_quoted = |quote: char| bare.len() >= 2 && bare.starts_with(quote) && bare.ends_with(quote);
    match clean.to_lowercase().as_str() {
        "" => {}
        "and" => tokens.push(Token::And),
        "or" => tokens.push(Token::Or),
        "not" => tokens.push(Token::Not),
        _ if is_quoted('"') || is_quoted('\'') => tokens.push(Token::Quoted),
        _ => tokens.push(Token::Check(check(clean))),
    }
    tokens.extend(std::iter::repeat_with(|| Token::Close).take(bare.len() - clean.len()));
    tokens
}

/// One check, without `and`, `or`, `not`.
fn check(text: &str) -> Check {
    match text {
        "!" => return Check::Refuse,
        "@" => return Check::Allow,
        _ => {}
    }
    let Some((kind, right)) = text.split_once(':') else {
        return Check::Broken(format!("{text:?} is no check: there is no colon in it"));
    };
    match kind {
        "rule" => Check::Rule(right.to_owned()),
        "role" => Check::Role(Right::new(right)),
        "http" | "https" => Check::Remote(text.to_owned()),
        _ => Check::Generic { kind: kind.to_owned(), left: Left::new(kind), right: Right::new(right) },
    }
}

/// Replaces the end of the stack by what it means, if it means something already.
fn reduce(stack: &mut Vec<Token>) -> bool {
    let last = stack.pop();
    let before = stack.pop();
    match (before, last) {
        (Some(Token::Not), Some(Token::Check(inner))) => {
            stack.push(Token::Check(Check::Not(Box::new(inner))));
            true
        }
        (Some(inner), Some(Token::Close)) if matches!(stack.last(), Some(Token::Open)) => {
            match whole(inner) {
                Ok(inner) => {
                    stack.pop();
                    stack.push(Token::Check(inner));
                    true
                }
                Err(inner) => put_back(stack, [Some(inner), Some(Token::Close)]),
            }
        }
        (Some(Token::And), Some(Token::Check(right))) => join_and(stack, right),
        (Some(Token::Or), Some(Token::Check(right))) => join_or(stack, right),
        (before, last) => put_back(stack, [before, last]),
    }
}

fn put_back<const N: usize>(stack: &mut Vec<Token>, tokens: [Option<Token>; N]) -> bool {
    stack.extend(tokens.into_iter().flatten());
    false
}

/// A finished part between parentheses.
fn whole(token: Token) -> Result<Check, Token> {
    match token {
        Token::Check(check) => Ok(check),
        Token::AndChain(parts) => Ok(Check::And(parts)),
        Token::OrChain(parts) => Ok(Check::Or(parts)),
        other => Err(other),
    }
}

/// `and` binds closer than `or`: after `a or b`, `and c` belongs to b.
fn join_and(stack: &mut Vec<Token>, right: Check) -> bool {
    match stack.pop() {
        Some(Token::Check(left)) => stack.push(Token::AndChain(vec![left, right])),
        Some(Token::AndChain(mut parts)) => {
            parts.push(right);
            stack.push(Token::AndChain(parts));
        }
        Some(Token::OrChain(mut parts)) => {
            let and = match parts.pop() {
                Some(Check::And(mut inner)) => {
                    inner.push(right);
                    Check::And(inner)
                }
                Some(left) => Check::And(vec![left, right]),
                None => right,
            };
            parts.push(and);
            stack.push(Token::OrChain(parts));
        }
        other => return put_back(stack, [other, Some(Token::And), Some(Token::Check(right))]),
    }
    true
}

fn join_or(stack: &mut Vec<Token>, right: Check) -> bool {
    match stack.pop() {
        Some(Token::Check(left)) => stack.push(Token::OrChain(vec![left, right])),
        Some(Token::AndChain(parts)) => stack.push(Token::OrChain(vec![Check::And(parts), right])),
        Some(Token::OrChain(mut parts)) => {
            parts.push(right);
            stack.push(Token::OrChain(parts));
        }
        other => return put_back(stack, [other, Some(Token::Or), Some(Token::Check(right))]),
    }
    true
}
