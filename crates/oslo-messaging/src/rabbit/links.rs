//! Which of the driver's connections are up, for health checks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// All connections that ought to be up. Connected means: there is one at least, and all are.
#[derive(Clone)]
pub(super) struct Links(Arc<Shared>);

struct Shared {
    states: Mutex<(u64, HashMap<u64, bool>)>,
    connected: watch::Sender<bool>,
}

impl Default for Links {
    fn default() -> Self {
        Self(Arc::new(Shared { states: Mutex::default(), connected: watch::Sender::new(false) }))
    }
}

impl Links {
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.connected.subscribe()
    }

    /// A connection that ought to be up from now on, until the answer is dropped. It starts as down.
    pub fn add(&self) -> Link {
        let id = self.change(|(next, states)| {
            *next += 1;
            states.insert(*next, false);
            *next
        });
        Link { links: self.clone(), id }
    }

    fn change<T>(&self, change: impl FnOnce(&mut (u64, HashMap<u64, bool>)) -> T) -> T {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut states);
        let connected = !states.1.is_empty() && states.1.values().all(|up| *up);
        self.0.connected.send_if_modified(|known| std::mem::replace(known, connected) != connected);
        result
    }
}

pub(super) struct Link {
    links: Links,
    id: u64,
}

impl Link {
    pub fn set(&self, up: bool) {
        self.links.change(|(_, states)| states.insert(self.id, up));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.links.change(|(_, states)| states.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_means_all_of_at_least_one() {
        let links = Links::default();
        let watch = links.watch();
        assert!(!*watch.borrow());
        let (first, second) = (links.add(), links.add());
        first.set(true);
        assert!(!*watch.borrow());
        second.set(true);
        assert!(*watch.borrow());
        first.set(false);
        assert!(!*watch.borrow());
        drop(first);
        assert!(*watch.borrow());
        drop(second);
        assert!(!*watch.borrow());
    }
}
