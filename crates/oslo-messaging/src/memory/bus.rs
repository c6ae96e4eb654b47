//! Exchanges, bindings and queues of one in-process bus, and the registry of all buses.

use super::queue::{Message, Queue};
use crate::driver::Outgoing;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::time::Instant;

static BUSES: OnceLock<Mutex<HashMap<String, Weak<Bus>>>> = OnceLock::new();

#[derive(Default)]
pub(super) struct Bus {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: HashMap<String, Arc<Queue>>,
    /// (exchange, key) to queue names
    topics: HashMap<(String, String), Vec<String>>,
    /// topic to queue names
    fanouts: HashMap<String, Vec<String>>,
}

impl Bus {
    /// The bus of this name; made when no transport holds one.
    pub fn named(name: &str) -> Arc<Self> {
        let mut buses = BUSES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        buses.retain(|_, bus| bus.strong_count() > 0);
        if let Some(bus) = buses.get(name).and_then(Weak::upgrade) {
            return bus;
        }
        let bus = Arc::new(Self::default());
        buses.insert(name.to_owned(), Arc::downgrade(&bus));
        bus
    }

    pub fn topic_queue(&self, exchange: &str, name: &str, auto_delete: bool) -> Arc<Queue> {
        let mut state = self.state();
        bind(state.topics.entry((exchange.to_owned(), name.to_owned())).or_default(), name);
        state.queue(name, auto_delete)
    }

    pub fn fanout_queue(&self, topic: &str, name: &str) -> Arc<Queue> {
        let mut state = self.state();
        bind(state.fanouts.entry(topic.to_owned()).or_default(), name);
        state.queue(name, false)
    }

    pub fn plain_queue(&self, name: &str) -> Arc<Queue> {
        self.state().queue(name, false)
    }

    /// Removes a queue and its bindings; `careful`: only when nothing waits in it and nobody consumes.
    pub fn delete_queue(&self, name: &str, careful: bool) {
        let mut state = self.state();
        if careful && state.queues.get(name).is_some_and(|queue| !queue.is_empty() || !queue.is_unused()) {
            return;
        }
        state.queues.remove(name);
        state.topics.retain(|_, queues| keep_others(queues, name));
        state.fanouts.retain(|_, queues| keep_others(queues, name));
    }

    /// Removes a queue that deletes itself when its last consumer goes.
    pub fn collect(&self, queue: &Arc<Queue>) {
        if queue.auto_delete && queue.is_unused() {
            self.delete_queue(&queue.name, false);
        }
    }

    /// True when there was a queue for it.
    pub fn send_topic(&self, exchange: &str, key: &str, message: &Outgoing) -> bool {
        let queues = {
            let state = self.state();
            state.find(state.topics.get(&(exchange.to_owned(), key.to_owned())))
        };
        deliver(&queues, message)
    }

    pub fn send_fanout(&self, topic: &str, message: &Outgoing) -> bool {
        let queues = {
            let state = self.state();
            state.find(state.fanouts.get(topic))
        };
        deliver(&queues, message)
    }

    pub fn send_queue(&self, name: &str, message: &Outgoing) -> bool {
        let queues: Vec<_> = self.state().queues.get(name).cloned().into_iter().collect();
        deliver(&queues, message)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, name: &str, auto_delete: bool) -> Arc<Queue> {
        let make = || Queue::new(name, auto_delete);
        Arc::clone(self.queues.entry(name.to_owned()).or_insert_with(make))
    }

    fn find(&self, names: Option<&Vec<String>>) -> Vec<Arc<Queue>> {
        names.into_iter().flatten().filter_map(|name| self.queues.get(name).cloned()).collect()
    }
}

fn bind(queues: &mut Vec<String>, name: &str) {
    if !queues.iter().any(|known| known == name) {
        queues.push(name.to_owned());
    }
}

fn keep_others(queues: &mut Vec<String>, name: &str) -> bool {
    queues.retain(|known| known != name);
    !queues.is_empty()
}

fn deliver(queues: &[Arc<Queue>], message: &Outgoing) -> bool {
    let expires = message.ttl.map(|ttl| Instant::now() + ttl);
    for queue in queues {
        queue.push(Message { body: message.body.clone(), expires });
    }
    !queues.is_empty()
}
