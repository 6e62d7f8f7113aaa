//! A bounded table with expiry: what has run out goes first, then the oldest.
//!
//! It must never know what it keeps; sizes are told by the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use collective_core::Timestamp;

/// How many run-out entries a write clears beyond what it must: two, so that
/// the table shrinks faster than writes can grow it, without a sweep.
const SWEPT_PER_WRITE: usize = 2;

/// What a table may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Table<V> {
    bounds: Bounds,
    bytes: usize,
    next_serial: u64,
    entries: HashMap<Arc<str>, Entry<V>>,
    by_age: BTreeMap<u64, Arc<str>>,
    by_expiry: BTreeSet<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    size: usize,
    serial: u64,
    expires_at: Timestamp,
}

impl<V> Table<V> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bytes: 0,
            next_serial: 0,
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, key: &str, now: Timestamp) -> Option<&V> {
        let entry = self.entries.get(key)?;
        (entry.expires_at > now).then_some(&entry.value)
    }

    /// Keeps `value`, making room first: run-out entries go, then the oldest.
    /// What has run out by `now` already, or is larger than the whole table, isn't kept.
    pub(crate) fn put(
        &mut self,
        key: &str,
        value: V,
        size: usize,
        expires_at: Timestamp,
        now: Timestamp,
    ) {
        self.remove(key);
        let size = size + key.len();
        if expires_at <= now || size > self.bounds.bytes {
            return;
        }
        for _ in 0..SWEPT_PER_WRITE {
            self.drop_expired(now);
        }
        while self.entries.len() >= self.bounds.entries || self.bytes + size > self.bounds.bytes {
            if !self.drop_expired(now) && !self.drop_oldest() {
                return;
            }
        }
        let key: Arc<str> = Arc::from(key);
        let serial = self.next_serial;
        self.next_serial += 1;
        self.bytes += size;
        self.by_age.insert(serial, Arc::clone(&key));
        self.by_expiry.insert((expires_at, serial));
        let entry = Entry {
            value,
            size,
            serial,
            expires_at,
        };
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.size;
        self.by_age.remove(&entry.serial);
        self.by_expiry.remove(&(entry.expires_at, entry.serial));
        Some(entry.value)
    }

    fn drop_expired(&mut self, now: Timestamp) -> bool {
        match self.by_expiry.first() {
            Some((expires_at, serial)) if *expires_at <= now => {
                let key = self.by_age.get(serial).cloned();
                key.is_some_and(|key| self.remove(&key).is_some())
            }
            _ => false,
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let key = self.by_age.first_key_value().map(|(_, key)| key.clone());
        key.is_some_and(|key| self.remove(&key).is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_core::Span;
    use proptest::prelude::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_micros(0) + Span::from_secs(secs)
    }

    fn small(entries: usize, bytes: usize) -> Table<u32> {
        Table::new(Bounds { entries, bytes })
    }

    #[test]
    fn what_has_run_out_goes_before_the_oldest() {
        let mut table = small(3, 1_000);
        table.put("old", 1, 1, at(100), at(0));
        table.put("short", 2, 1, at(5), at(1));
        table.put("young", 3, 1, at(100), at(2));
        table.put("new", 4, 1, at(100), at(10));
        assert_eq!(table.get("old", at(10)), Some(&1));
        assert_eq!(table.get("short", at(10)), None);
        table.put("newest", 5, 1, at(100), at(10));
        assert_eq!(table.get("old", at(10)), None);
        assert_eq!(table.get("young", at(10)), Some(&3));
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_value_written_again_counts_as_young_and_once() {
        let mut table = small(2, 1_000);
        table.put("a", 1, 10, at(100), at(0));
        table.put("b", 2, 10, at(100), at(0));
        table.put("a", 3, 20, at(100), at(0));
        table.put("c", 4, 10, at(100), at(0));
        assert_eq!(table.get("a", at(0)), Some(&3));
        assert_eq!(table.get("b", at(0)), None);
        assert_eq!(table.bytes(), 32);
    }

    #[test]
    fn run_out_entries_leave_without_pressure() {
        let mut table = small(1_000, 1_000_000);
        for i in 0..100 {
            table.put(&format!("k{i}"), i, 1, at(1), at(0));
        }
        for i in 0..50 {
            table.put(&format!("n{i}"), i, 1, at(100), at(2));
        }
        assert_eq!(table.len(), 50);
    }

    proptest! {
        #[test]
        fn bounds_and_indexes_hold_whatever_is_written(
            writes in prop::collection::vec((0u8..20, 0usize..60, 0u64..30, any::<bool>()), 1..200)
        ) {
            let mut table = small(7, 200);
            for (step, (key, size, ttl, remove)) in writes.into_iter().enumerate() {
                let now = at(step as u64);
                let key = format!("key{key}");
                if remove {
                    table.remove(&key);
                    prop_assert!(table.get(&key, now).is_none());
                } else {
                    table.put(&key, 0, size, now + Span::from_secs(ttl), now);
                    prop_assert_eq!(table.get(&key, now).is_some(), ttl > 0);
                }
                prop_assert!(table.len() <= 7 && table.bytes() <= 200);
                let held: usize = table.entries.values().map(|entry| entry.size).sum();
                prop_assert_eq!(held, table.bytes());
                prop_assert_eq!(table.by_age.len(), table.len());
                prop_assert_eq!(table.by_expiry.len(), table.len());
            }
        }
    }
}
