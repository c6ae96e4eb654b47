//! Word from the conductors that an agent on the HTTPS link has orders: it wakes the requests that wait for them.
//!
//! A hint and nothing more. Orders are in the database; a request that is not woken looks for itself a little later.

use async_trait::async_trait;
use freezer_model::rpc::{API_TOPIC, EXCHANGE, Reporter, VERSION, WorkReady};
use freezer_model::{ClientId, ProjectId};
use oslo_messaging::{
    Context, Endpoint, EndpointTarget, RemoteFailure, RpcServer, ServerOptions, Target, Transport,
};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

type Key = (ProjectId, ClientId);

/// Who waits in this process. Clones share everything.
#[derive(Clone, Default)]
pub struct WorkSignals(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<HashMap<Key, Waiting>>,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    bell: Arc<Notify>,
    /// Requests that wait; the last one takes the entry along.
    count: usize,
}

/// A request's place among those that wait.
pub struct Place {
    signals: WorkSignals,
    key: Key,
    bell: Arc<Notify>,
}

impl WorkSignals {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wait_for(&self, agent: &Reporter) -> Place {
        let key = (agent.project_id.clone(), agent.client_id.clone());
        let mut waiting = self.waiting();
        let entry = waiting.entry(key.clone()).or_default();
        entry.count += 1;
        Place { signals: self.clone(), key, bell: entry.bell.clone() }
    }

    fn wake(&self, ready: WorkReady) {
        if let Some(entry) = self.waiting().get(&(ready.project_id, ready.client_id)) {
            entry.bell.notify_waiters();
        }
    }

    /// The service stops: nobody waits any longer.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        for entry in self.waiting().values() {
            entry.bell.notify_waiters();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::SeqCst)
    }

    /// Listens on the bus until the server it answers is dropped. Waits for a broker as long as it takes.
    pub async fn listen(&self, transport: &Transport) -> oslo_messaging::Result<RpcServer> {
        // All services of a host share the queue of this name, which nobody sends to: only fanouts are of use here.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "api" } else { host.trim() };
        let target = Target::topic(API_TOPIC).exchange(EXCHANGE).version(VERSION).server(host);
        RpcServer::start(transport, target, vec![Arc::new(self.clone())], ServerOptions::default()).await
    }
}

impl Place {
    /// Ready when the agent's name is called after this was called.
    pub fn called(&self) -> impl Future<Output = ()> + '_ {
        self.bell.notified()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.signals.waiting();
        if let Some(entry) = waiting.get_mut(&self.key) {
            entry.count -= 1;
            if entry.count == 0 {
                waiting.remove(&self.key);
            }
        }
    }
}

#[async_trait]
impl Endpoint for WorkSignals {
    fn target(&self) -> EndpointTarget {
        EndpointTarget::version(VERSION)
    }

    fn methods(&self) -> &[&str] {
        &["work_ready"]
    }

    async fn call(&self, _ctx: &Context, _method: &str, args: Value) -> Result<Value, RemoteFailure> {
        self.wake(serde_json::from_value(args).map_err(RemoteFailure::bad_arguments)?);
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn wakes_whom_it_names_and_forgets_who_left() {
        let signals = WorkSignals::default();
        let agent = |name: &str| Reporter { project_id: "p".into(), client_id: name.into() };
        let ready = |name: &str| WorkReady { project_id: "p".into(), client_id: name.into() };
        let (one, other) = (signals.wait_for(&agent("one")), signals.wait_for(&agent("other")));
        let again = signals.wait_for(&agent("one"));
        let (called, not_called) = (one.called(), other.called());
        signals.wake(ready("one"));
        called.await;
        tokio::select! {
            biased;
            () = not_called => unreachable!("the other one was called"),
            () = std::future::ready(()) => {}
        }
        drop(one);
        assert_eq!(signals.waiting().len(), 2);
        drop(again);
        assert_eq!(signals.waiting().len(), 1);
        let called = other.called();
        signals.close();
        called.await;
        assert!(signals.is_closed());
    }
}
