//! What the options of a backup leave out, asked about a path as a whole: a restore spares it.

use super::exclude::Excludes;
use super::rules::Rules;

/// Patterns of GNU tar, and rules as of a `.gitignore`. The default leaves nothing out.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    excludes: Excludes,
    rules: Rules,
}

impl LeftOut {
    pub fn new(excludes: &[Vec<u8>], rules: Rules) -> Self {
        Self { excludes: Excludes::new(excludes), rules }
    }

    pub fn is_empty(&self) -> bool {
        self.excludes.is_empty() && self.rules.is_empty()
    }

    /// Whether `path` (relative to the root) is left out, or a folder it lies in.
    pub(crate) fn has(&self, path: &[u8], is_folder: bool) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.filter_map(|at| path.get(..at)).any(|folder| self.names(folder, true))
            || self.names(path, is_folder)
    }

    fn names(&self, path: &[u8], is_folder: bool) -> bool {
        self.excludes.matches(&[b"./", path].concat()) || self.rules.leave_out(path, is_folder)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_lies_in_a_folder_that_is_left_out_is_left_out() {
        let rules = Rules::new(&["/cache/".to_owned()], &[]).unwrap();
        let left_out = LeftOut::new(&[b"*.log".to_vec()], rules);
        for (path, is_folder, is_out) in [
            ("cache", true, true),
            ("cache", false, false),
            ("cache/deep/file", false, true),
            ("sub/cache/file", false, false),
            ("sub/a.log", false, true),
            ("sub/a.log/file", false, true),
            ("sub/a", false, false),
        ] {
            assert_eq!(left_out.has(path.as_bytes(), is_folder), is_out, "{path}");
        }
        assert!(LeftOut::default().is_empty() && !left_out.is_empty());
    }
}
