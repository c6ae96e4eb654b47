//! The option `container` of stores that have containers or buckets.

use crate::store::{ObjectName, StoreError};

/// `container/prefix/of/names`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub container: String,
    pub prefix: Option<ObjectName>,
}

impl Root {
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let bad = || StoreError::BadName { name: text.to_string() };
        let trimmed = text.trim_matches('/');
        let (container, prefix) = match trimmed.split_once('/') {
            Some((container, prefix)) => (container, Some(ObjectName::new(prefix)?)),
            None => (trimmed, None),
        };
        if container.is_empty() || container == "." || container == ".." || container.len() > 256 {
            return Err(bad());
        }
        Ok(Self { container: container.to_string(), prefix })
    }

    /// The object's full name inside the container.
    pub fn full(&self, name: &ObjectName) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_string(),
        }
    }

    /// What all names in a folder start with.
    pub fn folder_prefix(&self, folder: Option<&ObjectName>) -> String {
        match (folder, &self.prefix) {
            (Some(folder), _) => format!("{}/", self.full(folder)),
            (None, Some(prefix)) => format!("{prefix}/"),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn roots() {
        let root = Root::parse("/box/a b/c/").unwrap();
        assert_eq!(root.container, "box");
        assert_eq!(root.full(&ObjectName::new("x").unwrap()), "a b/c/x");
        assert_eq!(root.folder_prefix(None), "a b/c/");
        assert_eq!(Root::parse("box").unwrap().folder_prefix(None), "");
        for bad in ["", "/", "box//x", "box/../y", ".."] {
            assert!(Root::parse(bad).is_err(), "{bad}");
        }
    }
}
