//! One level: its steps, one after the other, into a tar stream; what is deleted into the books of the chain.

use super::Flavour;
use super::input::{Damage, Input};
use super::output::Output;
use super::patch::{Shape, Sources, hash, read_at, strong_of};
use super::replay::Replay;
use super::signatures::{Signature, Signatures};
use super::tree::Tree;
use super::{entries, records};
use crate::VaultError;
use crate::problem::readable;
use crate::tar::{Kind, PlainMember, Selection, TarError, safe_path};
use std::collections::HashSet;
use std::fs::File;

const CHUNK_BYTES: u64 = 256 * 1024;
/// A file that breaks off is filled up with zeros to its size, unless that is out of all proportion: sizes are not to be trusted.
const MOST_FILLED_BYTES: u64 = 1 << 30;

/// What a level says of one object.
#[derive(Debug)]
pub(super) enum Step {
    Member(PlainMember, Content),
    Deleted(Vec<u8>),
    /// It existed, and cannot be restored.
    Lost(Vec<u8>, String),
}

/// What of a member's content is in the level.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    None,
    Whole,
    /// These blocks of the new content, ascending. The others are those of the level before.
    Delta(Vec<u64>),
}

/// Why a level is not read further.
#[derive(Debug)]
pub(super) enum Stop {
    /// The extracting thread has ended, and says why itself.
    Gone,
    Damaged(Damage),
    Fatal(VaultError),
}

impl From<Damage> for Stop {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

pub(super) struct Level<'a> {
    pub flavour: Flavour,
    pub number: u32,
    pub input: Input,
    pub output: Output<'a>,
    /// What the levels before have left; none when nothing is written.
    pub tree: Option<Tree>,
    pub selection: &'a Selection,
    pub signatures: Option<Signatures>,
    pub chain: &'a mut Replay,
    /// Files whose turn has come.
    pub seen: HashSet<Vec<u8>>,
    /// Whether it told of anything at all.
    pub has_begun: bool,
    /// The last thing that was read whole, for messages.
    pub last: Vec<u8>,
}

