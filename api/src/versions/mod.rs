//! What the service speaks: the versions document and the home document of v2.

mod home;
mod root;

pub use home::home;
pub use root::root;
