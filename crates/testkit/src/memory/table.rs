//! A table that can take back what the work in progress did to it.
//!
//! Each write keeps the row that it replaced; taking back writes those again,
//! newest first. A work therefore costs what it touches, however much is stored.

use std::collections::BTreeMap;
use std::ops::Deref;

#[derive(Debug)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    replaced: Vec<(K, Option<V>)>,
}

/// What every table does when a work ends, whatever is in it.
pub(super) trait Journal {
    fn commit(&mut self);
    fn roll_back(&mut self);
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// Writes a row; what was there goes into the journal.
    pub(super) fn put(&mut self, key: K, row: V) {
        let old = self.rows.insert(key.clone(), row);
        self.replaced.push((key, old));
    }

    /// Writes a row that must not be there yet; says whether it wasn't.
    pub(super) fn insert_new(&mut self, key: K, row: V) -> bool {
        let new = !self.rows.contains_key(&key);
        if new {
            self.put(key, row);
        }
        new
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(old) = self.rows.remove(key) {
            self.replaced.push((key.clone(), Some(old)));
        }
    }
}

impl<K: Ord, V> Journal for Table<K, V> {
    fn commit(&mut self) {
        self.replaced.clear();
    }

    fn roll_back(&mut self) {
        while let Some((key, old)) = self.replaced.pop() {
            match old {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }
}

/// Reading is a map's; writing goes through the journal alone.
impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.rows
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            replaced: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_that_is_taken_back_leaves_what_was_committed() {
        let mut table = Table::default();
        table.put(1, "one");
        table.put(2, "two");
        table.commit();
        let before: Vec<_> = table.clone().into_iter().collect();

        table.put(1, "uno");
        table.remove(&1);
        table.put(1, "eins");
        table.remove(&2);
        assert!(table.insert_new(3, "three"));
        assert!(!table.insert_new(1, "un"));
        table.remove(&4);
        table.roll_back();
        assert_eq!(table.clone().into_iter().collect::<Vec<_>>(), before);

        table.put(1, "uno");
        table.commit();
        table.roll_back();
        assert_eq!(table.get(&1), Some(&"uno"));
    }
}
