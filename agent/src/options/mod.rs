//! The options of one action: where they come from, which one wins, and their typed form.
//!
//! Precedence, highest first: command line, job (INI file or JSON), configuration file, environment,
//! default. Upstream lets the INI file win over the command line although its documents say otherwise.

mod cipher;
pub mod cloud;
pub mod command_line;
pub mod date;
mod effect;
pub mod ftp;
mod holding;
pub mod ini;
mod keeping;
pub mod keys;
pub mod medium;
pub mod mirror;
mod name;
pub mod pass_phrase;
pub mod placing;
pub mod servers;
pub mod snapshot;
pub mod typed;
pub mod values;

pub use typed::ActionOptions;
pub use values::{OptionsError, Values};
