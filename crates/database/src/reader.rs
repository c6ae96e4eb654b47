//! One thread for what takes much memory for a moment: its allocator gives it to the next such read. In the threads of the callers each
//! would keep as much as its largest read took.

use std::sync::mpsc::{self, SendError, Sender};
use std::sync::{Mutex, PoisonError};

type Order = Box<dyn FnOnce() + Send>;

/// It starts with the first order, and ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    orders: Mutex<Option<Sender<Order>>>,
}

impl Reader {
    /// What `work` gives, done there; none when there is no thread to be had, or it panicked.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (tell, told) = mpsc::channel();
        self.send(Box::new(move || {
            // Whoever asked waits below.
            let _ = tell.send(work());
        }))?;
        told.recv().ok()
    }

    fn send(&self, order: Order) -> Option<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let order = match orders.as_ref() {
            None => order,
            Some(thread) => match thread.send(order) {
                Ok(()) => return Some(()),
                // It panicked.
                Err(SendError(order)) => order,
            },
        };
        let (thread, received) = mpsc::channel::<Order>();
        let work = move || received.into_iter().for_each(|order| order());
        std::thread::Builder::new().name("large pages".to_owned()).spawn(work).ok()?;
        thread.send(order).ok()?;
        *orders = Some(thread);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::thread::current;

    #[test]
    fn all_is_done_in_one_thread_and_in_another_one_after_a_panic() {
        let reader = Reader::default();
        let first = reader.run(|| current().id()).unwrap();
        assert_ne!(first, current().id());
        assert_eq!(reader.run(|| current().id()), Some(first));
        assert_eq!(reader.run(|| -> u8 { panic!("as a test wants it") }), None);
        // The thread may still be on its way out.
        let next = std::iter::repeat_with(|| reader.run(|| current().id())).flatten().next().unwrap();
        assert_ne!(next, first);
    }
}
