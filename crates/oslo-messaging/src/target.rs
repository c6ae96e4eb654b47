//! Where a message goes, or what a server listens to.

/// Exchange, topic, server and the interface spoken there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// The control exchange; `None` means the transport's default (`openstack`).
    pub exchange: Option<String>,
    pub topic: Option<String>,
    /// One server of the topic; `None` means any of them.
    pub server: Option<String>,
    /// All servers of the topic.
    pub fanout: bool,
    pub namespace: Option<String>,
    /// Version of the interface, `major.minor`.
    pub version: Option<String>,
}

impl Target {
    /// A target for a topic; add the rest by the methods below.
    pub fn topic(topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..Self::default() }
    }

    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    #[must_use]
    pub fn fanout(mut self, fanout: bool) -> Self {
        self.fanout = fanout;
        self
    }

    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }
}
