//! How a restore of folders places what it restores.

use super::values::{OptionsError, Values};
use freezer_vault::restore::{Existing, OwnerMap, Selection};
use freezer_vault::tar::Extract;

#[derive(Clone, Debug, Default)]
pub struct Placing {
    pub extract: Extract,
    pub deletes_foreign: bool,
    /// Also what the backup was told to leave out.
    pub deletes_excluded: bool,
}

impl Placing {
    pub fn from_values(values: &Values) -> Result<Self, OptionsError> {
        let bad = |key: &str| {
            let key = key.to_owned();
            move |cause: String| OptionsError::bad(&key, cause)
        };
        let owners = values.text("owners")?.unwrap_or_default();
        let usual = Extract::default();
        let extract = Extract {
            only: Selection::of(&values.list("restore_paths")?).map_err(bad("restore_paths"))?,
            existing: match values.text("existing_files")?.as_deref() {
                Some("keep") => Existing::Keep,
                Some("refuse") => Existing::Refuse,
                _ => Existing::Replace,
            },
            numeric_owner: owners == "numbers",
            restore_owner: usual.restore_owner && owners != "none",
            owner_map: OwnerMap::parse(&values.list("owner_map")?).map_err(bad("owner_map"))?,
            ..usual
        };
        if extract.owner_map != OwnerMap::default() && !extract.restore_owner {
            let text = "owner_map needs an agent that runs as root, and owners other than none";
            return Err(OptionsError::Conflict(text.to_owned()));
        }
        let deletes_foreign = values.flag("delete_foreign")?;
        let placing = Self { deletes_foreign, deletes_excluded: values.flag("delete_excluded")?, extract };
        if placing.deletes_excluded && !placing.deletes_foreign {
            let text = "delete_excluded goes with delete_foreign";
            return Err(OptionsError::Conflict(text.to_owned()));
        }
        if placing.deletes_foreign && !placing.extract.only.is_everything() {
            let text = "delete_foreign goes with whole restores, not with restore_paths";
            return Err(OptionsError::Conflict(text.to_owned()));
        }
        Ok(placing)
    }
}
