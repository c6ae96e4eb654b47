//! Ids as newtypes, so that a job's id never travels where a run's is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

text_id!(/** Keystone project; owns every row of the service. */ ProjectId);
text_id!(/** Keystone user; kept for information, never used for access. */ UserId);
text_id!(/** The name under which an agent (or upstream scheduler) is registered in a project. */ ClientId);
text_id!(/** A job, unique within its project. Server-made ids are 32 lower-case hex digits. */ JobId);
text_id!(/** A saved action, unique within its project. */ ActionId);
text_id!(/** A record of one backup, unique within its project. */ BackupId);
text_id!(/** One firing of a job, globally unique. */ RunId);
text_id!(/** Jobs that start together, unique within its project. */ SessionId);

macro_rules! server_made {
    ($($name:ident),*) => { $(
        impl $name {
            /// A new random id: a version 4 UUID as 32 lower-case hex digits.
            pub fn random() -> Self {
                Self(uuid::Uuid::new_v4().simple().to_string())
            }
        }
    )* };
}
server_made!(JobId, ActionId, BackupId, RunId, SessionId);

/// Fencing number of a run: it grows each time the run is handed to an agent.
/// A report that carries an older epoch than the stored one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
