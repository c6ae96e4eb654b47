//! Insertions that come at the same time share a transaction.
//!
//! A transaction costs the database two round trips and a flush of its log, whatever is in it. So what comes while others
//! are being written waits for them, and is written with all that came meanwhile. Who comes alone waits for nobody.
//! What one caller gets is what he would have got alone: when one piece of work in a shared transaction is refused, all is
//! undone, and each is done by itself. Only for work that takes no locks others wait for, and may be run again.

use crate::error::ApiError;
use freezer_database::{Database, DbError, Tx};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use tokio::sync::oneshot;
use tracing::Span;

/// Threads that write, the same ones all the time: a pool's threads, each woken in its turn, do a third less. With two, one
/// transaction is worked out here while the database writes the other.
const WRITERS: usize = 2;
/// Pieces of work in one transaction: few enough that the first one waits for milliseconds.
const MOST: usize = 16;

type Work = Box<dyn FnMut(&mut Tx) -> Result<(), ApiError> + Send>;

struct Waiting {
    work: Work,
    answer: oneshot::Sender<Result<(), ApiError>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Nobody will come any more.
    is_closed: bool,
}

#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    comes: Condvar,
    /// Writers that are at the database.
    busy: AtomicUsize,
    /// Somebody waited in vain since a writer came back last.
    is_given_up: AtomicBool,
}

/// The queue in front of a database; clones share it. Its threads end with the last of them, when nobody waits any more.
#[derive(Clone)]
pub struct Together {
    door: Arc<Door>,
}

/// What callers hold of the queue.
struct Door {
    line: Arc<Line>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.line.lock().is_closed = true;
        self.line.comes.notify_all();
    }
}

/// Why a shared transaction was not committed.
enum Failed {
    /// Nothing was committed: one of the pieces of work failed.
    Work,
    /// Whether it was committed is not known.
    Database(DbError),
}

impl From<DbError> for Failed {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl Together {
    /// Starts the threads.
    pub fn new(db: &Database) -> std::io::Result<Self> {
        Self::with_writers(db, WRITERS)
    }

    /// With so many transactions at a time.
    pub fn with_writers(db: &Database, writers: usize) -> std::io::Result<Self> {
        let line = Arc::new(Line::default());
        for number in 0..writers {
            let (line, db) = (line.clone(), db.clone());
            let thread = thread::Builder::new().name(format!("insert-{number}"));
            thread.spawn(move || Writer { db, line }.serve())?;
        }
        Ok(Self { door: Arc::new(Door { line }) })
    }

    /// Runs `work` in a transaction, perhaps one that it shares, and answers when that is committed. It may be run several
    /// times; the last one counts.
    pub async fn write<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Tx) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let made = Arc::new(Mutex::new(None));
        let (to_fill, span) = (made.clone(), Span::current());
        let work: Work = Box::new(move |tx| {
            // A panic must not take the writer with it, nor those that share the transaction.
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| work(tx))));
            let value = outcome.unwrap_or_else(|_| Err(ApiError::internal("a database task panicked")))?;
            *to_fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        let (answer, answered) = oneshot::channel();
        self.door.line.lock().waiting.push_back(Waiting { work, answer });
        self.door.line.comes.notify_one();
        let lost = || ApiError::internal("a database task was cancelled: is the service shutting down?");
        answered.await.map_err(|_| lost())??;
        let value = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(lost)
    }

    /// The writers are at a database that does not answer: who has something to write does it without them.
    pub fn is_stuck(&self) -> bool {
        self.door.line.is_given_up.load(Ordering::Relaxed) && self.door.line.busy.load(Ordering::Relaxed) > 0
    }

    /// Somebody waits no longer. What he wanted written is forgotten, unless a writer has it already.
    pub fn give_up(&self) {
        self.door.line.is_given_up.store(true, Ordering::Relaxed);
        let mut queue = self.door.line.lock();
        while queue.waiting.front().is_some_and(|first| first.answer.is_closed()) {
            queue.waiting.pop_front();
        }
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, when somebody waits. None when nobody will.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.lock();
        loop {
            let mut batch = Vec::new();
            while batch.len() < MOST
                && let Some(one) = queue.waiting.pop_front()
            {
                // Who was told that it failed must not find it written later.
                if !one.answer.is_closed() {
                    batch.push(one);
                }
            }
            if !batch.is_empty() || queue.is_closed {
                return (!batch.is_empty()).then_some(batch);
            }
            queue = self.comes.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One thread.
struct Writer {
    db: Database,
    line: Arc<Line>,
}

impl Writer {
    fn serve(&self) {
        while let Some(batch) = self.line.next() {
            self.line.busy.fetch_add(1, Ordering::Relaxed);
            self.write(batch);
            self.line.busy.fetch_sub(1, Ordering::Relaxed);
            self.line.is_given_up.store(false, Ordering::Relaxed);
        }
    }

    fn write(&self, mut batch: Vec<Waiting>) {
        match batch.as_mut_slice() {
            [_] => self.write_each(batch),
            several => match self.write_all(several) {
                Ok(()) => batch.into_iter().for_each(|done| done.answer(Ok(()))),
                Err(Failed::Work) => self.write_each(batch),
                Err(Failed::Database(error)) => {
                    let reason = error.to_string();
                    for lost in batch {
                        lost.answer(Err(DbError::Unavailable { reason: reason.clone() }.into()));
                    }
                }
            },
        }
    }

    fn write_all(&self, batch: &mut [Waiting]) -> Result<(), Failed> {
        self.db
            .transaction(|tx| batch.iter_mut().try_for_each(|one| (one.work)(tx)).map_err(|_| Failed::Work))
    }

    fn write_each(&self, batch: Vec<Waiting>) {
        for mut one in batch {
            let outcome = self.db.transaction(&mut one.work);
            one.answer(outcome);
        }
    }
}

impl Waiting {
    fn answer(self, outcome: Result<(), ApiError>) {
        // Who has hung up needs no answer.
        let _ = self.answer.send(outcome);
    }
}
