//! What stores behind HTTP have in common: bodies that are limited, watched for stalls and checked, and what to call a
//! connection that broke.

mod answer;
mod body;
mod send;

pub(crate) use answer::{header, short_text};
pub(crate) use body::{Check, checked_body, is_md5, range_header, window};
pub(crate) use send::{Pieces, Progress, body_stream};

use crate::store::StoreError;
use crate::throttle::Limits;
use answer::{is_of_certificate, with_causes};
use reqwest::{RequestBuilder, Response};
use std::sync::Arc;
use std::time::Duration;

/// The server, as messages call it, and what is demanded of the line to it.
pub(crate) struct Peer {
    /// For messages.
    pub label: String,
    /// No byte moved for so long: the request is given up.
    pub stall_timeout: Duration,
    pub limits: Limits,
}

impl Peer {
    /// Sends it, and gives up when nothing moves.
    pub async fn watched(
        &self,
        name: &str,
        request: RequestBuilder,
        progress: Arc<Progress>,
    ) -> Result<Response, StoreError> {
        let answer = tokio::select! {
            answer = request.send() => answer,
            () = progress.stalled(self.stall_timeout) => {
                let cause = format!("nothing moved for {} s", self.stall_timeout.as_secs_f32());
                return Err(self.unavailable(name, cause));
            }
        };
        answer.map_err(|error| self.transport(name, &error))
    }

    /// A connection that did not come up or broke.
    pub fn transport(&self, name: &str, error: &reqwest::Error) -> StoreError {
        let cause = with_causes(error);
        if is_of_certificate(error) {
            // Another try would meet the same.
            let cause = format!("{cause}; if its authority is to be believed, name the file by OS_CACERT");
            return StoreError::Refused { store: self.label.clone(), cause };
        }
        if error.is_builder() { self.other(name, cause) } else { self.unavailable(name, cause) }
    }

    pub fn unavailable(&self, name: &str, cause: String) -> StoreError {
        StoreError::Unavailable {
            store: self.label.clone(),
            name: name.to_string(),
            cause,
            retry_after: None,
        }
    }
    pub fn other(&self, name: &str, cause: String) -> StoreError {
        StoreError::Other { store: self.label.clone(), name: name.to_string(), cause }
    }
    pub fn damaged(&self, name: &str, cause: String) -> StoreError {
        StoreError::Damaged { store: self.label.clone(), name: name.to_string(), cause }
    }
}
