//! The tar stream that is made of a level, sent to the thread that extracts.

use super::level::Stop;
use crate::tar::{PlainMember, append_plain};
use std::sync::mpsc::SyncSender;

const BLOCK_BYTES: usize = 256 * 1024;
/// What ends an archive.
const END: [u8; 1024] = [0; 1024];

pub(super) struct Output<'a> {
    blocks: &'a SyncSender<Option<Vec<u8>>>,
    block: Vec<u8>,
    /// Nothing is sent of what is not wanted.
    pub is_muted: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(blocks: &'a SyncSender<Option<Vec<u8>>>) -> Self {
        Self { blocks, block: Vec::with_capacity(BLOCK_BYTES), is_muted: false }
    }

    pub(super) fn begin(&mut self, member: &PlainMember) -> Result<(), Stop> {
        let mut head = Vec::new();
        append_plain(&mut head, member);
        self.write(&head)
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !self.is_muted && !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(part);
            bytes = rest;
            if self.block.len() == BLOCK_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    pub(super) fn zeros(&mut self, mut count: u64) -> Result<(), Stop> {
        while !self.is_muted && count > 0 {
            let part = usize::try_from(count).unwrap_or(usize::MAX).min(END.len());
            self.write(END.get(..part).unwrap_or_default())?;
            count -= part as u64;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Stop> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        // When the extracting thread has gone, it says why itself.
        self.blocks.send(Some(block)).map_err(|_| Stop::Gone)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        self.is_muted = false;
        self.write(&END)?;
        self.send()?;
        self.blocks.send(None).map_err(|_| Stop::Gone)
    }
}
