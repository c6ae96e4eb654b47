//! A queue in memory: first in first out, consumers in turn, each with a limit of unsettled messages.

use super::incoming;
use crate::driver::Incoming;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::time::Instant;

#[derive(Clone)]
pub(super) struct Message {
    pub body: Vec<u8>,
    pub expires: Option<Instant>,
}

pub(super) struct Queue {
    pub name: String,
    pub auto_delete: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    /// The first is next to be served.
    consumers: VecDeque<Arc<Consumer>>,
}

pub(super) struct Consumer {
    sender: mpsc::UnboundedSender<Incoming>,
    /// 0: no limit.
    prefetch: u16,
    /// Delivered and not settled, in order.
    unsettled: Mutex<Unsettled>,
}

#[derive(Default)]
struct Unsettled {
    next_tag: u64,
    messages: BTreeMap<u64, Message>,
    /// Detached: settling comes too late.
    gone: bool,
}

impl Consumer {
    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        self.prefetch == 0 || self.unsettled().messages.len() < usize::from(self.prefetch)
    }
}

impl Queue {
    pub fn new(name: &str, auto_delete: bool) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), auto_delete, state: Mutex::default() })
    }

    pub fn push(self: &Arc<Self>, message: Message) {
        self.state().waiting.push_back(message);
        self.pump();
    }

    pub fn add_consumer(
        self: &Arc<Self>,
        sender: mpsc::UnboundedSender<Incoming>,
        prefetch: u16,
    ) -> Arc<Consumer> {
        let consumer = Arc::new(Consumer { sender, prefetch, unsettled: Mutex::default() });
        self.state().consumers.push_back(Arc::clone(&consumer));
        self.pump();
        consumer
    }

    /// No more deliveries to it; what it holds stays its own.
    pub fn cancel(&self, consumer: &Arc<Consumer>) {
        self.state().consumers.retain(|other| !Arc::ptr_eq(other, consumer));
    }

    /// Takes it away and puts back, in order, what it had not settled.
    pub fn remove_consumer(self: &Arc<Self>, consumer: &Arc<Consumer>) {
        self.cancel(consumer);
        let held = {
            let mut unsettled = consumer.unsettled();
            unsettled.gone = true;
            std::mem::take(&mut unsettled.messages)
        };
        {
            let mut state = self.state();
            for message in held.into_values().rev() {
                state.waiting.push_front(message);
            }
        }
        self.pump();
    }

    /// True when it was still this consumer's to settle.
    pub fn settle(self: &Arc<Self>, consumer: &Arc<Consumer>, tag: u64) -> bool {
        let settled = {
            let mut unsettled = consumer.unsettled();
            !unsettled.gone && unsettled.messages.remove(&tag).is_some()
        };
        self.pump();
        settled
    }

    pub fn is_unused(&self) -> bool {
        self.state().consumers.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands waiting messages to consumers with room, in turn.
    fn pump(self: &Arc<Self>) {
        let mut state = self.state();
        loop {
            while state
                .waiting
                .front()
                .is_some_and(|message| message.expires.is_some_and(|at| at <= Instant::now()))
            {
                state.waiting.pop_front();
            }
            if state.waiting.is_empty() {
                return;
            }
            let Some(turn) = state.consumers.iter().position(|consumer| consumer.has_room()) else { return };
            let Some(consumer) = state.consumers.remove(turn) else { return };
            let Some(message) = state.waiting.pop_front() else { return };
            let tag = {
                let mut unsettled = consumer.unsettled();
                unsettled.next_tag += 1;
                let tag = unsettled.next_tag;
                unsettled.messages.insert(tag, message.clone());
                tag
            };
            if consumer.sender.send(incoming(self, &consumer, tag, message.body.clone())).is_ok() {
                state.consumers.push_back(consumer);
            } else {
                consumer.unsettled().messages.remove(&tag); // its reader is gone: leave it out, serve another
                state.waiting.push_front(message);
            }
        }
    }
}
