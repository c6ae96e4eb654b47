//! Text that must not be seen: passwords, tokens, application credential secrets.
//!
//! Invariants: the memory is wiped when the last owner lets go; `Debug` shows stars; there is no `Display`
//! and no serialisation, so that a secret cannot slip into a log line or a message by accident.

use std::fmt;
use zeroize::Zeroizing;

/// A secret text. [`Secret::expose`] is the only way to the text, so that uses can be searched for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Never log it, never put it into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_stars_only() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "***");
    }
}
