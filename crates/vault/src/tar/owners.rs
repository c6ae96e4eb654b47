//! Names of users and groups for ids and back, each asked of the system once.

use nix::unistd::{Gid, Group, Uid, User};
use std::collections::HashMap;

/// A cache for one run; a name changed meanwhile is not noticed.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
    user_ids: HashMap<Vec<u8>, Option<u32>>,
    group_ids: HashMap<Vec<u8>, Option<u32>>,
}

impl Owners {
    /// Empty when the id has no name.
    pub fn user(&mut self, uid: u32) -> &[u8] {
        self.users.entry(uid).or_insert_with(|| {
            User::from_uid(Uid::from_raw(uid))
                .ok()
                .flatten()
                .map(|user| user.name.into_bytes())
                .unwrap_or_default()
        })
    }

    /// Empty when the id has no name.
    pub fn group(&mut self, gid: u32) -> &[u8] {
        self.groups.entry(gid).or_insert_with(|| {
            Group::from_gid(Gid::from_raw(gid))
                .ok()
                .flatten()
                .map(|group| group.name.into_bytes())
                .unwrap_or_default()
        })
    }

    /// `None` when nobody has that name here.
    pub fn user_id(&mut self, name: &[u8]) -> Option<u32> {
        if let Some(id) = self.user_ids.get(name) {
            return *id;
        }
        let text = std::str::from_utf8(name).ok().filter(|text| !text.is_empty() && !text.contains('\0'));
        let id = text.and_then(|text| User::from_name(text).ok().flatten()).map(|user| user.uid.as_raw());
        self.user_ids.insert(name.to_vec(), id);
        id
    }

    /// `None` when no group has that name here.
    pub fn group_id(&mut self, name: &[u8]) -> Option<u32> {
        if let Some(id) = self.group_ids.get(name) {
            return *id;
        }
        let text = std::str::from_utf8(name).ok().filter(|text| !text.is_empty() && !text.contains('\0'));
        let id = text.and_then(|text| Group::from_name(text).ok().flatten()).map(|group| group.gid.as_raw());
        self.group_ids.insert(name.to_vec(), id);
        id
    }
}
