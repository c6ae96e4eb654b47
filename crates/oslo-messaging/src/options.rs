//! The options of `[oslo_messaging_rabbit]`, as plain data.
//!
//! Field names are the option names; a service's configuration fills them in, and the query of `transport_url`
//! overrides them ([`RabbitOptions::set`]). Seconds are `Duration`s here.

use crate::{Compression, Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// TLS parts. It is switched on here and never by the URL's scheme. The broker's chain and host name are always
/// verified: by `ssl_ca_file`, or by the system's certificates without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// `ssl`
    pub enabled: bool,
    /// `ssl_ca_file`: PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `ssl_cert_file`: our certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// `ssl_key_file`: its key, PEM without a passphrase.
    pub key_file: Option<PathBuf>,
}

/// `[oslo_messaging_rabbit]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RabbitOptions {
    pub amqp_durable_queues: bool,
    pub amqp_auto_delete: bool,
    pub rabbit_quorum_queue: bool,
    pub rabbit_transient_quorum_queue: bool,
    /// 0: no limit.
    pub rabbit_quorum_delivery_limit: u32,
    /// 0: no limit.
    pub rabbit_quorum_max_memory_length: u32,
    /// 0: no limit.
    pub rabbit_quorum_max_memory_bytes: u32,
    /// Needs `rabbit_transient_quorum_queue`.
    pub rabbit_stream_fanout: bool,
    pub rabbit_ha_queues: bool,
    pub enable_cancel_on_failover: bool,
    /// Life of an unused fanout or reply queue; zero: for ever.
    pub rabbit_transient_queues_ttl: Duration,
    /// Messages a server holds unacknowledged; 0: as many as it works on at a time.
    pub rabbit_qos_prefetch_count: u16,
    /// 0 s: the broker's own interval (the AMQP library cannot switch heartbeats off).
    pub heartbeat_timeout_threshold: Duration,
    /// First wait between two rounds of connection attempts.
    pub rabbit_retry_interval: Duration,
    /// What is added to that wait after each round.
    pub rabbit_retry_backoff: Duration,
    /// The longest such wait.
    pub rabbit_interval_max: Duration,
    /// Wait after a lost connection before the first attempt.
    pub kombu_reconnect_delay: Duration,
    /// A random time up to this is added to it, so that not all clients come at once.
    pub kombu_reconnect_splay: Duration,
    /// How long a reply is tried when the caller's reply queue is missing.
    pub kombu_missing_consumer_retry_timeout: Duration,
    /// `kombu_failover_strategy = shuffle`: a new random order for each round instead of one at the start.
    pub shuffle_each_round: bool,
    /// `kombu_compression`: `gzip` or `bzip2`.
    pub kombu_compression: Option<Compression>,
    /// `rabbit_login_method = PLAIN` instead of AMQPLAIN.
    pub plain_login: bool,
    pub tls: TlsOptions,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self {
            amqp_durable_queues: false,
            amqp_auto_delete: false,
            rabbit_quorum_queue: false,
            rabbit_transient_quorum_queue: false,
            rabbit_quorum_delivery_limit: 0,
            rabbit_quorum_max_memory_length: 0,
            rabbit_quorum_max_memory_bytes: 0,
            rabbit_stream_fanout: false,
            rabbit_ha_queues: false,
            enable_cancel_on_failover: false,
            rabbit_transient_queues_ttl: Duration::from_secs(1800),
            rabbit_qos_prefetch_count: 0,
            heartbeat_timeout_threshold: Duration::from_secs(60),
            rabbit_retry_interval: Duration::from_secs(1),
            rabbit_retry_backoff: Duration::from_secs(2),
            rabbit_interval_max: Duration::from_secs(30),
            kombu_reconnect_delay: Duration::from_secs(1),
            kombu_reconnect_splay: Duration::ZERO,
            kombu_missing_consumer_retry_timeout: Duration::from_secs(60),
            shuffle_each_round: false,
            kombu_compression: None,
            plain_login: false,
            tls: TlsOptions::default(),
        }
    }
}

