//! oslo.policy for Rust: rules, files and enforcement.
