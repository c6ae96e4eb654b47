//! What upstream's agent wrote and this project does not write: read only, as the bytes were found in the field.
//!
//! Everything here is untrusted input: lengths are bounded before anything is allocated, names never lead out of the target,
//! and damage is told with the object and the byte where it begins.

pub(crate) mod images;
mod layout_a;
pub(crate) mod rsync;
mod view;
mod volumes;

pub use layout_a::list_layout_a;
pub(crate) use layout_a::view_layout_a;
pub use volumes::list_volumes;
pub(crate) use volumes::view_volume;
