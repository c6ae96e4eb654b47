//! MongoDB: a dump of a whole replica set member with the changes that came meanwhile, by the vendor's `mongodump` and
//! `mongorestore`. What is saved is as of the last of these changes.
//!
//! Nothing is staged on disk when saving. The archive is read as it passes: one that is not whole is no backup, whatever the program
//! says.

mod archive;
mod bson;
mod conf;
mod dump;
mod load;
mod place;

pub(crate) use conf::MongoConf;
pub(crate) use dump::Dump;
pub(crate) use load::load;
pub use place::OplogPlace;
