//! What the service remembers: diesel on MySQL and SQLite, one repository per noun.
