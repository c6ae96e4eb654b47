//! How the program ends: upstream's exit statuses, each with its words.

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    pub status: u8,
    pub message: String,
}

impl Failure {
    /// The daemon or its login could not be set up.
    pub fn setup(message: impl Into<String>) -> Self {
        Self { status: 1, message: message.into() }
    }

    /// No verb, or one that does not exist.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: 65, message: message.into() }
    }

    /// Asked for what this program does not offer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { status: 69, message: message.into() }
    }

    /// A verb failed.
    pub fn command(message: impl Into<String>) -> Self {
        Self { status: 70, message: message.into() }
    }

    /// The client's name is taken.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: 73, message: message.into() }
    }
}
