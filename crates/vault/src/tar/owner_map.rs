//! Other owners for restored files than those they had.

use super::owners::Owners;

/// Rules in their order; the first that fits an owner counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerMap {
    users: Vec<(Vec<u8>, u32)>,
    groups: Vec<(Vec<u8>, u32)>,
}

impl OwnerMap {
    /// From `user:OLD=NEW` and `group:OLD=NEW`. OLD is a name or a number as of the backup, or `*` for everybody; NEW a number, or a
    /// name of this host. Errors name the rule.
    pub fn parse<T: AsRef<str>>(rules: &[T]) -> Result<Self, String> {
        let mut map = Self::default();
        let mut known = Owners::default();
        for rule in rules {
            let rule = rule.as_ref().trim();
            let form = || format!("'{rule}' is not user:OLD=NEW or group:OLD=NEW");
            let (kind, pair) = rule.split_once(':').ok_or_else(form)?;
            let (old, new) = pair
                .rsplit_once('=')
                .filter(|(old, new)| !old.is_empty() && !new.is_empty())
                .ok_or_else(form)?;
            let number = new.parse::<u32>().ok().filter(|id| *id != u32::MAX);
            let (rules, found) = match kind {
                "user" => (&mut map.users, number.or_else(|| known.user_id(new.as_bytes()))),
                "group" => (&mut map.groups, number.or_else(|| known.group_id(new.as_bytes()))),
                _ => return Err(form()),
            };
            let id = found.ok_or_else(|| format!("'{rule}': there is no {kind} '{new}' on this host"))?;
            rules.push((old.as_bytes().to_vec(), id));
        }
        Ok(map)
    }

    pub(super) fn user(&self, name: &[u8], id: u64) -> Option<u32> {
        first(&self.users, name, id)
    }

    pub(super) fn group(&self, name: &[u8], id: u64) -> Option<u32> {
        first(&self.groups, name, id)
    }
}

fn first(rules: &[(Vec<u8>, u32)], name: &[u8], id: u64) -> Option<u32> {
    let number = id.to_string();
    let fits = |old: &[u8]| old == b"*" || old == number.as_bytes() || (!name.is_empty() && old == name);
    rules.iter().find(|(old, _)| fits(old)).map(|(_, new)| *new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let map =
            OwnerMap::parse(&["user:alice=1001", "user:1000=root", "user:*=65534", "group:a=b=7"]).unwrap();
        assert_eq!(map.user(b"alice", 1000), Some(1001));
        assert_eq!(map.user(b"bob", 1000), Some(0));
        assert_eq!(map.user(b"", 5), Some(65534));
        assert_eq!(map.group(b"a=b", 5), Some(7));
        assert_eq!(map.group(b"other", 5), None);
        for bad in ["alice=1", "user:alice", "user:=1", "user:a=", "other:a=1", "user:a=nobody-of-this-name"]
        {
            assert!(OwnerMap::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
