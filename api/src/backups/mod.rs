//! Records of backups: metadata only, the data are never touched here. One verb per file.

mod create;
mod delete;
mod list;
mod plan_retention;
mod recorded;
mod show;
mod update;

pub use create::create;
pub use delete::delete;
pub use list::list;
pub use plan_retention::plan_retention;
pub use show::show;
pub use update::update;

use crate::call::Call;
use freezer_model::BackupId;

fn backup_id(call: &Call) -> BackupId {
    BackupId::new(call.path("backup_id"))
}
