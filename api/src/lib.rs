//! freezer-api: the REST service.
