//! How many backups of each period are kept (`keep_hourly` … `keep_yearly`).

use super::values::{OptionsError, Values};
use freezer_model::retention::Period;

/// In the order of [`Period::ALL`]; 0 is as good as nothing said.
pub(super) fn keep_each(values: &Values) -> Result<[Option<u32>; Period::ALL.len()], OptionsError> {
    let mut counts = [None; Period::ALL.len()];
    for (count, period) in counts.iter_mut().zip(Period::ALL) {
        let said = values.int(period.option(), 0..=1_000_000)?;
        *count = said.and_then(|said| u32::try_from(said).ok()).filter(|said| *said > 0);
    }
    Ok(counts)
}
