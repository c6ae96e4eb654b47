//! Compressing with several threads.
//!
//! The stream is cut into blocks that become independent members (streams, frames), which the formats' tools read one
//! after the other, and of which a part can be read without the rest. At most a handful of blocks is in
//! memory at once: whoever writes waits while the reader of [`Packed`] is behind.

use super::probe::level_for;
use super::{Compression, CompressionOptions};
use crate::VaultError;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

/// Longest block handed on, in bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// xz finds repetitions only inside a block, so it gets a longer one; its memory is ten times that.
const XZ_BLOCK_BYTES: usize = 3 << 20;
/// So far back zstd looks at its usual levels, and at those that are asked for when size counts.
const ZSTD_BLOCK_BYTES: usize = 2 << 20;
const ZSTD_LONG_BLOCK_BYTES: usize = 8 << 20;
/// The highest level that gets the shorter blocks.
const ZSTD_SHORT_UNTIL: u32 = 9;
/// More threads than this only cost memory.
const MOST_THREADS: usize = 64;

/// A part of the compressed stream that can be read without what comes before it.
#[derive(Debug)]
pub struct Frame {
    pub bytes: Vec<u8>,
    /// How many bytes come out of it.
    pub clear_bytes: u64,
}

type Block = io::Result<Frame>;

enum Step {
    /// A worker will answer here.
    Promised(Receiver<Block>),
    Ready(Frame),
    /// Everything was written and finished.
    End,
}

struct Job {
    input: Vec<u8>,
    answer: SyncSender<Block>,
}

/// Where the stream to compress is written. Must be finished, or [`Packed`] ends with an error.
pub struct Compressor {
    kind: Kind,
}

enum Kind {
    Pool(Pool),
    Plain(Outlet),
}

/// The compressed stream, block by block, in order.
pub struct Packed {
    steps: Receiver<Step>,
    ended: bool,
}

impl Compressor {
    /// A compressor and the other end of it, which belongs into another thread.
    pub fn start(options: &CompressionOptions) -> Result<(Self, Packed), VaultError> {
        let level = options.checked_level()?;
        let threads = options.threads.clamp(1, MOST_THREADS);
        let (sender, steps) = sync_channel(threads + 1);
        let outlet = Outlet { block: Vec::new(), steps: sender };
        let kind = match options.format {
            Compression::None => Kind::Plain(outlet),
            format => Kind::Pool(Pool::start(format, level, threads, outlet.steps).map_err(codec_error)?),
        };
        Ok((Self { kind }, Packed { steps, ended: false }))
    }

    /// Compresses what is left and marks the end.
    pub fn finish(self) -> io::Result<()> {
        match self.kind {
            Kind::Pool(pool) => pool.finish(),
            Kind::Plain(outlet) => outlet.finish(),
        }
    }
}

impl Write for Compressor {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Pool(pool) => pool.write(data),
            Kind::Plain(outlet) => outlet.write(data),
        }
    }
    /// Does nothing: blocks are handed on when they are full, whoever flushes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Iterator for Packed {
    type Item = Block;
    fn next(&mut self) -> Option<Block> {
        if self.ended {
            return None;
        }
        let block = match self.steps.recv() {
            Ok(Step::Ready(block)) => Ok(block),
            Ok(Step::Promised(answer)) => answer
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("a compressing thread stopped unexpectedly"))),
            Ok(Step::End) => {
                self.ended = true;
                return None;
            }
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream was not written to its end"))
            }
        };
        self.ended = block.is_err();
        Some(block)
    }
}

/// Collects small writes into blocks that stay as they are.
struct Outlet {
    block: Vec<u8>,
    steps: SyncSender<Step>,
}

impl Outlet {
    fn send(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.block);
        let clear_bytes = bytes.len() as u64;
        self.steps.send(Step::Ready(Frame { bytes, clear_bytes })).map_err(|_| reader_gone())
    }
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = fill(&mut self.block, data, BLOCK_BYTES);
        if self.block.len() >= BLOCK_BYTES {
            self.send()?;
        }
        Ok(taken)
    }
    fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.send()?;
        }
        self.steps.send(Step::End).map_err(|_| reader_gone())
    }
}

/// Workers that compress blocks independently.
struct Pool {
    block: Vec<u8>,
    block_bytes: usize,
    jobs: SyncSender<Job>,
    steps: SyncSender<Step>,
    empty: bool,
}

