//! How much may be under way between socket and producer (I7).
//!
//! Owns the byte budget, the number of batches under way and the recycled buffers. Must not know what the bytes mean.

use std::sync::{Arc, Mutex};

use millrace_batch::Batch;
use millrace_host::Records;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes one permit of the budget stands for: small enough to be fair, large enough for a 32-bit count.
const GRAIN: usize = 1024;

/// The budget of one shard.
#[derive(Clone)]
pub struct Room {
    bytes: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    grains: u32,
}

/// Room one batch holds until its records are handed to the producer.
pub struct Permit {
    _bytes: OwnedSemaphorePermit,
    _batch: OwnedSemaphorePermit,
}

impl Room {
    /// A budget of `bytes` in at most `batches` batches.
    pub fn new(bytes: usize, batches: usize) -> Room {
        let grains = (bytes / GRAIN).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize)) as u32;
        Room { bytes: Arc::new(Semaphore::new(grains as usize)), batches: Arc::new(Semaphore::new(batches)), grains }
    }

    /// Waits for room. A batch larger than the whole budget waits until it is alone, and then goes: a single row is never stuck.
    pub async fn take(&self, weight: usize) -> Permit {
        let grains = u32::try_from(weight.div_ceil(GRAIN)).unwrap_or(u32::MAX).clamp(1, self.grains);
        // Neither semaphore is ever closed, so acquiring fails only if that changes; then reading must not go on.
        let acquire = async |from: &Arc<Semaphore>, n: u32| match from.clone().acquire_many_owned(n).await {
            Ok(permit) => permit,
            Err(_) => std::future::pending().await,
        };
        let batch = acquire(&self.batches, 1).await;
        Permit { _bytes: acquire(&self.bytes, grains).await, _batch: batch }
    }

    /// Bytes taken at the moment.
    pub fn used(&self) -> usize {
        (self.grains as usize - self.bytes.available_permits()) * GRAIN
    }
}

/// Buffers that wait to be used again, so that a steady stream allocates none.
#[derive(Clone)]
pub struct Pool {
    shard: u16,
    keep: usize,
    batches: Arc<Mutex<Vec<Batch>>>,
    records: Arc<Mutex<Vec<Records>>>,
}

/// A buffer that grew beyond this for one huge row is given back to the allocator instead of being kept.
const KEEP_BYTES: usize = 4 << 20;

impl Pool {
    /// A pool that keeps at most `keep` buffers of each kind.
    pub fn new(shard: u16, keep: usize) -> Pool {
        Pool { shard, keep, batches: Arc::default(), records: Arc::default() }
    }

    /// An empty batch.
    pub fn batch(&self) -> Batch {
        take(&self.batches).unwrap_or_else(|| Batch::new(self.shard))
    }

    /// Empty records.
    pub fn records(&self) -> Records {
        take(&self.records).unwrap_or_default()
    }

    /// Takes a batch back.
    pub fn recycle_batch(&self, mut batch: Batch) {
        if batch.data_len() <= KEEP_BYTES {
            batch.clear();
            give(&self.batches, batch, self.keep);
        }
    }

    /// Takes records back.
    pub fn recycle_records(&self, mut records: Records) {
        if records.weight() <= KEEP_BYTES {
            records.clear();
            give(&self.records, records, self.keep);
        }
    }
}

fn take<T>(from: &Mutex<Vec<T>>) -> Option<T> {
    from.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop()
}

fn give<T>(to: &Mutex<Vec<T>>, item: T, keep: usize) {
    let mut kept = to.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if kept.len() < keep {
        kept.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_budget_waits_and_an_oversized_batch_goes_alone() {
        let room = Room::new(64 << 10, 8);
        let first = room.take(40 << 10).await;
        assert_eq!(room.used(), 40 << 10);
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), room.take(30 << 10)).await;
        assert!(waiting.is_err(), "30 KiB fitted beside 40 KiB in 64 KiB");
        drop(first);
        let huge = room.take(1 << 30).await;
        assert_eq!(room.used(), 64 << 10);
        drop(huge);
        assert_eq!(room.used(), 0);
    }

    #[tokio::test]
    async fn the_number_of_batches_is_bounded_too() {
        let room = Room::new(64 << 10, 1);
        let _only = room.take(1).await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), room.take(1)).await.is_err());
    }

    #[test]
    fn a_recycled_batch_comes_back_empty() {
        let pool = Pool::new(3, 1);
        let mut batch = pool.batch();
        assert_eq!(batch.shard(), 3);
        assert!(batch.push_text(b"left over"));
        pool.recycle_batch(batch);
        assert_eq!(pool.batch(), Batch::new(3));
    }
}
