//! Tools for tests: services, clocks, trees, damage.
