//! The options of oslo.messaging in a configuration file, and a transport made from them.

use crate::{Error, NotifierDriver, NotifierOptions, RabbitOptions, Result, Transport};
use oslo_config::{Config, Opt, OptGroup};

const NOTIFICATIONS: &str = "oslo_messaging_notifications";

/// `[DEFAULT] transport_url` and what of `[oslo_messaging_rabbit]` has an effect here. The defaults are
/// those of [`RabbitOptions::default`]: an option that is not set is not passed on.
pub fn options() -> Vec<OptGroup> {
    let transport = Opt::str("transport_url")
        .default("rabbit://")
        .secret()
        .help("Message bus: rabbit://user:password@host:port/vhost (several hosts separated by commas, credentials repeated), or fake:// inside one process.");
    vec![OptGroup::new("DEFAULT", vec![transport]), rabbit_options()]
}

/// `[oslo_messaging_rabbit]` alone, for programs with a `transport_url` option of their own.
pub fn rabbit_options() -> OptGroup {
    let rows: [(&str, &str); 26] = [
        ("amqp_durable_queues", "Durable exchanges and queues (default false)."),
        ("amqp_auto_delete", "Queues go with their last consumer (default false)."),
        ("rabbit_quorum_queue", "Quorum queues for topics (default false)."),
        ("rabbit_transient_quorum_queue", "Quorum queues for fanout and replies (default false)."),
        ("rabbit_quorum_delivery_limit", "Deliveries of one message of a quorum queue; 0 is no limit."),
        ("rabbit_quorum_max_memory_length", "Messages of a quorum queue in memory; 0 is no limit."),
        ("rabbit_quorum_max_memory_bytes", "Bytes of a quorum queue in memory; 0 is no limit."),
        ("rabbit_stream_fanout", "One stream for all fanouts (default false)."),
        ("rabbit_ha_queues", "Mirrored queues of old RabbitMQ (default false)."),
        ("enable_cancel_on_failover", "Be told when a mirrored queue moves (default false)."),
        ("rabbit_transient_queues_ttl", "Seconds an unused fanout or reply queue stays (default 1800)."),
        ("rabbit_qos_prefetch_count", "Messages held unacknowledged; 0 is as many as are worked on."),
        (
            "heartbeat_timeout_threshold",
            "Seconds without a sign of life after which a connection is dead; 0 is the broker's own interval (default 60).",
        ),
        ("rabbit_retry_interval", "Seconds before the second round of connecting (default 1)."),
        ("rabbit_retry_backoff", "Seconds added to that after each round (default 2; 0.25 for agents)."),
        (
            "rabbit_interval_max",
            "Longest pause between two rounds in seconds (default 30; 4 for services that others wait for).",
        ),
        ("kombu_reconnect_delay", "Seconds after a loss before connecting again (default 1)."),
        ("kombu_reconnect_splay", "Random seconds added to that (default 0)."),
        (
            "kombu_missing_consumer_retry_timeout",
            "Seconds a reply is tried while its queue is missing (default 60).",
        ),
        ("kombu_failover_strategy", "round-robin or shuffle."),
        ("kombu_compression", "gzip or bzip2 (default none)."),
        ("rabbit_login_method", "AMQPLAIN or PLAIN."),
        ("ssl", "Connect with TLS (default false)."),
        ("ssl_ca_file", "Certificates that are trusted."),
        ("ssl_cert_file", "Certificate of this client."),
        ("ssl_key_file", "Its key."),
    ];
    OptGroup::new(
        "oslo_messaging_rabbit",
        rows.into_iter().map(|(name, help)| Opt::str(name).help(help)).collect(),
    )
}

/// `[oslo_messaging_notifications]` of a program that sends events about `what`.
pub fn notification_options(what: &str) -> OptGroup {
    let opts = vec![
        Opt::list("driver").default("").help(format!(
            "How events about {what} are sent: messagingv2, messaging, or noop (the default)."
        )),
        Opt::list("topics")
            .default("notifications")
            .help("Topics that events are sent to. Only name ones that somebody reads."),
        Opt::str("transport_url")
            .secret()
            .sample_default("rabbit://user:password@host:5672/")
            .help("The bus that events are sent on; without it the one of [DEFAULT] transport_url."),
    ];
    OptGroup::new(NOTIFICATIONS, opts).help("Events for other services (Ceilometer, billing, …).")
}

/// What `[oslo_messaging_notifications]` says: of several drivers the first one that sends.
///
/// # Errors
/// [`Error::InvalidOption`] for a driver that does not exist.
pub fn notifier_options(config: &Config) -> Result<NotifierOptions> {
    let names = config.list(NOTIFICATIONS, "driver");
    let drivers = names.iter().map(|name| name.parse()).collect::<Result<Vec<NotifierDriver>>>()?;
    let driver = drivers.into_iter().find(|driver| *driver != NotifierDriver::Noop).unwrap_or_default();
    Ok(NotifierOptions { driver, topics: config.list(NOTIFICATIONS, "topics"), ..NotifierOptions::default() })
}

/// A transport for events alone, under the same options; `None` when they go the way of everything else.
///
/// # Errors
/// As [`connect`].
pub fn connect_for_notifications(config: &Config) -> Result<Option<Transport>> {
    let url = config.opt_str(NOTIFICATIONS, "transport_url").filter(|url| !url.is_empty());
    url.map(|url| connect_to(config, url, RabbitOptions::default())).transpose()
}

/// A transport for `[DEFAULT] transport_url` under the options of `[oslo_messaging_rabbit]`, with the pauses of a client.
///
/// # Errors
/// [`Error::InvalidUrl`] and [`Error::InvalidOption`], with the option's name.
pub fn connect(config: &Config) -> Result<Transport> {
    connect_to(config, config.str("DEFAULT", "transport_url"), RabbitOptions::of_client())
}

/// As [`connect`], for a service that others wait for: it looks for its broker every few seconds however long that was away, where
/// a client lets half a minute pass in the end.
///
/// # Errors
/// As [`connect`].
pub fn connect_service(config: &Config) -> Result<Transport> {
    connect_to(config, config.str("DEFAULT", "transport_url"), RabbitOptions::of_service())
}

fn connect_to(config: &Config, url: &str, mut rabbit: RabbitOptions) -> Result<Transport> {
    for (name, value) in config.section_raw("oslo_messaging_rabbit").unwrap_or_default() {
        match rabbit.set(&name, &value) {
            // An option this crate does not know was reported as unknown, with file and line, at loading.
            Err(Error::InvalidOption { reason, .. }) if reason == "there is no such option" => {}
            other => other?,
        }
    }
    Transport::connect(url, rabbit)
}