/// Options that oslo.messaging has and that mean nothing here: accepted, without effect.
const WITHOUT_EFFECT: &[&str] = &[
    "heartbeat_rate",
    "heartbeat_in_pthread",
    "direct_mandatory_flag",
    "rpc_conn_pool_size",
    "conn_pool_min_size",
    "conn_pool_ttl",
    "ssl_version",
    "ssl_enforce_fips_mode",
    "hostname",
    "processname",
    "rabbit_max_retries",
];

impl RabbitOptions {
    /// The defaults of a service that others wait for: it looks for its broker every few seconds however long that was away.
    /// Clients, of which there may be thousands, had better not.
    pub fn of_service() -> Self {
        Self { rabbit_interval_max: Duration::from_secs(4), ..Self::default() }
    }

    /// The defaults of a client, of which there may be thousands: after a short absence of the broker it is back within seconds,
    /// and the longer that lasts the more seldom it looks.
    pub fn of_client() -> Self {
        Self { rabbit_retry_backoff: Duration::from_millis(250), ..Self::default() }
    }

    /// Sets an option by its name in the configuration file.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an unknown name or a value of another type.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let refuse = |reason: String| Error::InvalidOption { name: name.to_owned(), reason };
        let boolean = || boolean(value).ok_or_else(|| refuse(format!("{value:?} is neither true nor false")));
        let seconds = || seconds(value).ok_or_else(|| refuse(format!("{value:?} is no number of seconds")));
        let number = || {
            value.parse::<u32>().map_err(|_| refuse(format!("{value:?} is no number from 0 to 4294967295")))
        };
        let file = || (!value.is_empty()).then(|| PathBuf::from(value));
        match name {
            "amqp_durable_queues" | "rabbit_durable_queues" => self.amqp_durable_queues = boolean()?,
            "amqp_auto_delete" => self.amqp_auto_delete = boolean()?,
            "rabbit_quorum_queue" => self.rabbit_quorum_queue = boolean()?,
            "rabbit_transient_quorum_queue" => self.rabbit_transient_quorum_queue = boolean()?,
            "rabbit_quorum_delivery_limit" => self.rabbit_quorum_delivery_limit = number()?,
            "rabbit_quorum_max_memory_length" | "rabbit_quroum_max_memory_length" => {
                self.rabbit_quorum_max_memory_length = number()?;
            }
            "rabbit_quorum_max_memory_bytes" | "rabbit_quroum_max_memory_bytes" => {
                self.rabbit_quorum_max_memory_bytes = number()?;
            }
            "rabbit_stream_fanout" => self.rabbit_stream_fanout = boolean()?,
            "rabbit_ha_queues" => self.rabbit_ha_queues = boolean()?,
            "enable_cancel_on_failover" => self.enable_cancel_on_failover = boolean()?,
            "rabbit_transient_queues_ttl" => self.rabbit_transient_queues_ttl = seconds()?,
            "rabbit_qos_prefetch_count" => {
                self.rabbit_qos_prefetch_count =
                    value.parse().map_err(|_| refuse(format!("{value:?} is no number from 0 to 65535")))?;
            }
            "heartbeat_timeout_threshold" => self.heartbeat_timeout_threshold = seconds()?,
            "rabbit_retry_interval" => self.rabbit_retry_interval = seconds()?,
            "rabbit_retry_backoff" => self.rabbit_retry_backoff = seconds()?,
            "rabbit_interval_max" => self.rabbit_interval_max = seconds()?,
            "kombu_reconnect_delay" => self.kombu_reconnect_delay = seconds()?,
            "kombu_reconnect_splay" => self.kombu_reconnect_splay = seconds()?,
            "kombu_missing_consumer_retry_timeout" | "kombu_reconnect_timeout" => {
                self.kombu_missing_consumer_retry_timeout = seconds()?;
            }
            "kombu_failover_strategy" => {
                self.shuffle_each_round = match value {
                    "round-robin" => false,
                    "shuffle" => true,
                    other => return Err(refuse(format!("{other:?} is neither round-robin nor shuffle"))),
                }
            }
            "kombu_compression" => self.kombu_compression = compression(value).map_err(refuse)?,
            "rabbit_login_method" => {
                self.plain_login = match value {
                    "PLAIN" => true,
                    "AMQPLAIN" => false,
                    other => return Err(refuse(format!("{other:?} is neither AMQPLAIN nor PLAIN"))),
                }
            }
            "ssl" => self.tls.enabled = boolean()?,
            "ssl_ca_file" => self.tls.ca_file = file(),
            "ssl_cert_file" => self.tls.cert_file = file(),
            "ssl_key_file" => self.tls.key_file = file(),
            "use_queue_manager" if boolean()? => return Err(refuse("it is not supported".to_owned())),
            "use_queue_manager" => {}
            inert if WITHOUT_EFFECT.contains(&inert) => {
                tracing::debug!(option = name, "option has no effect")
            }
            _ => return Err(refuse("there is no such option".to_owned())),
        }
        Ok(())
    }

    /// Refuses combinations that cannot work.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn check(&self) -> Result<()> {
        let refuse =
            |name: &str, reason: &str| Err(Error::InvalidOption { name: name.into(), reason: reason.into() });
        if self.rabbit_ha_queues && (self.rabbit_quorum_queue || self.rabbit_transient_quorum_queue) {
            return refuse("rabbit_ha_queues", "it cannot be used together with quorum queues");
        }
        if self.rabbit_stream_fanout && !self.rabbit_transient_quorum_queue {
            return refuse("rabbit_stream_fanout", "it needs rabbit_transient_quorum_queue");
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return refuse("ssl_cert_file", "certificate and key (ssl_key_file) must be given together");
        }
        if self.heartbeat_timeout_threshold > Duration::from_secs(u64::from(u16::MAX)) {
            return refuse("heartbeat_timeout_threshold", "it cannot be more than 65535 seconds");
        }
        if self.rabbit_transient_queues_ttl > Duration::from_millis(i32::MAX as u64) {
            return refuse("rabbit_transient_queues_ttl", "it cannot be more than 2147483 seconds");
        }
        Ok(())
    }
}

