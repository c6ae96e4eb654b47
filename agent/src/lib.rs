//! freezer-agent: does the work on a host.
