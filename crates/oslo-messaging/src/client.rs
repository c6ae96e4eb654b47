//! The caller's side: call, cast, fanout.

use crate::driver::{Outgoing, Route};
use crate::envelope::{encode_body, kind};
use crate::message::{Request, new_id};
use crate::replies::Expected;
use crate::{Context, Error, Result, RpcVersion, Target, Transport};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// `[DEFAULT] rpc_response_timeout`
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a cast waits for a broker.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls the methods of one target. Cheap to clone; [`Self::prepare`] gives a clone to change for one call.
#[derive(Clone, Debug)]
pub struct RpcClient {
    transport: Transport,
    target: Target,
    timeout: Duration,
    monitor_timeout: Option<Duration>,
    send_timeout: Duration,
    cast_ttl: Option<Duration>,
    mandatory: bool,
    version_cap: Option<String>,
}

impl RpcClient {
    /// A client for a target, with a timeout of 60 s.
    #[must_use]
    pub fn new(transport: &Transport, target: Target) -> Self {
        Self {
            transport: transport.clone(),
            target,
            timeout: RESPONSE_TIMEOUT,
            monitor_timeout: None,
            send_timeout: SEND_TIMEOUT,
            cast_ttl: None,
            mandatory: false,
            version_cap: None,
        }
    }

    /// A clone to set options of single calls on.
    #[must_use]
    pub fn prepare(&self) -> Self {
        self.clone()
    }

