//! oslo.log for Rust: context lines and JSON, over tracing.
