//! Opens connections: which host next, how long to wait, what the broker's refusals mean.

use super::tls;
use crate::{Error, RabbitOptions, Result, TransportUrl};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{Connection, ConnectionProperties, DefaultConnectionBuilder, ErrorKind};
use std::time::Duration;

/// A host that accepts but says nothing is given up after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

struct Host {
    name: String,
    port: u16,
    user: String,
    password: String,
}

pub(super) struct Connector {
    pub options: RabbitOptions,
    hosts: Vec<Host>,
    vhost: String,
    /// `host:port, …`, for errors and logs.
    pub names: String,
}

/// Where one task stands in the list of hosts. Each starts in an order of its own, so that clients spread.
pub(super) struct Rotation {
    order: Vec<usize>,
    next: usize,
    round: u32,
}

impl Connector {
    pub fn new(url: &TransportUrl, options: RabbitOptions) -> Result<Self> {
        let refuse = |reason: String| Error::InvalidUrl { url: url.redacted(), reason };
        if url.vhost().len() > 255 {
            return Err(refuse("the vhost's name is longer than 255 bytes".to_owned()));
        }
        let named = url.hosts.iter().any(|host| host.username.is_some());
        let mut hosts = Vec::new();
        for host in &url.hosts {
            if named && host.username.is_none() {
                let address = host.address();
                return Err(refuse(format!(
                    "host {address} has no user and password; repeat them for each host"
                )));
            }
            hosts.push(Host {
                name: host.hostname.clone().unwrap_or_else(|| "localhost".to_owned()),
                port: host.port.unwrap_or(5672),
                user: host.username.clone().unwrap_or_else(|| "guest".to_owned()),
                password: host
                    .password
                    .clone()
                    .unwrap_or_else(|| if named { "" } else { "guest" }.to_owned()),
            });
        }
        if hosts.is_empty() {
            let guest = || "guest".to_owned();
            hosts.push(Host { name: "localhost".to_owned(), port: 5672, user: guest(), password: guest() });
        }
        let names =
            hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect::<Vec<_>>().join(", ");
        Ok(Self { options, hosts, vhost: url.vhost().to_owned(), names })
    }

    pub fn rotation(&self) -> Rotation {
        Rotation { order: shuffled(self.hosts.len()), next: 0, round: 0 }
    }

    /// Tries each host once, from the one whose turn it is.
    pub async fn connect(&self, rotation: &mut Rotation) -> Result<Connection> {
        if self.options.shuffle_each_round {
            rotation.order = shuffled(self.hosts.len());
        }
        let mut last = Error::Closed;
        for _ in 0..self.hosts.len() {
            let index = rotation.order.get(rotation.next % self.hosts.len()).copied().unwrap_or(0);
            let Some(host) = self.hosts.get(index) else { continue };
            match self.dial(host).await {
                Ok(connection) => {
                    rotation.round = 0;
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::warn!(host = %host.name, port = host.port, %error, "cannot connect to the broker");
                    rotation.next = rotation.next.wrapping_add(1);
                    last = error;
                }
            }
        }
        rotation.round = rotation.round.saturating_add(1);
        Err(last)
    }

    /// The wait before the next round of attempts: growing, bounded, a fifth of it random.
    pub fn pause(&self, rotation: &Rotation) -> Duration {
        let round = rotation.round.saturating_sub(1);
        let wait =
            self.options.rabbit_retry_interval + self.options.rabbit_retry_backoff.saturating_mul(round);
        let wait = wait.min(self.options.rabbit_interval_max);
        wait.mul_f64(0.9 + 0.2 * random())
    }

    /// The wait after a connection was lost; the next host's turn has come.
    pub fn pause_after_loss(&self, rotation: &mut Rotation) -> Duration {
        rotation.next = rotation.next.wrapping_add(1);
        self.options.kombu_reconnect_delay + self.options.kombu_reconnect_splay.mul_f64(random())
    }