fn compression(value: &str) -> Result<Option<Compression>, String> {
    match value {
        "" => Ok(None),
        "gzip" => Ok(Some(Compression::Gzip)),
        "bzip2" | "bz2" => Ok(Some(Compression::Bzip2)),
        other => Err(format!("{other:?} is neither gzip nor bzip2")),
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

fn seconds(value: &str) -> Option<Duration> {
    value.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        let mut options = RabbitOptions::default();
        options.set("rabbit_quorum_queue", "True").unwrap();
        options.set("kombu_reconnect_delay", "0.5").unwrap();
        options.set("ssl_ca_file", "/etc/ca.pem").unwrap();
        assert!(options.rabbit_quorum_queue);
        assert_eq!(options.kombu_reconnect_delay, Duration::from_millis(500));
        for (name, value) in [
            ("ssl", "maybe"),
            ("nonsense", "1"),
            ("rabbit_qos_prefetch_count", "-1"),
            ("heartbeat_timeout_threshold", "inf"),
            ("use_queue_manager", "true"),
            ("kombu_compression", "lzma"),
        ] {
            let error = options.set(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn combinations_are_checked() {
        let ha = RabbitOptions { rabbit_ha_queues: true, rabbit_quorum_queue: true, ..Default::default() };
        let stream = RabbitOptions { rabbit_stream_fanout: true, ..Default::default() };
        assert!(ha.check().is_err() && stream.check().is_err() && RabbitOptions::default().check().is_ok());
    }
}
