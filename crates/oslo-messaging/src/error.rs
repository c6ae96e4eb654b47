//! What can go wrong, each message naming the thing, the cause and the next step. Passwords never appear here.

use crate::RemoteError;
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong at this side of the wire, and the remote method's own failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The transport URL cannot be used. `url` has no passwords in it.
    #[error(
        "transport_url {url:?} cannot be used: {reason}; write it as rabbit://user:password@host:port/vhost"
    )]
    InvalidUrl { url: String, reason: String },
    /// An option of `[oslo_messaging_rabbit]` has no such value, or there is no such option.
    #[error(
        "option {name} of [oslo_messaging_rabbit]: {reason}; correct it in the configuration or in transport_url"
    )]
    InvalidOption { name: String, reason: String },
    /// The target lacks a part that this operation needs.
    #[error("the target cannot be used for {operation}: {reason}")]
    InvalidTarget { operation: &'static str, reason: String },
    /// The arguments of a method must be a JSON object.
    #[error(
        "the arguments of {method} must be a JSON object, got {got}; pass an object with one key for each argument"
    )]
    InvalidArguments { method: String, got: &'static str },
    /// The version asked for is not among those that `version_cap` allows. Nothing was sent.
    #[error(
        "version {version} of the RPC interface is not allowed by the version cap {cap}; nothing was sent: wait until all peers are upgraded or raise the cap"
    )]
    VersionCap { version: String, cap: String },
    /// Nobody answered in time. The method may have run all the same.
    #[error(
        "no answer to {method} from {destination} within {after:?}; the method may still run: see that a server of this topic is up and not overloaded"
    )]
    Timeout { method: String, destination: String, after: Duration },
    /// A `mandatory` message has no queue to go to. It was not delivered to anybody.
    #[error(
        "nobody receives {destination}: the message was returned by the broker and not delivered; start the server or correct topic and server name"
    )]
    Undeliverable { destination: String },
    /// The broker did not confirm the message in time. It may or may not have been stored.
    #[error(
        "the message to {destination} was not confirmed by a broker ({hosts}) within {after:?}: {cause}; it may or may not have been delivered: see that the broker is up and reachable"
    )]
    NotConfirmed { destination: String, hosts: String, after: Duration, cause: String },
    /// The broker refused the credentials or the virtual host.
    #[error(
        "the broker {host} refused user {user:?} on vhost {vhost:?}: {cause}; correct transport_url or the user's permissions"
    )]
    AccessRefused { host: String, user: String, vhost: String, cause: String },
    /// No broker could be reached.
    #[error(
        "no broker of {hosts} can be reached: {cause}; see that one is up and that the network lets us through"
    )]
    Unreachable { hosts: String, cause: String },
    /// An exchange or queue exists with other properties, or may not be declared.
    #[error(
        "{what} cannot be declared: {cause}; remove it from the broker or give all services the same durable/quorum options"
    )]
    Declaration { what: String, cause: String },
    /// A certificate or key cannot be used.
    #[error("TLS file {path}: {cause}; correct ssl_ca_file, ssl_cert_file and ssl_key_file")]
    TlsFile { path: String, cause: String },
    /// The peer answered with something that is no reply.
    #[error(
        "the answer to {method} from {destination} cannot be read: {cause}; the peer speaks another protocol version"
    )]
    MalformedReply { method: String, destination: String, cause: String },
    /// A message cannot be turned into JSON.
    #[error("the message cannot be written as JSON: {cause}")]
    Unserializable { cause: String },
    /// The remote method failed.
    #[error(transparent)]
    Remote(#[from] Box<RemoteError>),
    /// The transport was closed, or the runtime it lives in ends.
    #[error("the transport is closed; nothing was sent: connect again")]
    Closed,
}

impl Error {
    /// The remote method's failure, if this is one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Error::Remote(failure) => Some(failure),
            _ => None,
        }
    }

    /// True when trying again later may help: nobody answered, nobody was there, or the broker was away.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Timeout { .. }
                | Error::Undeliverable { .. }
                | Error::NotConfirmed { .. }
                | Error::Unreachable { .. }
        )
    }
}
