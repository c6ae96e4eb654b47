//! oslo.policy for Rust: who may do what, decided by rules in code that an operator's files override.
//!
//! Role: a service declares its rules as [`RuleDefault`]s, makes one [`Enforcer`] at start and asks
//! [`Enforcer::enforce`] for each request. Rules are parsed when loaded; asking costs no I/O except a look at the
//! files' times once a second at most, and a change of any of them (also its removal) loads everything again.
//!
//! Invariants: whatever is wrong refuses. An unknown rule, text that cannot be parsed, a value that cannot be
//! compared, rules that call each other in a circle: refused as a whole, even under `not`, and logged. A file that
//! cannot be read or parsed fails [`Enforcer::new`]; later it keeps the rules in force and is logged as an error.
//!
//! Departures from the Python library, all towards refusing: left sides that raise there (`01:x`, `class:x`) and a
//! stray `%` refuse; a check that cannot be parsed refuses under `not`, too; a rule whose value in the file is empty
//! (`name:` and nothing) refuses, it allows everything there; containers as left side (`[1]:x`) refuse; `http:` and
//! `https:` checks are not supported and refuse. A file removed takes its rules with it at once. `enforce_scope` is
//! still an option here (on by default).

mod check;
mod credentials;
mod enforcer;
mod error;
mod evaluate;
mod file;
mod literal;
mod options;
mod parse;
mod rule;
mod rules;
mod sample;

pub use credentials::Credentials;
pub use enforcer::{Enforcer, PolicyOptions};
pub use error::{Forbidden, PolicyError, Reason};
pub use options::options;
pub use rule::{DeprecatedRule, Operation, RuleDefault};
pub use sample::sample;

/// Attributes of the object a request is about. Keys may contain dots.
pub type Target = serde_json::Map<String, serde_json::Value>;
