//! freezer-conductor: time and state of every job and run.
