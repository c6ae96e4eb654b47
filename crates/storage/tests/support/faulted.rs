//! A store that is reached through a proxy which misbehaves.

use super::proxy::Proxy;
use super::{QuickClock, quick_retry};
use freezer_storage::suite::{SuiteStore, assert_same, name, read};
use freezer_storage::*;
use std::sync::Arc;

pub struct Faulted<F> {
    /// The same place, reached straight.
    pub fixture: F,
    pub proxy: Proxy,
    pub store: Arc<dyn Store>,
    pub retry: Retry,
    pub clock: Arc<QuickClock>,
    config: StoreConfig,
}

impl<F: SuiteStore> Faulted<F> {
    /// `real` is the service's address; `config` makes the store of the one that leads through the proxy.
    pub async fn through(
        fixture: F,
        real: &str,
        limits: Limits,
        config: impl FnOnce(String) -> StoreConfig,
    ) -> Self {
        let url = reqwest::Url::parse(real).unwrap();
        let upstream = format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap());
        let proxy = Proxy::http(upstream).await;
        let config = config(format!("http://127.0.0.1:{}{}", proxy.port, url.path().trim_end_matches('/')));
        let (retry, clock) = quick_retry();
        let store = open_with(config.clone(), limits, retry.clone()).unwrap();
        Self { fixture, proxy, store, retry, clock, config }
    }

    /// The same, with nobody who tries again.
    pub fn once(&self) -> Arc<dyn Store> {
        let policy = RetryPolicy { tries: 1, ..RetryPolicy::default() };
        let retry = Retry::new(policy, self.clock.clone());
        open_with(self.config.clone(), Limits::none(), retry).unwrap()
    }

    pub async fn arrived(&self, object: &str, body: &[u8]) {
        let found = read(self.fixture.store().as_ref(), &name(object), None).await.unwrap();
        assert_same(&found, body, "what arrived");
    }

    /// Everything that was ordered happened, and so many repeats were made.
    pub async fn done(self, repeats: u64) {
        assert_eq!(self.proxy.unused_rules(), 0, "a fault did not come to pass");
        assert_eq!(self.retry.repeated(), repeats);
        self.fixture.clean().await;
    }
}
