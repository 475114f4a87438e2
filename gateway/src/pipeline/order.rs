//! Restores stream order behind parallel workers (I3).
//!
//! Owns the numbers that are still missing. Must not look into what it orders.

use std::collections::BTreeMap;

/// Gives items back in the order of their numbers, each as soon as all before it were given.
#[derive(Debug)]
pub struct Reorder<T> {
    next: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Reorder<T> {
        Reorder { next: 0, waiting: BTreeMap::new() }
    }
}

impl<T> Reorder<T> {
    /// Takes an item with its number.
    pub fn put(&mut self, number: u64, item: T) {
        debug_assert!(number >= self.next, "a number came twice");
        self.waiting.insert(number, item);
    }

    /// The next item in order, if it is here.
    pub fn take(&mut self) -> Option<T> {
        let item = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }

    /// True where nothing waits for a number before it.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_arrival_order_leaves_in_stream_order(arrival in Just((0u64..40).collect::<Vec<_>>()).prop_shuffle()) {
            let mut reorder = Reorder::default();
            let mut left = Vec::new();
            for (arrived, number) in arrival.iter().enumerate() {
                reorder.put(*number, *number);
                while let Some(item) = reorder.take() {
                    left.push(item);
                }
                // Everything whose predecessors are all here has left, and nothing else.
                let complete = (0..).take_while(|n| arrival[..=arrived].contains(n)).count();
                prop_assert_eq!(left.len(), complete);
            }
            prop_assert_eq!(left, (0..40).collect::<Vec<_>>());
        }
    }
}
