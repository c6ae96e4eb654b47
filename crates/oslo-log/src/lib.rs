//! oslo.log for Rust: the lines operators of OpenStack know, written from `tracing` events (and `log` records).
//!
//! Role: [`setup`] installs one subscriber for the process that writes oslo.log's context line or its JSON form to
//! a file, stderr, syslog or the journal. A request's identity rides in a span: make a [`RequestContext`], get a
//! span from [`span`], run the request inside it (`future.instrument(span)`), and every event within prints it.
//!
//! Mapping: the logger's name is the event's target with `.` for `::`; `error = %e` is appended as oslo.log appends
//! an exception (`message: text`); `resource_uuid` or `instance_uuid` become `[instance: …] `; `critical = true` on
//! an error makes it CRITICAL; every other field follows the message as `name=value`.
//!
//! Invariants: secrets in messages (`password=…`, tokens, credentials in URLs, …) are masked before anything is
//! written; control characters are escaped, except newlines and tabs; a line is written with one call, so lines of
//! several processes in one file do not mix; logging never fails the caller.
//!
//! The log file is opened again when it was renamed or removed (looked at once a second at most), and on
//! [`Guard::reopen`], which a program calls on SIGHUP. Left out: rotation by the process itself
//! (`log_rotation_type`: use logrotate), rate limiting (`rate_limit_*`), colours, and Python logging files
//! (`log_config_append`). These options are not registered, so setting them gives oslo-config's "unknown option"
//! warning with file and line.

mod bridge;
mod context;
mod filter;
mod format;
mod journal;
mod json;
mod layer;
mod mask;
mod options;
mod record;
mod request_id;
mod setup;
mod sink;
mod syslog;
mod tail;

pub use context::{RequestContext, current, record, span};
pub use mask::mask;
pub use options::options;
pub use request_id::{adopt_inbound, new_request_id, parse_inbound};
pub use setup::{Guard, Places, SetupError, log_options, prepare, setup};