impl Pool {
    fn start(format: Compression, level: u32, threads: usize, steps: SyncSender<Step>) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<Job>(threads);
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..threads {
            let inbox = inbox.clone();
            std::thread::Builder::new().name(format!("compress-{format}")).spawn(move || {
                loop {
                    // The guard is dropped before the work: the lock is only held while waiting.
                    let job = inbox.lock().map(|inbox| inbox.recv());
                    let Ok(Ok(Job { input, answer })) = job else { return };
                    // Nobody waits for the answer any more when the other end gave up.
                    let level = level_for(format, level, &input);
                    let clear_bytes = input.len() as u64;
                    let packed = compress_block(format, level, &input);
                    let _ = answer.send(packed.map(|bytes| Frame { bytes, clear_bytes }));
                }
            })?;
        }
        let block_bytes = block_bytes(format, level);
        Ok(Self { block: Vec::new(), block_bytes, jobs, steps, empty: true })
    }

    fn send(&mut self) -> io::Result<()> {
        let (answer, promise) = sync_channel(1);
        // First the place in the order: it is what makes the writer wait when the reader is behind.
        self.steps.send(Step::Promised(promise)).map_err(|_| reader_gone())?;
        let input = std::mem::take(&mut self.block);
        self.empty = false;
        self.jobs.send(Job { input, answer }).map_err(|_| reader_gone())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = fill(&mut self.block, data, self.block_bytes);
        if self.block.len() >= self.block_bytes {
            self.send()?;
        }
        Ok(taken)
    }

    fn finish(mut self) -> io::Result<()> {
        // An empty stream still is a member: no bytes at all are no valid file of any format.
        if !self.block.is_empty() || self.empty {
            self.send()?;
        }
        self.steps.send(Step::End).map_err(|_| reader_gone())
    }
}

fn fill(block: &mut Vec<u8>, data: &[u8], block_bytes: usize) -> usize {
    if block.capacity() == 0 {
        block.reserve_exact(block_bytes);
    }
    let taken = data.len().min(block_bytes.saturating_sub(block.len()));
    block.extend_from_slice(data.get(..taken).unwrap_or_default());
    taken
}

fn block_bytes(format: Compression, level: u32) -> usize {
    match format {
        // One block of bzip2 itself; its first stage may grow the input a little.
        Compression::Bzip2 => usize::try_from(level).unwrap_or(9) * 100_000 - 1_000,
        Compression::Xz => XZ_BLOCK_BYTES,
        Compression::Zstd if level <= ZSTD_SHORT_UNTIL => ZSTD_BLOCK_BYTES,
        Compression::Zstd => ZSTD_LONG_BLOCK_BYTES,
        Compression::Gzip | Compression::None => BLOCK_BYTES,
    }
}

fn reader_gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "whoever takes the compressed stream has stopped")
}

fn codec_error(error: io::Error) -> VaultError {
    VaultError::Codec { cause: error.to_string() }
}

fn xz_stream(level: u32) -> io::Result<liblzma::stream::Stream> {
    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    let mut options = LzmaOptions::new_preset(level)?;
    if level > 0 {
        // A dictionary longer than the block is memory for nothing. Preset 0 has a shorter one.
        options
            .dict_size(u32::try_from(XZ_BLOCK_BYTES).unwrap_or(1 << 20).min(preset_dictionary_bytes(level)));
    }
    let mut filters = Filters::new();
    filters.lzma2(&options);
    Ok(Stream::new_stream_encoder(&filters, Check::Crc64)?)
}

/// The dictionaries of xz's presets 1 to 9.
fn preset_dictionary_bytes(level: u32) -> u32 {
    match level {
        0 => 1 << 18,
        1 => 1 << 20,
        2 => 1 << 21,
        3 | 4 => 1 << 22,
        _ => 1 << 23,
    }
}

/// One complete member, stream or frame.
fn compress_block(format: Compression, level: u32, input: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = match format {
        Compression::Gzip => {
            let level = flate2::Compression::new(level);
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(input.len() / 2), level);
            encoder.write_all(input)?;
            encoder.finish()?
        }
        Compression::Bzip2 => {
            let level = bzip2::Compression::new(level);
            let mut encoder = bzip2::write::BzEncoder::new(Vec::with_capacity(input.len() / 2), level);
            encoder.write_all(input)?;
            encoder.finish()?
        }
        Compression::Xz => {
            let out = Vec::with_capacity(input.len() / 2);
            let mut encoder = liblzma::write::XzEncoder::new_stream(out, xz_stream(level)?);
            encoder.write_all(input)?;
            encoder.finish()?
        }
        Compression::Zstd => {
            let mut encoder = zstd::bulk::Compressor::new(i32::try_from(level).unwrap_or(3))?;
            encoder.include_checksum(true)?;
            encoder.compress(input)?
        }
        Compression::None => input.to_vec(),
    };
    if packed.capacity() > 2 * packed.len() {
        packed.shrink_to_fit();
    }
    Ok(packed)
}

/// Compresses with zstd what `write` writes, which is never whole in memory.
pub fn zstd_of(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Vec<u8>, VaultError> {
    let level = CompressionOptions::of(Compression::Zstd).checked_level()?;
    let packed = || {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), i32::try_from(level).unwrap_or(3))?;
        encoder.include_checksum(true)?;
        write(&mut encoder)?;
        encoder.finish()
    };
    packed().map_err(codec_error)
}
