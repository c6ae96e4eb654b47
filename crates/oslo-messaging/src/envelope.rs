//! The envelope: `{"oslo.version": "2.0", "oslo.message": "<JSON in a string>"}`, and its content type and compression.
//!
//! What a real server rejects is rejected here too; nothing read here can end the process.

use serde_json::{Map, Value};
use std::io::{Read, Write};

/// The only content type there is; it must match to the letter.
pub const CONTENT_TYPE: &str = "application/json";

/// Bodies that grow beyond this when decompressed are refused.
const LARGEST_BODY: u64 = 256 * 1024 * 1024;

/// How a body is compressed (`kombu_compression`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Kombu's "gzip", which is in truth a zlib stream.
    Gzip,
    Bzip2,
}

impl Compression {
    /// The value of the header `compression`.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Compression::Gzip => "application/x-gzip",
            Compression::Bzip2 => "application/x-bz2",
        }
    }

    pub(crate) fn compress(self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Compression::Gzip => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }
}

/// Why a body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Writes a message into its envelope.
#[must_use]
pub fn encode_body(message: &Value) -> Vec<u8> {
    serde_json::json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string().into_bytes()
}

/// Reads a message out of its envelope.
///
/// `content_type` and `compression` are the message's property and header of these names.
///
/// # Errors
/// [`Malformed`] for whatever oslo.messaging would reject.
pub fn decode_body(
    body: &[u8],
    content_type: Option<&str>,
    compression: Option<&str>,
) -> Result<Map<String, Value>, Malformed> {
    if content_type != Some(CONTENT_TYPE) {
        return Err(Malformed(format!("content type {content_type:?} instead of {CONTENT_TYPE:?}")));
    }
    let plain;
    let body = match compression {
        None => body,
        Some(name) => {
            plain = decompress(body, name)?;
            &plain
        }
    };
    if body.is_empty() {
        return Ok(Map::new());
    }
    let outer = match serde_json::from_slice(body) {
        Ok(Value::Object(outer)) => outer,
        Ok(other) => return Err(Malformed(format!("the body is {} and no object", kind(&other)))),
        Err(error) => return Err(Malformed(format!("the body is not JSON: {error}"))),
    };
    open(outer)
}

fn open(outer: Map<String, Value>) -> Result<Map<String, Value>, Malformed> {
    let (Some(version), Some(message)) = (outer.get("oslo.version"), outer.get("oslo.message")) else {
        return Ok(outer); // the first version of the protocol had no envelope
    };
    if version.as_str() != Some("2.0") {
        return Err(Malformed(format!("envelope version {version} instead of \"2.0\"")));
    }
    let Value::String(text) = message else {
        return Err(Malformed(format!("oslo.message is {} and no string", kind(message))));
    };
    match serde_json::from_str(text) {
        Ok(Value::Object(inner)) => Ok(inner),
        Ok(other) => Err(Malformed(format!("oslo.message holds {} and no object", kind(&other)))),
        Err(error) => Err(Malformed(format!("oslo.message is not JSON: {error}"))),
    }
}

fn decompress(body: &[u8], name: &str) -> Result<Vec<u8>, Malformed> {
    let reader: Box<dyn Read + '_> = match name {
        "application/x-gzip" => Box::new(flate2::read::ZlibDecoder::new(body)),
        "application/x-bz2" => Box::new(bzip2::read::BzDecoder::new(body)),
        other => return Err(Malformed(format!("compression {other:?} is not known"))),
    };
    let mut plain = Vec::new();
    let read = reader.take(LARGEST_BODY + 1).read_to_end(&mut plain);
    match read {
        Err(error) => Err(Malformed(format!("the body cannot be decompressed as {name}: {error}"))),
        Ok(size) if size as u64 > LARGEST_BODY => {
            Err(Malformed("the body decompresses to too much".to_owned()))
        }
        Ok(_) => Ok(plain),
    }
}

/// The JSON type's name, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_compressions_come_back() {
        let body = encode_body(&json!({"method": "m", "args": {"x": "y".repeat(10_000)}}));
        for compression in [Compression::Gzip, Compression::Bzip2] {
            let packed = compression.compress(&body).unwrap();
            let message = decode_body(&packed, Some(CONTENT_TYPE), Some(compression.header())).unwrap();
            assert_eq!(message["method"], "m");
        }
    }

    #[test]
    fn a_body_that_explodes_is_refused() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        let block = vec![b' '; 1 << 20];
        for _ in 0..=256 {
            encoder.write_all(&block).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(decode_body(&bomb, Some(CONTENT_TYPE), Some("application/x-gzip")).is_err());
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_crash() {
        let deep = "[".repeat(100_000);
        assert!(decode_body(deep.as_bytes(), Some(CONTENT_TYPE), None).is_err());
    }
}