    async fn dial(&self, host: &Host) -> Result<Connection> {
        let tls = &self.options.tls;
        let scheme = if tls.enabled { AMQPScheme::AMQPS } else { AMQPScheme::AMQP };
        let heartbeat = u16::try_from(self.options.heartbeat_timeout_threshold.as_secs()).unwrap_or(u16::MAX);
        let login = if self.options.plain_login { SASLMechanism::Plain } else { SASLMechanism::AMQPlain };
        let query = AMQPQueryString {
            heartbeat: Some(heartbeat),
            auth_mechanism: Some(login),
            ..AMQPQueryString::default()
        };
        let userinfo = AMQPUserInfo { username: host.user.clone(), password: host.password.clone() };
        let authority = AMQPAuthority { userinfo, host: host.name.clone(), port: host.port };
        let uri = AMQPUri { scheme, authority, vhost: self.vhost.clone(), query };
        let properties = ConnectionProperties::default().with_connection_name(connection_name().into());
        let mut builder =
            DefaultConnectionBuilder::new().map_err(|error| self.unreachable(host, error.to_string()))?;
        builder = builder.with_uri(uri).with_properties(properties);
        if tls.enabled {
            builder = builder.with_tls_config(tls::load(tls)?);
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, builder.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.explain(host, &error)),
            Err(_) => Err(self.unreachable(host, format!("no answer within {CONNECT_TIMEOUT:?}"))),
        }
    }

    fn explain(&self, host: &Host, error: &lapin::Error) -> Error {
        // 403: login refused; 530: no such vhost or no right to it
        if let Some(403 | 530) = code(error) {
            return Error::AccessRefused {
                host: format!("{}:{}", host.name, host.port),
                user: host.user.clone(),
                vhost: self.vhost.clone(),
                cause: describe(error),
            };
        }
        self.unreachable(host, describe(error))
    }

    fn unreachable(&self, host: &Host, cause: String) -> Error {
        Error::Unreachable {
            hosts: self.names.clone(),
            cause: format!("{}:{}: {cause}", host.name, host.port),
        }
    }
}

/// The broker's reply code, if it was the broker that complained.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// lapin's error in words; the broker's own text where there is one.
pub(super) fn describe(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => format!("{} ({})", error.get_message(), error.get_id()),
        _ => error.to_string(),
    }
}

/// As oslo.messaging names its connections: program, process, a random id.
fn connection_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program =
        std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{program}:{}:{}", std::process::id(), uuid::Uuid::new_v4())
}

/// From 0 to 1.
#[allow(clippy::cast_precision_loss)] // 32 bits fit
pub(super) fn random() -> f64 {
    (uuid::Uuid::new_v4().as_u128() as u32) as f64 / f64::from(u32::MAX)
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).map(|index| (uuid::Uuid::new_v4(), index)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(url: &str) -> Result<Connector> {
        Connector::new(&TransportUrl::parse(url).unwrap(), RabbitOptions::default())
    }

    #[test]
    fn guest_is_used_only_when_nobody_is_named() {
        let hosts = connector("rabbit://h1,h2/v").unwrap().hosts;
        assert!(hosts.iter().all(|host| host.user == "guest" && host.password == "guest"));
        assert_eq!(connector("rabbit://u@h1/v").unwrap().hosts[0].password, "");
        let error = connector("rabbit://u:p@h1,h2/v").err().unwrap().to_string();
        assert!(error.contains("h2:5672") && error.contains("repeat them"), "{error}");
    }

    #[test]
    fn waits_grow_to_their_limit() {
        let connector = connector("rabbit://").unwrap();
        let mut rotation = connector.rotation();
        for (round, expected) in [(1, 1.0), (2, 3.0), (3, 5.0), (100, 30.0)] {
            rotation.round = round;
            let wait = connector.pause(&rotation).as_secs_f64();
            assert!((wait / expected - 1.0).abs() <= 0.11, "round {round}: {wait}");
        }
    }

    #[test]
    fn a_service_is_back_in_five_seconds() {
        let url = TransportUrl::parse("rabbit://").unwrap();
        let connector = Connector::new(&url, RabbitOptions::of_service()).unwrap();
        let mut rotation = connector.rotation();
        for round in 1..100 {
            rotation.round = round;
            assert!(connector.pause(&rotation).as_secs_f64() < 4.5, "round {round}");
        }
    }

    #[test]
    fn a_client_is_back_soon_after_a_short_absence() {
        let url = TransportUrl::parse("rabbit://").unwrap();
        let connector = Connector::new(&url, RabbitOptions::of_client()).unwrap();
        let mut rotation = connector.rotation();
        let mut away = 0.0;
        while away < 12.0 {
            rotation.round += 1;
            let wait = connector.pause(&rotation).as_secs_f64();
            assert!(wait < 4.0, "after {away} s: {wait}");
            away += wait;
        }
        rotation.round = 1000;
        assert!(connector.pause(&rotation).as_secs_f64() > 26.0, "seldom in the end");
    }

    #[test]
    fn every_host_gets_a_turn() {
        let mut order = shuffled(20);
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}
