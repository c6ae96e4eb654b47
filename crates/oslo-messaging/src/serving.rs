//! What happens to one request: read, told from repeats, dispatched, answered.
//!
//! Nothing that arrives can end the server: what cannot be read is rejected for good, what cannot be dispatched is
//! answered with a failure, and a method that panics is answered too.

use crate::driver::{Driver, Incoming, Outgoing, Receipt, Route};
use crate::duplicates::{Duplicates, Seen};
use crate::endpoint::choose;
use crate::envelope::{decode_body, encode_body};
use crate::message::{Reply, Request};
use crate::server::asked_to_stop;
use crate::{AckPolicy, Endpoint, Error, RemoteFailure, ServerOptions};
use futures_util::FutureExt;
use serde_json::Value;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

/// Between two tries to reach a reply queue that is missing.
const MISSING_QUEUE_PAUSE: Duration = Duration::from_millis(250);
/// How long an answer waits for a broker that is away: after this no reply queue is left.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1800);
/// How many missing reply queues are remembered.
const MISSING_QUEUES: usize = 200;
/// The method that only tells that the server is there.
const PING_METHOD: &str = "oslo_rpc_server_ping";

pub(crate) struct Serving {
    driver: Arc<dyn Driver>,
    endpoints: Vec<Arc<dyn Endpoint>>,
    ack: AckPolicy,
    ping_enabled: bool,
    duplicates: Duplicates,
    /// Reply queues that were missing to the end, and until when they are not tried again.
    missing: Mutex<HashMap<String, Instant>>,
    stopping: watch::Receiver<bool>,
}

/// A request that was taken.
pub(crate) struct Work {
    request: Request,
    chosen: Result<Option<Arc<dyn Endpoint>>, RemoteFailure>,
    /// To be settled after the work, when it has no id to keep it under.
    receipt: Option<Box<dyn Receipt>>,
}

