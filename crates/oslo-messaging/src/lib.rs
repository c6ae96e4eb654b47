//! oslo.messaging for Rust: RPC and notifications over RabbitMQ or in process.
//!
//! Peers written in Python cannot tell this crate from the original: envelopes, properties, exchanges, queues,
//! replies, failures and version rules are those of oslo.messaging 14 to 18.
//!
//! ```no_run
//! # async fn demo() -> oslo_messaging::Result<()> {
//! use oslo_messaging::{Context, RabbitOptions, RpcClient, Target, Transport};
//! let transport = Transport::connect("rabbit://user:secret@host1:5672,user:secret@host2:5672/", RabbitOptions::default())?;
//! let client = RpcClient::new(&transport, Target::topic("backup").exchange("openstack").version("1.0"));
//! let answer = client.call(&Context::new(), "echo", serde_json::json!({"n": 1})).await?;
//! client.prepare().server("host1").mandatory(true).cast(&Context::new(), "stop", serde_json::json!({})).await?;
//! # drop(answer); Ok(()) }
//! ```
//!
//! Layers, top to bottom: [`RpcClient`], [`RpcServer`] and [`Notifier`] speak methods and events; `message` and
//! `envelope` turn them into bytes; a driver (`rabbit` or `memory`) moves the bytes. Nothing here knows what the
//! methods mean.
//!
//! What differs from the Python library on purpose: requests may be `mandatory` and then fail at once when nobody
//! could ever receive them; a server takes no more messages than it works on; methods that may run twice can be
//! acknowledged after the work; the reply queue is deleted at the end; every request with a message id is answered.

mod client;
pub mod config;
mod context;
mod driver;
mod duplicates;
mod endpoint;
mod envelope;
mod error;
mod failure;
mod memory;
mod message;
mod notifier;
mod options;
mod rabbit;
mod replies;
mod server;
mod serving;
mod target;
mod transport;
mod url;
mod version;

pub use client::RpcClient;
pub use context::Context;
pub use endpoint::{Endpoint, EndpointTarget};
pub use envelope::{Compression, Malformed, decode_body, encode_body};
pub use error::{Error, Result};
pub use failure::{FailureDetails, RemoteError, RemoteFailure};
pub use message::{Reply, Request};
pub use notifier::{Notifier, NotifierDriver, NotifierOptions, Priority};
pub use options::{RabbitOptions, TlsOptions};
pub use rabbit::topology;
pub use server::{AckPolicy, RpcServer, ServerOptions};
pub use target::Target;
pub use transport::Transport;
pub use url::{TransportHost, TransportUrl};
pub use version::RpcVersion;
