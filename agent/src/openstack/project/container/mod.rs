//! Containers of Swift as images: every object has a place in one, so that the next level holds only the objects that have
//! changed, and no other is read.

mod layout;
mod restore;
mod save;

pub use restore::{PartsLists, restore, store_lists};
pub use save::{Lost, save};
