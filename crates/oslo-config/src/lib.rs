//! oslo.config for Rust: INI files, environment, typed options, sample generation.
