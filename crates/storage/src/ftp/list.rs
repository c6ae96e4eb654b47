//! What is in a folder, and what a name stands for.

use super::FtpStore;
use super::connect::Conn;
use super::error::{Failure, within};
use super::lines::{Item, Kind, Listed, facts, listed};
use crate::local::TEMPORARY_PREFIX;
use crate::stamp::Stamp;
use crate::store::{Entry, StoreError};

/// What the library puts where a name is no UTF-8. Such a file was not made by a store.
const NO_TEXT: char = '\u{fffd}';
/// A listing is one answer, however long the folder is.
const LISTINGS_TAKE: u32 = 10;

/// What is at a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub is_folder: bool,
    pub size_bytes: u64,
    pub modified_secs: Option<i64>,
}

impl Stat {
    fn of(item: &Item) -> Option<Self> {
        let is_folder = matches!(item.kind, Kind::Folder | Kind::Itself);
        let Item { size_bytes, modified_secs, .. } = *item;
        (item.kind != Kind::Other).then_some(Self { is_folder, size_bytes, modified_secs })
    }
}

impl Conn {
    /// `None` when there is nothing, or neither a file nor a folder.
    pub async fn stat(&mut self, path: &str) -> Result<Option<Stat>, Failure> {
        if self.has_facts {
            match within(self.patience, self.ftp.mlst(Some(path))).await {
                // The library has cut blanks off the front of the line, which hold nothing here.
                Ok(line) => return Ok(facts(&format!("{line} ")).as_ref().and_then(Stat::of)),
                Err(failure) if failure.says_missing() => return Ok(None),
                Err(failure) if failure.is_unknown_command() => self.has_facts = false,
                // The answer to SIZE may say more.
                Err(failure) if failure.is_refusal() => {}
                Err(failure) => return Err(failure),
            }
        }
        match within(self.patience, self.ftp.size(path)).await {
            Ok(size) => Ok(Some(Stat { is_folder: false, size_bytes: size as u64, modified_secs: None })),
            Err(failure) if failure.says_missing() => Ok(None),
            Err(failure) if failure.is_refusal() => match self.enter(path).await {
                Ok(()) => Ok(Some(Stat { is_folder: true, size_bytes: 0, modified_secs: None })),
                Err(again) if again.says_missing() => Ok(None),
                Err(again) if again.is_refusal() => self.stat_by_parent(path, failure).await,
                Err(again) => Err(again),
            },
            Err(failure) => Err(failure),
        }
    }

    /// Many servers have one answer for what is not there and what may not be seen. A name that its folder lists is there.
    async fn stat_by_parent(&mut self, path: &str, failure: Failure) -> Result<Option<Stat>, Failure> {
        let mut at = path;
        while let Some((parent, name)) = at.rsplit_once('/') {
            match self.items(parent).await {
                Ok(items) => {
                    let found = items.iter().find(|item| item.name == name);
                    return match found {
                        Some(item) if at == path => Ok(Stat::of(item)),
                        // It is there, and does not let us in.
                        Some(item) if item.kind == Kind::Folder => Err(failure),
                        _ => Ok(None),
                    };
                }
                Err(refused) if refused.is_refusal() && !parent.is_empty() => at = parent,
                Err(refused) => return Err(refused),
            }
        }
        Ok(None)
    }

    /// All that is in a folder, but not the folder itself and the one above.
    pub async fn items(&mut self, folder: &str) -> Result<Vec<Item>, Failure> {
        // Inside of it no name needs to be given, in which some servers would look for patterns and options.
        self.enter(folder).await?;
        let patience = self.patience * LISTINGS_TAKE;
        if self.has_facts {
            match within(patience, self.ftp.mlsd(None)).await {
                Ok(lines) => {
                    let items = lines.iter().filter_map(|line| facts(line));
                    let is_inside =
                        |item: &Item| item.kind != Kind::Itself && !matches!(item.name.as_str(), "." | "..");
                    return Ok(items.filter(is_inside).collect());
                }
                Err(failure) if failure.is_refusal() => self.has_facts = false,
                Err(failure) => return Err(failure),
            }
        }
        let mut items = Vec::new();
        for line in self.list_lines().await? {
            match listed(&line) {
                Listed::Item(item) => items.push(item),
                Listed::Nothing => {}
                Listed::Unknown => return self.items_by_name(folder).await,
            }
        }
        Ok(items)
    }

    async fn list_lines(&mut self) -> Result<Vec<String>, Failure> {
        let patience = self.patience * LISTINGS_TAKE;
        // Hidden files too, among them our own that are on their way; with the option a folder lists itself at least.
        match within(patience, self.ftp.list(Some("-a"))).await {
            Ok(lines) if !lines.is_empty() => Ok(lines),
            Err(failure) if !failure.is_refusal() => Err(failure),
            _ => within(patience, self.ftp.list(None)).await,
        }
    }

    /// For servers whose listings are in no known form: names only, and a question about each.
    async fn items_by_name(&mut self, folder: &str) -> Result<Vec<Item>, Failure> {
        let names = within(self.patience * LISTINGS_TAKE, self.ftp.nlst(None)).await?;
        let mut items = Vec::new();
        for name in names.into_iter().filter(|name| !matches!(name.as_str(), "." | "..")) {
            let path = format!("{folder}/{name}");
            let item = match within(self.patience, self.ftp.size(&path)).await {
                Ok(size) => Item::new(name, Kind::File, size as u64),
                Err(failure) if failure.is_refusal() => match self.enter(&path).await {
                    Ok(()) => Item::new(name, Kind::Folder, 0),
                    Err(failure) if failure.is_refusal() => Item::new(name, Kind::Other, 0),
                    Err(failure) => return Err(failure),
                },
                Err(failure) => return Err(failure),
            };
            items.push(item);
        }
        Ok(items)
    }

    /// The same, where nothing is an answer and no failure.
    pub async fn items_if_there(&mut self, folder: &str) -> Result<Option<Vec<Item>>, Failure> {
        match self.items(folder).await {
            Ok(items) => Ok(Some(items)),
            Err(failure) if failure.says_missing() => Ok(None),
            Err(failure) if failure.is_refusal() => match self.stat(folder).await? {
                Some(stat) if stat.is_folder => Err(failure),
                _ => Ok(None),
            },
            Err(failure) => Err(failure),
        }
    }
}

/// Whole seconds: what follows them is another thing on each server.
pub(super) fn stamp(modified_secs: i64) -> Stamp {
    Stamp { modified_secs, more: String::new() }
}

impl FtpStore {
    pub(super) async fn entries(&self, name: &str) -> Result<Vec<Entry>, StoreError> {
        let _turn = self.turn().await;
        let mut conn = self.conn().await?;
        let path = conn.path(name);
        let result = conn.items_if_there(&path).await;
        let items = self.settle(conn, name, "listing", result)?.unwrap_or_default();
        let is_object = |item: &Item| {
            item.kind != Kind::Other
                && !item.name.starts_with(TEMPORARY_PREFIX)
                && !item.name.contains([NO_TEXT, '/'])
        };
        let mut entries: Vec<Entry> = items
            .into_iter()
            .filter(is_object)
            .map(|item| Entry {
                is_folder: item.kind == Kind::Folder,
                size_bytes: item.size_bytes,
                stamp: item.modified_secs.filter(|_| item.kind == Kind::File).map(stamp),
                name: item.name,
                tag: None,
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}