    /// Only this server of the topic.
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.target.server = Some(server.into());
        self
    }

    /// All servers of the topic; casts only.
    #[must_use]
    pub fn fanout(mut self, fanout: bool) -> Self {
        self.target.fanout = fanout;
        self
    }

    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.target.topic = Some(topic.into());
        self
    }

    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<String>) -> Self {
        self.target.exchange = Some(exchange.into());
        self
    }

    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.target.namespace = Some(namespace.into());
        self
    }

    /// Version of the interface that the method needs.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.target.version = Some(version.into());
        self
    }

    /// The newest version that may be sent, while older peers are about.
    #[must_use]
    pub fn version_cap(mut self, cap: impl Into<String>) -> Self {
        self.version_cap = Some(cap.into());
        self
    }

    /// How long a call may take in all. The broker drops a request that nobody took by then.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For long calls: the server says every half of this time that it is still at work, and the call fails when nothing
    /// was heard for this long. Whole seconds, 2 at least.
    #[must_use]
    pub fn monitor_timeout(mut self, timeout: Duration) -> Self {
        self.monitor_timeout = Some(timeout);
        self
    }

    /// How long a cast waits for a broker that is away; 30 s if not said. (A call waits for its timeout.)
    #[must_use]
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = timeout;
        self
    }

    /// Lets the broker drop a cast that nobody took by then. Without it casts wait in their queue for ever.
    #[must_use]
    pub fn cast_ttl(mut self, ttl: Duration) -> Self {
        self.cast_ttl = Some(ttl);
        self
    }

    /// Fail with [`Error::Undeliverable`] at once when there is no queue for the message. A queue of a server that has
    /// ended may still be there: see [`crate::ServerOptions::delete_server_queue`].
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether `version_cap` lets this version out.
    #[must_use]
    pub fn can_send_version(&self, version: &str) -> bool {
        let Some(cap) = &self.version_cap else { return true };
        match (cap.parse::<RpcVersion>(), version.parse::<RpcVersion>()) {
            (Ok(cap), Ok(version)) => cap.serves(version),
            _ => false,
        }
    }

    /// Calls a method and waits for its result. `args` is an object, or null for none.
    ///
    /// # Errors
    /// [`Error::Remote`] when the method failed, [`Error::Timeout`] when no answer came, and whatever kept the request
    /// from being sent.
    pub async fn call(&self, ctx: &Context, method: &str, args: Value) -> Result<Value> {
        let deadline = Instant::now() + self.timeout;
        let route = self.route("call")?;
        if self.target.fanout {
            let reason = "all servers cannot answer one call; use cast".to_owned();
            return Err(Error::InvalidTarget { operation: "call", reason });
        }
        let mut request = self.request(ctx, method, args)?;
        request.monitor_timeout = self.monitor_timeout.map(whole_seconds);
        let msg_id = new_id();
        request.reply_q = Some(self.transport.replies().queue(deadline).await?.to_owned());
        request.msg_id = Some(msg_id.clone());
        let expected = self.transport.replies().expect(&msg_id);
        let message = self.outgoing(&request, Some(self.timeout), deadline);
        self.transport.driver().publish(&route, &message).await?;
        self.wait(expected, method, &route, deadline).await
    }

    /// Sends a method's name and arguments, and returns when a broker has them. Nothing is known of the execution.
    ///
    /// # Errors
    /// Whatever kept it from being sent; [`Error::NotConfirmed`] when that is not known.
    pub async fn cast(&self, ctx: &Context, method: &str, args: Value) -> Result<()> {
        let deadline = Instant::now() + self.send_timeout;
        let route = self.route("cast")?;
        let request = self.request(ctx, method, args)?;
        let message = self.outgoing(&request, self.cast_ttl, deadline);
        self.transport.driver().publish(&route, &message).await
    }

    fn route(&self, operation: &'static str) -> Result<Route> {
        let refuse = |reason: &str| Error::InvalidTarget { operation, reason: reason.to_owned() };
        let topic = self.target.topic.clone().filter(|topic| !topic.is_empty());
        let topic = topic.ok_or_else(|| refuse("it names no topic"))?;
        if self.target.fanout {
            return Ok(Route::Fanout { topic });
        }
        let key =
            self.target.server.as_ref().map_or_else(|| topic.clone(), |server| format!("{topic}.{server}"));
        Ok(Route::Topic { exchange: self.transport.exchange(&self.target), key })
    }

    fn request(&self, ctx: &Context, method: &str, args: Value) -> Result<Request> {
        let args = match args {
            Value::Object(_) => args,
            Value::Null => Value::Object(Map::new()),
            other => return Err(Error::InvalidArguments { method: method.to_owned(), got: kind(&other) }),
        };
        let version = self.target.version.as_deref();
        if let (Some(cap), wanted) = (&self.version_cap, version.unwrap_or("1.0"))
            && !self.can_send_version(wanted)
        {
            return Err(Error::VersionCap { version: wanted.to_owned(), cap: cap.clone() });
        }
        Ok(Request {
            method: method.to_owned(),
            args,
            namespace: self.target.namespace.clone(),
            version: version.map(str::to_owned),
            msg_id: None,
            reply_q: None,
            monitor_timeout: None,
            unique_id: Some(new_id()),
            context: ctx.clone(),
        })
    }

    fn outgoing(&self, request: &Request, ttl: Option<Duration>, deadline: Instant) -> Outgoing {
        Outgoing { body: encode_body(&request.to_value()), ttl, mandatory: self.mandatory, deadline }
    }

    /// Signs of life renew the monitor's clock, never the call's own.
    async fn wait(
        &self,
        mut expected: Expected,
        method: &str,
        route: &Route,
        deadline: Instant,
    ) -> Result<Value> {
        let mut result = Value::Null;
        let silence = self.monitor_timeout.map(|timeout| timeout.max(MONITOR_AT_LEAST));
        loop {
            let now = Instant::now();
            let until = silence.map_or(deadline, |silence| deadline.min(now + silence));
            let reply = match timeout_at(until, expected.replies.recv()).await {
                Ok(Some(reply)) => reply,
                Ok(None) => return Err(Error::Closed),
                Err(_) => {
                    let after = until - now;
                    let after = if until == deadline { self.timeout } else { after };
                    return Err(Error::Timeout {
                        method: method.to_owned(),
                        destination: route.to_string(),
                        after,
                    });
                }
            };
            if !reply.result.is_null() {
                result = reply.result; // before 2016 the result came first and the end in a second message
            }
            if reply.ending {
                return match reply.failure {
                    Some(failure) => Err(Error::Remote(Box::new(failure))),
                    None => Ok(result),
                };
            }
        }
    }
}

/// Servers send no signs of life for less.
const MONITOR_AT_LEAST: Duration = Duration::from_secs(2);

fn whole_seconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.max(MONITOR_AT_LEAST).as_secs()).unwrap_or(i64::MAX)
}
