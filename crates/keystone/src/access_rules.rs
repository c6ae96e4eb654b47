//! What an application credential with access rules may do: one rule must fit method, service and path.
//!
//! In a rule's path `*` and `{name}` stand for one segment, `**` for anything, all else for itself: it is
//! matched here without regular expressions, so no character of a rule can mean more than that.

use crate::token_document::{AccessRule, TokenDocument};

/// Why a request is not covered. The text goes to the log, never to the client.
pub(crate) fn check(
    document: &TokenDocument,
    service_type: Option<&str>,
    vouched: bool,
    method: &str,
    path: &str,
) -> Result<(), String> {
    let Some(rules) = document.application_credential.as_ref().and_then(|used| used.access_rules.as_ref())
    else {
        return Ok(());
    };
    let Some(service_type) = service_type.filter(|text| !text.is_empty()) else {
        return Err("the token has access rules: set service_type in [keystone_authtoken]".to_owned());
    };
    if !document.catalog.as_ref().is_some_and(|catalog| catalog.has_type(service_type)) {
        return Err(format!(
            "the token has access rules and its catalogue no service of type {service_type}"
        ));
    }
    // A service passes on what a user was allowed to ask of *it*; the rules were checked there.
    if vouched || rules.iter().any(|rule| rule_fits(rule, service_type, method, path)) {
        return Ok(());
    }
    Err(format!("no access rule of the application credential allows {method} {path}"))
}

fn rule_fits(rule: &AccessRule, service_type: &str, method: &str, path: &str) -> bool {
    rule.service == service_type && rule.method == method && path_fits(&rule.path, path)
}

enum Part<'a> {
    Literal(&'a str),
    Segment,
    Anything,
}

fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let (part, length) = if rest.starts_with("**") {
            (Part::Anything, 2)
        } else if first == '*' {
            (Part::Segment, 1)
        } else if let Some(end) = rest.find('}').filter(|_| first == '{') {
            (Part::Segment, end + 1)
        } else {
            let end = rest
                .char_indices()
                .skip(1)
                .find(|(_, c)| matches!(c, '*' | '{'))
                .map_or(rest.len(), |(i, _)| i);
            (Part::Literal(rest.get(..end).unwrap_or(rest)), end)
        };
        found.push(part);
        rest = rest.get(length..).unwrap_or("");
    }
    found
}

/// Follows all readings of the pattern at once, so that no rule, however odd, takes long.
fn path_fits(pattern: &str, path: &str) -> bool {
    if path.split('/').any(|segment| segment == ".." || segment == ".") {
        return false;
    }
    let path = path.as_bytes();
    let mut reached = vec![false; path.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for part in parts(pattern) {
        reached = after(&part, &reached, path);
    }
    reached.last() == Some(&true)
}

/// The places in `path` that can be reached from `reached` by matching `part`.
fn after(part: &Part<'_>, reached: &[bool], path: &[u8]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    match part {
        Part::Literal(text) => {
            for (place, slot) in next.iter_mut().enumerate().skip(text.len()) {
                let from = place - text.len();
                *slot = reached.get(from) == Some(&true) && path.get(from..place) == Some(text.as_bytes());
            }
        }
        Part::Segment | Part::Anything => {
            let crosses_slashes = matches!(part, Part::Anything);
            let mut running = false;
            for (place, slot) in next.iter_mut().enumerate() {
                if crosses_slashes {
                    running |= reached.get(place) == Some(&true);
                } else {
                    let before = place.checked_sub(1);
                    let at_slash = before.and_then(|before| path.get(before)) == Some(&b'/');
                    let starts = before.is_some_and(|before| reached.get(before) == Some(&true));
                    running = !at_slash && (running || starts);
                }
                *slot = running;
            }
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_parts() {
        let cases = [
            ("/v1/backups/*", "/v1/backups/1", true),
            ("/v1/backups/*", "/v1/backups/1/x", false),
            ("/v1/backups/*", "/v1/backups/", false),
            ("/v1/{project}/jobs/**", "/v1/p-1/jobs/a/b/c", true),
            ("/v1/{project}/jobs/**", "/v1/p-1/jobs/", true),
            ("/v1/{project}/jobs/**", "/v1/p/q/jobs/a", false),
            ("/v1/{a}-{b}/x", "/v1/one-two/x", true),
            ("/v1/{a}-{b}/x", "/v1/onetwo/x", false),
            ("**", "", true),
            ("**", "/any/thing", true),
            ("/a/**/z", "/a/b/c/z", true),
            ("/a/**/z", "/a/z", false),
            ("/v1.0/x", "/v1.0/x", true),
            ("/v1.0/x", "/v1a0/x", false),
            ("/v1/(x|y)", "/v1/x", false),
            ("/v1/(x|y)", "/v1/(x|y)", true),
            ("/v1/{open", "/v1/{open", true),
            ("/v1/ž/*", "/v1/ž/a", true),
            ("", "/", false),
            ("/v1/backups/**", "/v1/backups/../jobs", false),
            ("/v1/***", "/v1/ab", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(path_fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_wild_parts_take_no_time() {
        assert!(!path_fits(&"**a".repeat(200), &"a/".repeat(199)));
    }
}
