//! The JSON documents of the REST API, as clients see them.
