//! Bodies on their way in: checked against what was promised of them.

use super::{Peer, header};
use crate::store::ByteStream;
use futures_util::{StreamExt, stream};
use md5::{Digest, Md5};
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use std::ops::{Deref, Range};
use std::sync::Arc;

pub(crate) fn range_header(range: &Range<u64>) -> HeaderValue {
    let text = match range.end {
        u64::MAX => format!("bytes={}-", range.start),
        end => format!("bytes={}-{}", range.start, end - 1),
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("bytes=0-"))
}

/// Whether the ETag (without quotes) of an answer is the MD5 of the object: not of one that consists of others, and not of one
/// that the server has encrypted with keys of its own.
pub(crate) fn is_md5(answer: &Response, etag: &str) -> bool {
    const OTHER: [&str; 2] = ["x-static-large-object", "x-amz-server-side-encryption-customer-algorithm"];
    let is_encrypted = header(answer, "x-amz-server-side-encryption").is_some_and(|kind| kind != "AES256");
    let is_plain = !is_encrypted && OTHER.iter().all(|name| header(answer, name).is_none());
    is_plain && etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a body must turn out to be.
pub(crate) struct Check {
    bytes: Option<u64>,
    md5: Option<(Md5, String)>,
}

impl Check {
    pub fn part(answer: &Response) -> Self {
        Self { bytes: header(answer, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok()), md5: None }
    }

    pub fn whole(answer: &Response) -> Self {
        let etag = header(answer, "etag").map(|etag| etag.trim_matches('"').to_ascii_lowercase());
        let md5 = etag.filter(|etag| is_md5(answer, etag)).map(|etag| (Md5::new(), etag));
        Self { md5, ..Self::part(answer) }
    }

    fn verdict(self, seen: u64) -> Result<(), Fault> {
        if let Some(bytes) = self.bytes.filter(|bytes| *bytes != seen) {
            return Err(Fault::Short(format!("{seen} of {bytes} bytes arrived")));
        }
        if let Some((md5, expected)) = self.md5 {
            let found = hex::encode(md5.finalize());
            if found != expected {
                return Err(Fault::Wrong(format!("MD5 {found} instead of {expected}")));
            }
        }
        Ok(())
    }
}

enum Fault {
    Short(String),
    Wrong(String),
}

/// The body of an answer, watched for stalls and checked at its end.
pub(crate) fn checked_body<P: Deref<Target = Peer> + Send + Sync + 'static>(
    client: Arc<P>,
    answer: Response,
    name: String,
    check: Check,
) -> ByteStream {
    struct State<P> {
        client: Arc<P>,
        name: String,
        check: Option<Check>,
        seen: u64,
        body: ByteStream,
    }
    let transport = client.clone();
    let what = name.clone();
    let body =
        answer.bytes_stream().map(move |item| item.map_err(|e| transport.transport(&what, &e))).boxed();
    let state = State { client, name, check: Some(check), seen: 0, body };
    stream::unfold(state, |mut state| async move {
        let check = state.check.as_mut()?;
        let limit = state.client.stall_timeout;
        let error = match tokio::time::timeout(limit, state.body.next()).await {
            Ok(Some(Ok(bytes))) => {
                state.seen += bytes.len() as u64;
                if let Some((md5, _)) = &mut check.md5 {
                    md5.update(&bytes);
                }
                return Some((Ok(bytes), state));
            }
            Ok(Some(Err(error))) => error,
            Ok(None) => match state.check.take()?.verdict(state.seen) {
                Ok(()) => return None,
                Err(Fault::Short(cause)) => state.client.unavailable(&state.name, cause),
                Err(Fault::Wrong(cause)) => state.client.damaged(&state.name, cause),
            },
            Err(_) => state.client.unavailable(&state.name, format!("nothing came for {limit:?}")),
        };
        state.check = None;
        Some((Err(error), state))
    })
    .boxed()
}

/// The bytes `range` of a body that came whole though a part was asked for.
pub(crate) fn window(body: ByteStream, range: Range<u64>) -> ByteStream {
    let state = (body, 0u64, range);
    stream::unfold(state, |(mut body, mut offset, range)| async move {
        while offset < range.end {
            match body.next().await? {
                Err(error) => {
                    // Nothing follows an error.
                    return Some((Err(error), (stream::empty().boxed(), u64::MAX, range)));
                }
                Ok(piece) => {
                    let start = offset;
                    offset += piece.len() as u64;
                    let at = |edge: u64| usize::try_from(edge.clamp(start, offset) - start).unwrap_or(0);
                    let part = piece.slice(at(range.start)..at(range.end));
                    if !part.is_empty() {
                        return Some((Ok(part), (body, offset, range)));
                    }
                }
            }
        }
        None
    })
    .boxed()
}
