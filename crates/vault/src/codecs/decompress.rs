//! Decompressing streams of one or many members.

use super::Compression;
use crate::VaultError;
use std::io::{self, BufReader, Read};

/// How much compressed data is asked for at once, in bytes.
const INPUT_BYTES: usize = 128 * 1024;

/// Reads what `input` holds in `format`, through all its members. zstd, xz, gzip and bzip2 check
/// their own checksums.
pub fn decompressor(format: Compression, input: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let input = BufReader::with_capacity(INPUT_BYTES, input);
    Ok(match format {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        Compression::None => Box::new(input),
    })
}

/// Decompresses something small; more than `most_bytes` of output is an error.
pub fn decompress_all(format: Compression, data: Vec<u8>, most_bytes: u64) -> Result<Vec<u8>, VaultError> {
    let fail = |cause: String| VaultError::Codec { cause };
    let reader =
        decompressor(format, Box::new(io::Cursor::new(data))).map_err(|error| fail(error.to_string()))?;
    let mut out = Vec::new();
    reader
        .take(most_bytes.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|error| fail(error.to_string()))?;
    if out.len() as u64 > most_bytes {
        return Err(fail(format!("more than {most_bytes} bytes come out")));
    }
    Ok(out)
}
