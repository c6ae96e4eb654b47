//! What makes two restores the same one.

use crate::restore::{RestorePlan, RestoreRequest};
use crate::tar::Extract;
use sha2::{Digest, Sha256};

/// The same bytes, restored in the same way: hexadecimal digits of a hash of chain, selection and options. `None`: upstream's
/// backups do not say which bytes they have, so that their restores begin anew. Holds no secret, and neither says where the
/// backup lies nor whether the target may hold something.
pub(in crate::restore) fn of(request: &RestoreRequest, plan: &RestorePlan) -> Option<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(b"freezer restore 1");
    add(plan.hbn.as_str().as_bytes());
    for level in &plan.levels {
        add(level.id.to_string().as_bytes());
        for piece in &level.level.manifest()?.pieces {
            add(piece.sha256.as_bytes());
        }
    }
    let Extract {
        existing, numeric_owner, restore_owner, owner_map, only, restore_xattrs, restore_acls, ..
    } = &request.extract;
    let owners = format!("{numeric_owner} {restore_owner} {owner_map:?}");
    let rest = format!("{existing:?} {restore_xattrs} {restore_acls} {}", request.delete_foreign);
    add(owners.as_bytes());
    add(rest.as_bytes());
    for path in only.paths() {
        add(path);
    }
    Some(hex::encode(hash.finalize()))
}
