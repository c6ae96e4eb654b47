//! Compression of the tar stream, both ways, in the formats of the usual command line tools.
//!
//! Writing uses several threads and a bounded amount of memory; what is written is always readable by
//! `gzip -d`, `bzip2 -d`, `xz -d` and `zstd -d`. Reading takes concatenated members, streams or frames.

mod compress;
mod decompress;
mod probe;

pub use compress::{Compressor, Frame, Packed, zstd_of};
pub use decompress::{decompress_all, decompressor};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Formats of compression; the names are those of upstream's `compression` option, and two more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    None,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::Gzip, Self::Bzip2, Self::Xz, Self::Zstd, Self::None];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }
    /// Bytes every stream of this format starts with; empty for [`Compression::None`].
    pub fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b, 0x08],
            Self::Bzip2 => b"BZh",
            Self::Xz => &[0xfd, b'7', b'z', b'X', b'Z', 0x00],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Self::None => &[],
        }
    }
    /// The format whose stream begins like `head`; [`Compression::None`] when it looks like bare tar.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        let packed = [Self::Gzip, Self::Bzip2, Self::Xz, Self::Zstd];
        if let Some(found) = packed.into_iter().find(|codec| head.starts_with(codec.magic())) {
            return Some(found);
        }
        (head.get(257..262) == Some(b"ustar".as_slice())).then_some(Self::None)
    }
    /// Levels that may be asked for, and the one taken otherwise.
    fn levels(self) -> (std::ops::RangeInclusive<u32>, u32) {
        match self {
            Self::Gzip => (1..=9, 6),
            Self::Bzip2 => (1..=9, 9),
            Self::Xz => (0..=9, 6),
            Self::Zstd => (1..=19, 3),
            Self::None => (0..=0, 0),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = crate::VaultError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|codec| codec.name() == text).ok_or_else(|| {
            crate::VaultError::BadRequest {
                cause: format!("compression '{text}' is unknown; use gzip, bzip2, xz, zstd or none"),
            }
        })
    }
}

/// How to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionOptions {
    pub format: Compression,
    /// `None`: the usual level of the format's tool.
    pub level: Option<u32>,
    /// At least 1; 2 unless told otherwise.
    pub threads: usize,
}

impl Default for CompressionOptions {
    fn default() -> Self {
        Self { format: Compression::Gzip, level: None, threads: 2 }
    }
}

impl CompressionOptions {
    pub fn of(format: Compression) -> Self {
        Self { format, ..Self::default() }
    }
    /// The level to use, or why the one asked for is wrong.
    pub fn checked_level(&self) -> Result<u32, crate::VaultError> {
        let (range, usual) = self.format.levels();
        match self.level {
            None => Ok(usual),
            Some(level) if range.contains(&level) => Ok(level),
            Some(level) => Err(crate::VaultError::BadRequest {
                cause: format!(
                    "compression level {level} does not exist for {}; use {} to {}",
                    self.format,
                    range.start(),
                    range.end()
                ),
            }),
        }
    }
}