impl Serving {
    pub fn new(
        driver: Arc<dyn Driver>,
        endpoints: Vec<Arc<dyn Endpoint>>,
        options: &ServerOptions,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            driver,
            endpoints,
            ack: options.ack,
            ping_enabled: options.ping_enabled,
            duplicates: Duplicates::new(options.remember_ids),
            missing: Mutex::default(),
            stopping,
        }
    }

    /// Reads a message and takes it off its queue when that is due. `None`: there is nothing to do.
    pub async fn take(&self, incoming: Incoming) -> Option<Work> {
        let Incoming { body, content_type, compression, receipt } = incoming;
        let map = match decode_body(&body, content_type.as_deref(), compression.as_deref()) {
            Ok(map) => map,
            Err(malformed) => {
                tracing::warn!(cause = %malformed, "a request is rejected because it cannot be read");
                receipt.reject().await;
                return None;
            }
        };
        let (request, sound) = Request::from_map(map);
        let receipt = match &request.unique_id {
            None => receipt,
            Some(id) => match self.duplicates.meet(id, receipt) {
                Seen::New(receipt) => receipt,
                Seen::Running => return None,
                Seen::Before(receipt) => {
                    tracing::debug!(unique_id = %id, method = %request.method, "a repeated request is dropped");
                    receipt.accept().await;
                    return None;
                }
            },
        };
        let chosen = sound.and_then(|()| self.choose(&request));
        let late = self.settles_late(&request, &chosen);
        self.settle_or_keep(request, chosen, receipt, late).await
    }

    async fn settle_or_keep(
        &self,
        request: Request,
        chosen: Result<Option<Arc<dyn Endpoint>>, RemoteFailure>,
        receipt: Box<dyn Receipt>,
        late: bool,
    ) -> Option<Work> {
        match (&request.unique_id, late) {
            (Some(id), true) => self.duplicates.keep(id, receipt),
            (None, true) => return Some(Work { request, chosen, receipt: Some(receipt) }),
            (id, false) => {
                if !receipt.accept().await {
                    // The connection went away first: the message comes again.
                    id.iter().for_each(|id| self.duplicates.forget(id));
                    return None;
                }
            }
        }
        Some(Work { request, chosen, receipt: None })
    }

    fn choose(&self, request: &Request) -> Result<Option<Arc<dyn Endpoint>>, RemoteFailure> {
        if self.ping_enabled && request.method == PING_METHOD && request.namespace.is_none() {
            return Ok(None);
        }
        choose(&self.endpoints, request.namespace.as_deref(), request.wanted_version(), &request.method)
            .map(Some)
    }

    fn settles_late(
        &self,
        request: &Request,
        chosen: &Result<Option<Arc<dyn Endpoint>>, RemoteFailure>,
    ) -> bool {
        match self.ack {
            AckPolicy::OnReceipt => false,
            AckPolicy::AfterWork => true,
            AckPolicy::PerMethod => {
                matches!(chosen, Ok(Some(endpoint)) if endpoint.idempotent(&request.method))
            }
        }
    }

    /// Runs the method, answers, settles.
    pub async fn work(self: Arc<Self>, work: Work, permit: OwnedSemaphorePermit) {
        let Work { request, chosen, receipt } = work;
        let span =
            tracing::info_span!("rpc", method = %request.method, request_id = request.context.request_id());
        async {
            let outcome = self.execute(&request, chosen).await;
            drop(permit); // a caller who is gone must not keep others waiting
            let unanswered = self.answer(&request, outcome).await;
            let kept = request.unique_id.as_deref().and_then(|id| self.duplicates.finish(id));
            if let Some(receipt) = kept.or(receipt) {
                receipt.accept().await;
            }
            if let Some((queue, reply)) = unanswered {
                self.search(&queue, &reply).await;
            }
        }
        .instrument(span)
        .await;
    }

    async fn execute(
        &self,
        request: &Request,
        chosen: Result<Option<Arc<dyn Endpoint>>, RemoteFailure>,
    ) -> Result<Value, RemoteFailure> {
        let Some(endpoint) = chosen? else { return Ok(Value::String("pong".to_owned())) };
        let call = endpoint.call(&request.context, &request.method, request.args.clone());
        let call = AssertUnwindSafe(call).catch_unwind();
        let outcome = tokio::select! {
            outcome = call => outcome,
            never = self.ping(request) => match never {},
        };
        outcome.unwrap_or_else(|_| {
            tracing::error!("the method panicked");
            Err(RemoteFailure::new("builtins", "RuntimeError", format!("method {} panicked", request.method)))
        })
    }

    /// Tells a caller who asked for it, every half of the given time, that the work goes on.
    async fn ping(&self, request: &Request) -> std::convert::Infallible {
        if let (Some(seconds @ 2..), Some(msg_id), Some(queue)) =
            (request.monitor_timeout, &request.msg_id, &request.reply_q)
        {
            let pause = Duration::from_millis(u64::try_from(seconds).unwrap_or(u64::MAX).saturating_mul(500));
            loop {
                sleep(pause).await;
                let ping =
                    Reply { msg_id: msg_id.clone(), result: Value::Null, failure: None, ending: false };
                if let Err(error) = self.send(queue, &ping, pause).await {
                    tracing::warn!(%error, "the caller cannot be told that the work goes on; the work does");
                    break;
                }
            }
        }
        std::future::pending().await
    }

    /// Answers a call. What is given back could not be delivered because the reply queue is missing.
    async fn answer(
        &self,
        request: &Request,
        outcome: Result<Value, RemoteFailure>,
    ) -> Option<(String, Reply)> {
        let (Some(msg_id), Some(queue)) = (&request.msg_id, &request.reply_q) else {
            if let Err(failure) = outcome {
                tracing::warn!(class = %failure.class, message = %failure.message, "a cast failed");
            }
            return None;
        };
        if let Err(failure) = &outcome {
            tracing::debug!(class = %failure.class, message = %failure.message, "a call is answered with a failure");
        }
        if self.is_missing(queue) {
            tracing::warn!(%queue, "the answer is dropped: the caller's reply queue was missing a moment ago");
            return None;
        }
        let (result, failure) =
            outcome.map_or_else(|failure| (Value::Null, Some(failure)), |result| (result, None));
        let reply = Reply { msg_id: msg_id.clone(), result, failure, ending: true };
        match self.send(queue, &reply, ANSWER_PATIENCE).await {
            Ok(()) => None,
            Err(Error::Undeliverable { .. }) => Some((queue.clone(), reply)),
            Err(error) => {
                tracing::warn!(%error, "the answer is dropped");
                None
            }
        }
    }

    /// Tries to answer until the reply queue is there, for a while: its owner may be reconnecting.
    async fn search(&self, queue: &str, reply: &Reply) {
        let until = Instant::now() + self.driver.missing_reply_queue_timeout();
        let mut stopping = self.stopping.clone();
        while Instant::now() < until {
            tokio::select! {
                () = sleep(MISSING_QUEUE_PAUSE) => {}
                () = asked_to_stop(&mut stopping) => return,
            }
            match self.send(queue, reply, ANSWER_PATIENCE).await {
                Ok(()) => return,
                Err(Error::Undeliverable { .. }) => {}
                Err(error) => {
                    tracing::warn!(%error, "the answer is dropped");
                    return;
                }
            }
        }
        tracing::warn!(%queue, "the answer is dropped: the caller's reply queue is gone");
        self.remember_missing(queue);
    }

    async fn send(&self, queue: &str, reply: &Reply, patience: Duration) -> crate::Result<()> {
        let body = encode_body(&reply.to_value());
        let deadline = Instant::now() + patience;
        let route = Route::Reply { queue: queue.to_owned() };
        self.driver.publish(&route, &Outgoing { body, ttl: None, mandatory: true, deadline }).await
    }

    fn is_missing(&self, queue: &str) -> bool {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get(queue).is_some_and(|until| Instant::now() < *until)
    }

    fn remember_missing(&self, queue: &str) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|_, until| Instant::now() < *until);
        if missing.len() < MISSING_QUEUES {
            missing.insert(queue.to_owned(), Instant::now() + self.driver.missing_reply_queue_timeout());
        }
    }
}
