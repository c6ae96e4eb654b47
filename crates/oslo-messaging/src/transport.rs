//! The way to the other processes: one per process, cheap to clone, shared by clients, servers and notifiers.

use crate::driver::Driver;
use crate::memory::MemoryDriver;
use crate::rabbit::RabbitDriver;
use crate::replies::Replies;
use crate::{Error, RabbitOptions, Result, Target, TransportUrl};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// The control exchange when nothing else is said (`[DEFAULT] control_exchange`).
const DEFAULT_EXCHANGE: &str = "openstack";

/// A transport; clones share connections and the reply queue.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
    control_exchange: String,
}

struct Inner {
    driver: Arc<dyn Driver>,
    replies: Replies,
    url: TransportUrl,
}

impl Transport {
    /// Makes a transport for `rabbit://…` or `fake://…`. Options in the URL's query override `options`.
    ///
    /// Returns at once: connections are opened in the background (from now on when called in a tokio runtime, else
    /// at the first use) and kept up until [`Self::close`] or the last clone is dropped.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] or [`Error::InvalidOption`].
    pub fn connect(url: &str, mut options: RabbitOptions) -> Result<Self> {
        let url = TransportUrl::parse(url)?;
        for (name, value) in &url.query {
            options.set(name, value)?;
        }
        options.check()?;
        let driver: Arc<dyn Driver> = match url.driver.as_str() {
            "rabbit" | "kombu" => Arc::new(RabbitDriver::new(&url, options)?),
            "fake" | "kombu+memory" => Arc::new(MemoryDriver::new(&url, options)),
            other => {
                let reason = format!("there is no driver {other:?}, only rabbit and fake");
                return Err(Error::InvalidUrl { url: url.redacted(), reason });
            }
        };
        driver.wake();
        let replies = Replies::new(Arc::clone(&driver));
        let inner = Arc::new(Inner { driver, replies, url });
        Ok(Self { inner, control_exchange: DEFAULT_EXCHANGE.to_owned() })
    }

    /// Sets the exchange of targets that name none (`[DEFAULT] control_exchange`).
    #[must_use]
    pub fn with_control_exchange(mut self, exchange: impl Into<String>) -> Self {
        self.control_exchange = exchange.into();
        self
    }

    /// True while the broker is reachable: every connection that ought to be up is. In process: until closed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.inner.driver.watch().borrow()
    }

    /// Waits until [`Self::is_connected`]; put a timeout around it.
    pub async fn connected(&self) {
        self.inner.driver.wake();
        let mut watch = self.inner.driver.watch();
        let _ = watch.wait_for(|connected| *connected).await; // the sender lives as long as the driver
    }

    /// Follows [`Self::is_connected`].
    #[must_use]
    pub fn watch_connection(&self) -> watch::Receiver<bool> {
        self.inner.driver.watch()
    }

    /// The URL it was made from; shows no passwords when printed.
    #[must_use]
    pub fn url(&self) -> &TransportUrl {
        &self.inner.url
    }

    /// Deletes the reply queue and disconnects. Stop servers first. Calls under way fail with [`Error::Closed`].
    pub async fn close(&self) {
        self.inner.replies.close().await;
        self.inner.driver.close().await;
    }

    pub(crate) fn driver(&self) -> &Arc<dyn Driver> {
        &self.inner.driver
    }

    pub(crate) fn replies(&self) -> &Replies {
        &self.inner.replies
    }

    pub(crate) fn exchange(&self, target: &Target) -> String {
        target.exchange.clone().unwrap_or_else(|| self.control_exchange.clone())
    }

    pub(crate) fn control_exchange(&self) -> &str {
        &self.control_exchange
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("url", &self.inner.url)
            .field("connected", &self.is_connected())
            .finish()
    }
}
