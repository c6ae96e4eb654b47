//! Which members are restored when only parts are wanted.

use super::extract::safe_path;

/// Paths below the root, each with all that is below it. None at all means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(Vec<Vec<u8>>);

/// What of a path is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tar) enum Part {
    All,
    /// A folder in which something wanted lies.
    Way,
    Nothing,
}

impl Selection {
    /// `./` in front and slashes at the end may be there. Errors name the path.
    pub fn of<P: AsRef<[u8]>>(paths: &[P]) -> Result<Self, String> {
        let mut wanted = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let shown = path.escape_ascii();
            if path.starts_with(b"/") {
                return Err(format!("'{shown}' must be relative to the folder that was saved"));
            }
            wanted.push(safe_path(path).map_err(|reason| format!("'{shown}': {reason}"))?);
        }
        // The root is everything.
        let is_all = wanted.iter().any(Vec::is_empty);
        Ok(Self(if is_all { Vec::new() } else { wanted }))
    }

    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub fn paths(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Whether a member of this path is restored.
    pub(crate) fn wants(&self, path: &[u8], is_directory: bool) -> bool {
        match self.part(path) {
            Part::All => true,
            Part::Way => is_directory,
            Part::Nothing => false,
        }
    }

    pub(in crate::tar) fn part(&self, path: &[u8]) -> Part {
        if self.is_everything() || self.0.iter().any(|wanted| is_within(path, wanted)) {
            return Part::All;
        }
        if self.0.iter().any(|wanted| is_within(wanted, path)) { Part::Way } else { Part::Nothing }
    }
}

/// Whether `path` is `directory` or lies below it.
pub(super) fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_means_itself_and_all_below() {
        let some = Selection::of(&["./a/b/", "c"]).unwrap();
        for (path, part) in [
            ("", Part::Way),
            ("a", Part::Way),
            ("a/b", Part::All),
            ("a/b/c", Part::All),
            ("a/bc", Part::Nothing),
            ("c", Part::All),
            ("c/d", Part::All),
            ("cd", Part::Nothing),
        ] {
            assert_eq!(some.part(path.as_bytes()), part, "{path}");
        }
        assert!(Selection::of(&["a", "./"]).unwrap().is_everything());
        assert_eq!(Selection::default().part(b"x"), Part::All);
        assert!(Selection::of(&["/etc"]).is_err() && Selection::of(&["a/../b"]).is_err());
    }
}
