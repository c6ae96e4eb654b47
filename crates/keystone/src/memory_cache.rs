//! A bounded cache in memory: entries live for a fixed time, the oldest make room for new ones.
//!
//! Keys are digests, values what Keystone said: no token is kept here.

use crate::clock::SharedClock;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct MemoryCache<K, V> {
    entries: Mutex<Entries<K, V>>,
    life: TimeDelta,
    limit: usize,
    clock: SharedClock,
}

struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    /// Keys in the order of being put, which is the order of expiry. A key put again stands here twice; the
    /// number tells which one is meant.
    order: VecDeque<(K, u64)>,
    puts: u64,
}

struct Entry<V> {
    value: V,
    ends: DateTime<Utc>,
    number: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> MemoryCache<K, V> {
    pub fn new(life: TimeDelta, limit: usize, clock: SharedClock) -> Self {
        let entries = Entries { by_key: HashMap::new(), order: VecDeque::new(), puts: 0 };
        Self { entries: Mutex::new(entries), life, limit, clock }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let now = self.clock.now();
        self.entries().by_key.get(key).filter(|entry| now < entry.ends).map(|entry| entry.value.clone())
    }

    pub fn put(&self, key: K, value: V) {
        if self.life <= TimeDelta::zero() {
            return;
        }
        let now = self.clock.now();
        let mut entries = self.entries();
        entries.puts += 1;
        let number = entries.puts;
        entries.order.push_back((key.clone(), number));
        entries.by_key.insert(key, Entry { value, ends: now + self.life, number });
        entries.make_room(self.limit, now);
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let entries = self.entries();
        (entries.by_key.len(), entries.order.len())
    }
}

impl<K: Hash + Eq, V> Entries<K, V> {
    fn make_room(&mut self, limit: usize, now: DateTime<Utc>) {
        if self.order.len() > limit.saturating_mul(2).saturating_add(16) {
            let by_key = &self.by_key;
            self.order.retain(|(key, number)| by_key.get(key).is_some_and(|entry| entry.number == *number));
        }
        while let Some((key, number)) = self.order.front() {
            let entry = self.by_key.get(key).filter(|entry| entry.number == *number);
            let overtaken = entry.is_none();
            if !overtaken && self.by_key.len() <= limit && entry.is_some_and(|entry| now < entry.ends) {
                return;
            }
            if let Some((key, _)) = self.order.pop_front()
                && !overtaken
            {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> DateTime<Utc> {
            DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).unwrap()
        }
    }

    #[test]
    fn entries_end_and_the_oldest_make_room() {
        let clock = Arc::new(Hand(AtomicI64::new(1000)));
        let cache = MemoryCache::new(TimeDelta::seconds(10), 3, clock.clone());
        for key in 0..5 {
            cache.put(key, key * 10);
        }
        assert_eq!((cache.get(&1), cache.get(&2), cache.get(&4)), (None, Some(20), Some(40)));
        clock.0.store(1009, Ordering::SeqCst);
        cache.put(2, 21);
        clock.0.store(1010, Ordering::SeqCst);
        assert_eq!((cache.get(&2), cache.get(&4)), (Some(21), None));
        cache.put(9, 90);
        assert_eq!(cache.len(), (2, 2), "what ended is gone");
        for _ in 0..1000 {
            cache.put(9, 91);
        }
        assert!(cache.len().1 <= 2 * 3 + 16, "{:?}", cache.len());
        cache.put(10, 1);
        cache.put(11, 1);
        cache.put(12, 1);
        assert_eq!(cache.len().0, 3);
        assert!(cache.len().1 <= 4, "{:?}", cache.len());
    }

    #[test]
    fn no_life_keeps_nothing() {
        let cache = MemoryCache::new(TimeDelta::seconds(-1), 3, Arc::new(crate::clock::SystemClock));
        cache.put(1, 1);
        assert_eq!(cache.get(&1), None);
    }
}
