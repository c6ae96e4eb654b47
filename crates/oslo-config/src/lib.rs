//! oslo.config for Rust: options declared in code, read from INI files, the environment and the command line.
//!
//! Role: one typed, checked view of a service's configuration. A library crate exposes
//! `pub fn options() -> Vec<OptGroup>`; a program collects them in a [`Registry`], calls [`Registry::load`]
//! once at start and hands the [`Config`] down.
//!
//! Order of precedence, highest first: override by the program, command line, environment
//! (`OS_<GROUP>__<OPTION>`), files (a later file wins), default. This is the documented order; the Python
//! library departs from it in two corners (an option that is both on the command line and in a file loses to
//! the environment there; a `--config-file` to the right of an option beats that option). We do not.
//! A multi-valued option from the environment is one element, not a list of characters.
//!
//! Invariants: every value is checked at load, so a getter never fails later. An error names file, line,
//! option, text and what was expected, but never the text of a secret option. Unknown options and sections are
//! warnings ([`Config::warnings`]), because logging is set up only after the configuration was read.
//!
//! It never writes files and never reads the process environment except in [`LoadArgs::from_process`].
//!
//! ```
//! use oslo_config::{LoadArgs, Opt, Registry};
//! let registry = Registry::new("backup", "backup-api")
//!     .group("DEFAULT", vec![Opt::str("bind_host").default("0.0.0.0").help("Address to listen on.")]);
//! let config = registry.load(LoadArgs::default()).unwrap();
//! assert_eq!(config.str("DEFAULT", "bind_host"), "0.0.0.0");
//! ```

mod arguments;
mod change;
mod config;
mod convert;
mod error;
mod find;
mod host;
mod ini;
mod interpolate;
mod opt;
mod registry;
mod resolve;
mod sample;
mod value;
mod warn;

pub use arguments::{LoadArgs, Source};
pub use change::{Change, Mutation};
pub use config::Config;
pub use error::{BadValue, ConfigError, OptionError};
pub use opt::{Kind, Opt, OptGroup};
pub use registry::Registry;
pub use value::{Origin, Value};
pub use warn::Warning;
