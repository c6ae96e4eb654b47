//! Writing a set.

use super::{Document, Member, NewMember, SetRequest};
use crate::VaultError;
use crate::backup::{BackupReport, Made, Outcome, Settings, StoredIndex, USUAL_SEGMENT_BYTES, Work, course};
use crate::catalogue::read_level;
use crate::codecs::{Compression, CompressionOptions, Compressor};
use crate::layout::{Engine, Hbn};
use crate::levels::LevelPolicy;
use crate::manifest::{MemberLink, ProblemSummary};
use crate::monitor::Monitor;
use crate::problem::{FileProblem, Weight};
use freezer_storage::Store;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// Requests on their way at once.
const AT_ONCE: usize = 8;
/// So many problems are kept in the manifest.
const MOST_PROBLEMS: usize = 1000;
const PIECE_BYTES: u64 = 4 << 20;

/// Commits a set. Every member must be committed before: the set names what is there, with the hash of its manifest.
///
/// # Errors
/// [`VaultError::BadRequest`] when a member is not there, not complete, named twice or a set itself.
pub async fn save(
    store: Arc<dyn Store>,
    request: SetRequest,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    let settings = Settings {
        hbn: Hbn::of(Engine::Set, &request.hostname, &request.backup_name)?,
        compression: CompressionOptions { threads: 1, ..CompressionOptions::of(Compression::Zstd) },
        encryption: request.encryption,
        max_segment_size_bytes: USUAL_SEGMENT_BYTES,
        levels: LevelPolicy::default(),
        now_secs: request.now_secs,
        began: request.began,
        lock_expiry: request.lock_expiry,
        dry_run: false,
        memory: None,
        part_of: None,
        source: None,
    };
    let set = Set {
        store: store.clone(),
        named: request.members,
        document: Document { members: Vec::new(), topology: request.topology },
        problems: request.problems,
    };
    course(vec![store], settings, set, monitor).await
}

struct Set {
    store: Arc<dyn Store>,
    named: Vec<NewMember>,
    document: Document,
    problems: Vec<FileProblem>,
}

impl Work for Set {
    type Index = ();
    const PACKS_METADATA: bool = true;

    fn piece_bytes(_: u32) -> u64 {
        PIECE_BYTES
    }

    fn read_index(_: StoredIndex) -> Result<(), String> {
        Err("a set has no increments".to_owned())
    }

    /// Under the set's lock, and before anything is stored.
    async fn open(&mut self, _: Option<&()>) -> Result<(), VaultError> {
        let mut seen = BTreeSet::new();
        for member in &self.named {
            if member.hbn.engine() == Engine::Set || !seen.insert((&member.hbn, member.id)) {
                let cause = format!("{}, {} cannot be named by a set, or not twice", member.hbn, member.id);
                return Err(VaultError::BadRequest { cause });
            }
        }
        let named = std::mem::take(&mut self.named);
        self.document.members = stream::iter(named.into_iter().map(|member| pin(&self.store, member)))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(())
    }

    fn write(self, _: Option<()>, mut out: Compressor, monitor: Arc<Monitor>) -> Result<Outcome, VaultError> {
        let internal = |cause: String| VaultError::Internal { what: "writing the set", cause };
        let body = serde_json::to_vec(&self.document).map_err(|error| internal(error.to_string()))?;
        out.write_all(&body).and_then(|()| out.finish()).map_err(|error| internal(error.to_string()))?;
        monitor.add_read(body.len() as u64);
        let links: Vec<MemberLink> = self.document.members.into_iter().map(|member| member.link).collect();
        Ok(Outcome {
            members: links.len() as u64,
            content_bytes: body.len() as u64,
            archive_bytes: body.len() as u64,
            is_partial: self.problems.iter().any(|problem| problem.weight == Weight::Partial),
            problems: ProblemSummary {
                count: self.problems.len() as u64,
                first: self.problems.into_iter().take(MOST_PROBLEMS).collect(),
                leaves_out: None,
            },
            beside: Box::new(Made { index: Vec::new(), engine_metadata: b"{}".to_vec() }),
            members_list: None,
            image_bytes: None,
            set_members: links,
        })
    }
}

/// The member with the hash of its manifest.
async fn pin(store: &Arc<dyn Store>, member: NewMember) -> Result<Member, VaultError> {
    let level = read_level(store, &member.hbn, member.id).await?;
    let Some(sealed) = level.sealed.filter(|_| level.standing == crate::catalogue::Standing::Complete) else {
        let cause = format!("{}, {} is no complete backup, and a set cannot name it", member.hbn, member.id);
        return Err(VaultError::BadRequest { cause });
    };
    let link = MemberLink {
        engine: member.hbn.engine(),
        hbn: member.hbn.to_string(),
        chain_timestamp: member.id.chain_timestamp,
        timestamp: member.id.timestamp,
        level: member.id.level,
        manifest_sha256: sealed.sha256.clone(),
    };
    Ok(Member { link, role: member.role })
}
