//! A new volume takes the place of an old one at a server: the old one is detached, the new one attached.
//!
//! An agent that dies between both leaves the server with neither. So what is meant stands in the new volume's metadata from
//! before the first detaching until all is done, and the next agent that works in the project goes on there: at a server that
//! has lost the old one it attaches the new one or, where that cannot be, the old one again.

mod at_server;
mod left;
mod mark;

pub use at_server::{Settled, resume};
pub use left::{finish_left, finish_own};
pub use mark::{Exchange, Outcome, clear, is_mark, marks, of, settle};
