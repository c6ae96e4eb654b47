//! Room for large bodies: what is held of all of them together is bounded, however many callers send at once.
//!
//! A small body needs none. A larger one is read on when there is room for all of it: for as much as it says that it is, else for as much
//! as one may be. Until then its sender waits, as on a slow network. One project has half of the room at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a body may have without room: nearly all are smaller. Five hundred senders hold 32 MiB in this way.
pub const SMALL_BYTES: usize = 64 << 10;

/// Of all bodies, and of one project's. A body as a tree of values is many times as large as its text, so this is not much.
const ALL_BYTES: usize = 32 << 20;
const OF_PROJECT_BYTES: usize = ALL_BYTES / 2;

/// What permits are counted in.
const UNIT_BYTES: usize = 1 << 10;

/// Clones share it.
#[derive(Clone)]
pub struct Room {
    all: Arc<Semaphore>,
    /// Of projects that have a body there, or wait for room.
    of_projects: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Default for Room {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL_BYTES / UNIT_BYTES)), of_projects: Arc::default() }
    }
}

/// What one body takes, until it is dropped.
pub struct Place {
    _of_project: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Room {
    /// Waits for so much room. A body that is larger than all that its project may have takes that.
    pub async fn enter(&self, project: &str, bytes: usize) -> Option<Place> {
        let units = u32::try_from(bytes.min(OF_PROJECT_BYTES).div_ceil(UNIT_BYTES)).ok()?;
        // The own first: who waits for others of the project keeps no room from other projects.
        let of_project = self.of_project(project).acquire_many_owned(units).await.ok()?;
        let of_all = self.all.clone().acquire_many_owned(units).await.ok()?;
        Some(Place { _of_project: of_project, _of_all: of_all })
    }

    fn of_project(&self, project: &str) -> Arc<Semaphore> {
        let mut known = self.of_projects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = known.get(project).and_then(Weak::upgrade) {
            return own;
        }
        known.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(OF_PROJECT_BYTES / UNIT_BYTES));
        known.insert(project.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_project_has_half_and_all_have_all() {
        let room = Room::default();
        let now = |project: &'static str, bytes: usize| {
            let room = room.clone();
            async move { room.enter(project, bytes).await }.now_or_never().flatten()
        };
        // Larger than possible: all of its project's.
        let one = now("a", usize::MAX).unwrap();
        assert!(now("a", 1).is_none());
        let half = OF_PROJECT_BYTES / 2;
        let (two, three) = (now("b", half).unwrap(), now("c", half).unwrap());
        for project in ["a", "b", "c", "d"] {
            assert!(now(project, 1).is_none(), "{project}");
        }
        drop(one);
        let again = now("d", half).unwrap();
        assert!(now("a", half).is_some());
        drop((two, three, again));
        assert!(now("a", 1).is_some());
        assert!(now("e", 1).is_some());
        assert!(room.of_projects.lock().unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn who_waits_comes_in_when_another_leaves() {
        let room = Room::default();
        let first = room.enter("a", OF_PROJECT_BYTES).await.unwrap();
        let (second, ()) = tokio::join!(room.enter("a", OF_PROJECT_BYTES), async move {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert!(second.is_some());
    }
}
