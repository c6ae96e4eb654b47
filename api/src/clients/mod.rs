//! Registered clients: hosts that run jobs. One verb per file.

mod create;
mod delete;
mod list;
mod show;

pub use create::create;
pub use delete::delete;
pub use list::list;
pub use show::show;

use crate::call::Call;
use freezer_model::ClientId;

fn client_id(call: &Call) -> ClientId {
    ClientId::new(call.path("client_id"))
}
