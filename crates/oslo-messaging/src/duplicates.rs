//! Tells repeated requests by their `_unique_id`.
//!
//! A repeat of a request that is being worked on means that its first delivery was lost with a connection: the
//! newer receipt takes the place of the older one, so that the end of the work settles the delivery that counts.

use crate::driver::Receipt;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

type BoxReceipt = Box<dyn Receipt>;

pub(crate) struct Duplicates {
    remember: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Being worked on; the receipt is there when it is to be settled after the work.
    running: HashMap<String, Option<BoxReceipt>>,
    done: HashSet<String>,
    /// The done ones, oldest first.
    order: VecDeque<String>,
}

pub(crate) enum Seen {
    /// Never seen: it was entered as running, its receipt is given back.
    New(BoxReceipt),
    /// Seen: settle this receipt and do nothing else.
    Before(BoxReceipt),
    /// Being worked on; its receipt was kept for the end of that work.
    Running,
}

impl Duplicates {
    pub fn new(remember: usize) -> Self {
        Self { remember, state: Mutex::default() }
    }

    pub fn meet(&self, id: &str, receipt: BoxReceipt) -> Seen {
        let mut state = self.state();
        if state.done.contains(id) {
            return Seen::Before(receipt);
        }
        match state.running.get_mut(id) {
            Some(kept @ Some(_)) => {
                *kept = Some(receipt);
                Seen::Running
            }
            Some(None) => Seen::Before(receipt),
            None => {
                state.running.insert(id.to_owned(), None);
                Seen::New(receipt)
            }
        }
    }

    /// Keeps the receipt of a running request for its end.
    pub fn keep(&self, id: &str, receipt: BoxReceipt) {
        self.state().running.insert(id.to_owned(), Some(receipt));
    }

    /// It could not be taken and comes again.
    pub fn forget(&self, id: &str) {
        self.state().running.remove(id);
    }

    /// The work has ended. What was kept is to be settled now.
    pub fn finish(&self, id: &str) -> Option<BoxReceipt> {
        let mut state = self.state();
        let kept = state.running.remove(id).flatten();
        if state.done.insert(id.to_owned()) {
            state.order.push_back(id.to_owned());
        }
        while state.order.len() > self.remember {
            if let Some(oldest) = state.order.pop_front() {
                state.done.remove(&oldest);
            }
        }
        kept
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Numbered(bool);

    #[async_trait]
    impl Receipt for Numbered {
        async fn accept(&self) -> bool {
            self.0
        }
        async fn reject(&self) {}
    }

    fn receipt(valid: bool) -> BoxReceipt {
        Box::new(Numbered(valid))
    }

    #[tokio::test]
    async fn the_newest_receipt_counts() {
        let seen = Duplicates::new(2);
        let Seen::New(first) = seen.meet("a", receipt(false)) else { panic!("new") };
        seen.keep("a", first);
        assert!(matches!(seen.meet("a", receipt(true)), Seen::Running));
        assert!(seen.finish("a").unwrap().accept().await);
        assert!(matches!(seen.meet("a", receipt(true)), Seen::Before(_)));
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let seen = Duplicates::new(2);
        for id in ["a", "b", "c"] {
            assert!(matches!(seen.meet(id, receipt(true)), Seen::New(_)));
            assert!(seen.finish(id).is_none());
        }
        assert!(matches!(seen.meet("c", receipt(true)), Seen::Before(_)));
        assert!(matches!(seen.meet("b", receipt(true)), Seen::Before(_)));
        assert!(matches!(seen.meet("a", receipt(true)), Seen::New(_)));
        seen.forget("a");
        assert!(matches!(seen.meet("a", receipt(true)), Seen::New(_)));
    }
}
