//! JSON answers that are written where their rows were read, on the blocking thread, without a tree of values between.
//!
//! A list is read and written piece by piece. One that is not over after the first bytes is sent while it is read, as fast as the
//! caller takes it: neither its rows nor a connection to the database are held meanwhile, so that no list, however large its rows
//! are, takes more memory than a piece of it. What a large page of jobs has beyond that waits in a temporary file
//! (`freezer_database::Database::advance_jobs`).

use crate::call::Call;
use crate::error::ApiError;
use crate::patience::Patience;
use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use bytes::Bytes;
use freezer_database::{Cursor, Database, Page};
use futures_util::stream;

/// What most documents fit in: room made once costs less than room made again and again.
const USUAL_BYTES: usize = 1024;
/// The same for lists: tens of documents.
const USUAL_LIST_BYTES: usize = 16 << 10;
/// A list of so many bytes is sent before it is over.
const SENT_BYTES: usize = 256 << 10;

/// One document as bytes.
pub fn item(write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    write(&mut out).map_err(unwritable)?;
    Ok(out)
}

/// `{"name": [ … ]}`, as far as it is written.
pub struct Items {
    out: Vec<u8>,
    is_first: bool,
}

impl Items {
    fn open(name: &str) -> Self {
        let mut out = Vec::with_capacity(USUAL_LIST_BYTES);
        out.extend_from_slice(format!("{{\"{name}\":[").as_bytes());
        Self { out, is_first: true }
    }

    /// Writes one more.
    pub fn add(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Result<(), ApiError> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        write(&mut self.out).map_err(unwritable)
    }
}

/// A list that is being read: `read` reads the next piece and writes its documents.
struct Reading<R> {
    db: Database,
    patience: Patience,
    cursor: Cursor,
    items: Items,
    read: R,
    is_closed: bool,
}

impl<R> Reading<R>
where
    R: FnMut(&Database, &mut Cursor, &mut Items) -> Result<(), ApiError> + Send + 'static,
{
    /// Goes on until there is something to send; returns it, and what is to be done afterwards.
    async fn some(mut self) -> Result<(Bytes, Self), ApiError> {
        let patience = self.patience.clone();
        let some = patience.blocking(move || {
            while !self.cursor.is_over() && self.items.out.len() < SENT_BYTES {
                (self.read)(&self.db, &mut self.cursor, &mut self.items)?;
            }
            if self.cursor.is_over() {
                self.items.out.extend_from_slice(b"]}");
                self.is_closed = true;
            }
            Ok((Bytes::from(std::mem::take(&mut self.items.out)), self))
        });
        some.await
    }
}

/// Answers with a list.
pub async fn list(
    call: &Call,
    name: &str,
    page: Page,
    read: impl FnMut(&Database, &mut Cursor, &mut Items) -> Result<(), ApiError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let (cursor, items) = (Cursor::of(page), Items::open(name));
    let (db, patience) = (call.state.db.clone(), call.state.patience.clone());
    let reading = Reading { db, patience, cursor, items, read, is_closed: false };
    let (first, rest) = reading.some().await?;
    if rest.is_closed {
        return Ok(HttpResponse::Ok().content_type(ContentType::json()).body(first));
    }
    let begun = stream::once(async { Ok::<_, actix_web::Error>(first) });
    let rest = stream::try_unfold(rest, |rest| async {
        if rest.is_closed {
            return Ok(None);
        }
        // It is too late for another status: the connection is cut, which no reader takes for the end.
        rest.some().await.map(Some).map_err(|error| {
            tracing::error!("a list ends in the middle: {error}");
            actix_web::Error::from(error)
        })
    });
    let body = futures_util::StreamExt::chain(begun, rest);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).streaming(Box::pin(body)))
}

fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::internal(format!("an answer cannot be written: {error}"))
}

/// 200 with such bytes.
pub fn json(text: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(text)
}
