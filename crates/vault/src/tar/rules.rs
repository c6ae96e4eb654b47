//! What is left out, in the words of gitignore: `!` takes back, a `/` at the beginning or in the middle binds a rule to the root,
//! one at the end means folders only, the last rule that fits counts, and nothing below a folder that is left out comes back.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Two lists: what is left out, and (if there is one) what alone is saved of the rest.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    exclude: Option<Gitignore>,
    include: Option<Gitignore>,
}

impl Rules {
    /// Lines as of a `.gitignore`, those of `include` saying what is saved. Errors name the line.
    pub fn new(exclude: &[String], include: &[String]) -> Result<Self, String> {
        Ok(Self { exclude: parse(exclude)?, include: parse(include)? })
    }

    pub fn is_empty(&self) -> bool {
        self.exclude.is_none() && self.include.is_none()
    }

    /// `path` is relative to the root. Folders are entered whatever is included: it may be below them.
    pub(super) fn leave_out(&self, path: &[u8], is_folder: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        if self.exclude.as_ref().is_some_and(|rules| rules.matched(path, is_folder).is_ignore()) {
            return true;
        }
        let is_included = |rules: &Gitignore| rules.matched_path_or_any_parents(path, is_folder).is_ignore();
        !is_folder && self.include.as_ref().is_some_and(|rules| !is_included(rules))
    }
}

fn parse(lines: &[String]) -> Result<Option<Gitignore>, String> {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        builder.add_line(None, line).map_err(|error| format!("'{line}' is no rule: {error}"))?;
    }
    let rules = builder.build().map_err(|error| error.to_string())?;
    Ok((!rules.is_empty()).then_some(rules))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(exclude: &[&str], include: &[&str]) -> Rules {
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        Rules::new(&own(exclude), &own(include)).unwrap()
    }

    #[test]
    fn rules_of_every_kind() {
        let rules = of(&["# a comment", "", "*.log", "!keep.log", "/top", "cache/", "a/**/z", "\\#odd"], &[]);
        for (path, is_folder, is_out) in [
            ("x.log", false, true),
            ("sub/x.log", false, true),
            ("sub/keep.log", false, false),
            ("top", false, true),
            ("sub/top", false, false),
            ("cache", false, false),
            ("sub/cache", true, true),
            ("a/z", false, true),
            ("a/b/c/z", true, true),
            ("b/a/z", false, false),
            ("#odd", false, true),
        ] {
            assert_eq!(rules.leave_out(path.as_bytes(), is_folder), is_out, "{path}");
        }
        assert!(of(&["# nothing"], &[]).is_empty());
        assert!(Rules::new(&["[z-a]".to_owned()], &[]).is_err());
    }

    #[test]
    fn only_what_is_included_is_saved() {
        let rules = of(&["*.bak"], &["*.conf", "/data/", "!secret.conf"]);
        for (path, is_folder, is_out) in [
            ("etc", true, false),
            ("etc/a.conf", false, false),
            ("etc/a.conf.bak", false, true),
            ("etc/secret.conf", false, true),
            ("etc/passwd", false, true),
            ("data/deep/file", false, false),
            ("data/x.bak", false, true),
            ("sub/data/file", false, true),
        ] {
            assert_eq!(rules.leave_out(path.as_bytes(), is_folder), is_out, "{path}");
        }
    }

    #[test]
    fn names_need_not_be_text() {
        assert!(of(&["*.log"], &[]).leave_out(b"\xff.log", false));
    }
}