impl Level<'_> {
    /// Reads the level to its end, or to where it is damaged.
    pub(super) fn read(&mut self) -> Result<(), Stop> {
        match self.flavour {
            Flavour::V1 => self.read_records(),
            Flavour::V2 { .. } => self.read_entries(),
        }
    }

    fn read_records(&mut self) -> Result<(), Stop> {
        self.chain.listed_folders = Some(HashSet::new());
        while let Some(step) = records::next(&mut self.input)? {
            if let Some((member, content)) = self.take(step)? {
                self.content(&member, &content)?;
            }
        }
        Ok(())
    }

    fn read_entries(&mut self) -> Result<(), Stop> {
        let mut input = std::mem::replace(&mut self.input, Input::new(Box::new(std::io::empty())));
        let mut files = Vec::new();
        let listed = entries::read(&mut input, |step| -> Result<(), Stop> {
            files.extend(self.take(step)?);
            Ok(())
        });
        self.input = input;
        let mut files = files.into_iter();
        let mut read = listed;
        while read.is_ok() {
            let Some((member, content)) = files.next() else { break };
            read = self.content(&member, &content);
        }
        if let Err(Stop::Damaged(_)) = &read {
            for (member, _) in files {
                self.lose(&member.path, "lost", "its content lies behind a damaged place");
            }
        }
        read?;
        let left = self.input.finish()?;
        if left > 0 {
            let cause = format!("{left} bytes more than its list tells: files changed while they were saved");
            return Err(Stop::Damaged(self.input.damage(cause)));
        }
        Ok(())
    }

    /// Does what needs no content; gives back what does.
    fn take(&mut self, step: Step) -> Result<Option<(PlainMember, Content)>, Stop> {
        self.has_begun = true;
        let safe = |path: &[u8]| {
            safe_path(path).map_err(|reason| {
                let (member, offset) = (path.escape_ascii().to_string(), 0);
                Stop::Fatal(VaultError::Tar(TarError::Unsafe { member, offset, reason: reason.to_owned() }))
            })
        };
        let (mut member, content) = match step {
            Step::Deleted(path) => {
                self.chain.delete(safe(&path)?);
                return Ok(None);
            }
            Step::Lost(path, reason) => {
                let path = safe(&path)?;
                if self.selection.wants(&path, false) {
                    self.lose(&path, "unsupported", &reason);
                }
                self.chain.keep(&path);
                return Ok(None);
            }
            Step::Member(member, content) => (member, content),
        };
        member.path = safe(&member.path)?;
        if member.path.is_empty() && member.kind != Kind::Directory {
            return Err(Stop::Damaged(self.input.damage("a file without a name")));
        }
        if member.link.contains(&0) {
            return Err(Stop::Damaged(self.input.damage("a link whose target holds a NUL")));
        }
        self.chain.keep(&member.path);
        if content != Content::None {
            return Ok(Some((member, content)));
        }
        if member.kind == Kind::Directory {
            self.chain.note_folder(&member.path, member.mtime);
        }
        if self.selection.wants(&member.path, member.kind == Kind::Directory) {
            self.make_way(&member)?;
            self.output.begin(&member)?;
        }
        self.last.clone_from(&member.path);
        Ok(None)
    }

    /// Where the levels before have left a folder there may be something else now.
    fn make_way(&mut self, member: &PlainMember) -> Result<(), Stop> {
        if self.number == 0 || member.kind == Kind::Directory {
            return Ok(());
        }
        if let Some(Err(errno)) = self.tree.as_mut().map(|tree| tree.clear_folder(&member.path)) {
            self.lose(
                &member.path,
                "unwritable",
                &format!("the folder that was there before cannot be removed: {errno}"),
            );
        }
        Ok(())
    }

    fn content(&mut self, member: &PlainMember, content: &Content) -> Result<(), Stop> {
        let is_wanted = self.selection.wants(&member.path, false);
        self.seen.insert(member.path.clone());
        let read = match content {
            Content::None => Ok(()),
            Content::Whole if !is_wanted => self.input.skip(member.size).map_err(Stop::from),
            Content::Delta(blocks) if !is_wanted => self.pass_over(member, blocks),
            Content::Whole => self.make_way(member).and_then(|()| self.whole(member)),
            Content::Delta(blocks) => self.delta(member, blocks),
        };
        if read.is_ok() {
            self.last.clone_from(&member.path);
        }
        read
    }

    fn shape(&self, member: &PlainMember) -> Shape {
        Shape { size: member.size, block: self.flavour.block_bytes() }
    }

    fn signature(&self, path: &[u8]) -> Option<&Signature> {
        self.signatures.as_ref()?.of(path)
    }

    /// All of the content is in the level.
    fn whole(&mut self, member: &PlainMember) -> Result<(), Stop> {
        let shape = self.shape(member);
        self.output.begin(member)?;
        let (mut done, mut wrong) = (0, Vec::new());
        let mut buffer = Vec::new();
        while done < member.size {
            // Whole blocks, so that each can be compared.
            let most = (CHUNK_BYTES / shape.block).max(1) * shape.block;
            let part = (member.size - done).min(most);
            buffer.resize(usize::try_from(part).unwrap_or(usize::MAX), 0);
            if let Err((good, damage)) = self.input.fill(&mut buffer) {
                self.output.write(buffer.get(..good).unwrap_or_default())?;
                return Err(self.break_off(member, done + good as u64, damage));
            }
            self.compare(member, done / shape.block, &buffer, &mut wrong);
            self.output.write(&buffer)?;
            done += part;
        }
        self.output.zeros(member.padding() as u64)?;
        let counted = self.signature(&member.path).map(|signature| signature.strong.len() as u64);
        if counted.is_some_and(|counted| counted != shape.blocks()) && wrong.is_empty() {
            wrong.push(shape.blocks());
        }
        self.report_wrong(member, &wrong, "was not as the backup's own checksums say: it changed while it was saved, or the backup is damaged");
        Ok(())
    }

    fn compare(&self, member: &PlainMember, first: u64, bytes: &[u8], wrong: &mut Vec<u64>) {
        let Some(signature) = self.signature(&member.path) else { return };
        let block = usize::try_from(self.flavour.block_bytes()).unwrap_or(usize::MAX);
        for (index, part) in (first..).zip(bytes.chunks(block)) {
            if strong_of(signature, index).is_some_and(|wanted| *wanted != hash(part)) {
                wrong.push(index);
            }
        }
    }

    /// The stream breaks off in a file: its member is made whole, so that what came before it is restored.
    fn break_off(&mut self, member: &PlainMember, good: u64, damage: Damage) -> Stop {
        let left = member.size.saturating_sub(good);
        if left > MOST_FILLED_BYTES.max(damage.at) {
            let cause = format!(
                "'{}' should have {} bytes, and {}",
                readable(&member.path),
                member.size,
                damage.cause
            );
            return Stop::Fatal(VaultError::Codec { cause });
        }
        let filled = self.output.zeros(left.saturating_add(member.padding() as u64));
        let reason = format!("only its first {good} of {} bytes are there, the rest is zeros", member.size);
        self.lose(&member.path, "damaged", &reason);
        match filled {
            Ok(()) => Stop::Damaged(damage),
            Err(stop) => stop,
        }
    }

    /// The changed blocks are in the level, the others come from what is in the target.
    fn delta(&mut self, member: &PlainMember, listed: &[u64]) -> Result<(), Stop> {
        let shape = self.shape(member);
        let Some(tree) = &mut self.tree else { return self.pass_over(member, listed) };
        let base = tree.file(&member.path).and_then(|file| Some((file.metadata().ok()?.len(), file)));
        let room = base.as_ref().map_or(0, |(size, _)| *size);
        let room = room.saturating_add((listed.len() as u64 + 1).saturating_mul(shape.block));
        let Some((_, base)) = base.filter(|_| member.size <= room) else {
            let reason = "only its changed blocks are in this level, and what they changed was not restored";
            self.lose(&member.path, "lost", reason);
            return self.pass_over(member, listed);
        };
        let searches = self.flavour == Flavour::V1;
        let sources = match self.signature(&member.path) {
            Some(signature) => Sources::find(&base, shape, listed, signature, searches),
            None => Ok(Sources::default()),
        };
        let sources = sources.map_err(|error| {
            let cause = format!("what was restored so far cannot be read again: {error}");
            Stop::Fatal(VaultError::Local { path: readable(&member.path).into(), cause })
        })?;
        self.output.begin(member)?;
        let mut wrong: Vec<u64> = sources.lost.iter().copied().collect();
        let ended = self.blocks(member, listed, &base, &sources, &mut wrong);
        self.report_wrong(member, &wrong, "is not in the backup: this engine does not save all that follows an insertion, or the backup is damaged");
        ended?;
        self.output.zeros(member.padding() as u64)
    }

    fn blocks(
        &mut self,
        member: &PlainMember,
        listed: &[u64],
        base: &File,
        sources: &Sources,
        wrong: &mut Vec<u64>,
    ) -> Result<(), Stop> {
        let shape = self.shape(member);
        let mut block = Vec::new();
        let mut damaged = None;
        for index in 0..shape.blocks() {
            block.resize(shape.length(index), 0);
            if damaged.is_none() && listed.binary_search(&index).is_ok() {
                match self.input.fill(&mut block) {
                    Ok(()) => self.compare(member, index, &block, wrong),
                    Err((_, damage)) => damaged = Some(damage),
                }
            } else {
                read_at(base, &mut block, sources.offset(index, shape))
                    .map_err(|error| Stop::Damaged(self.input.damage(error.to_string())))?;
            }
            if damaged.is_some() {
                wrong.extend(listed.binary_search(&index).is_ok().then_some(index));
            }
            self.output.write(&block)?;
        }
        match damaged {
            None => Ok(()),
            Some(damage) => {
                self.output.zeros(member.padding() as u64)?;
                Err(Stop::Damaged(damage))
            }
        }
    }

    /// Leaves out the blocks of a file.
    fn pass_over(&mut self, member: &PlainMember, listed: &[u64]) -> Result<(), Stop> {
        let shape = self.shape(member);
        let bytes = listed.iter().map(|index| shape.length(*index) as u64).sum();
        Ok(self.input.skip(bytes)?)
    }

    fn report_wrong(&mut self, member: &PlainMember, wrong: &[u64], what: &str) {
        let Some(first) = wrong.iter().min() else { return };
        let at = first.saturating_mul(self.flavour.block_bytes());
        let reason = format!("{} of its blocks, the first at byte {at}, {what}", wrong.len());
        self.lose(&member.path, "damaged", &reason);
    }

    pub(super) fn lose(&mut self, path: &[u8], kind: &str, reason: &str) {
        self.chain.add_problem(path, kind, format!("level {}: {reason}", self.number));
    }
}
