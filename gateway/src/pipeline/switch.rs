//! Where a new version of the chain waits for the reader to come to a transaction boundary.
//!
//! Owns the one place for a version that is ready, and waking the reader of an idle source. Must not know modules.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use millrace_batch::{Failure, Lsn};
use millrace_position::ActiveModule;
use tokio::sync::{Notify, oneshot};

use super::{Retired, Shadow, generation::Generation};

/// A version that is ready to take over at the next transaction boundary.
pub struct Armed {
    /// The version.
    pub generation: Arc<Generation>,
    /// What must be durable, with everything before the boundary, before the first batch of the version: where topics, partitions
    /// or the choice of changes differ (I3). Sending stands still until then.
    pub drain: Option<Drain>,
    /// Told when it has taken over, with the time the stream stood still for it.
    pub done: oneshot::Sender<Result<Duration, Failure>>,
}

/// What a drain makes durable and how long it may take.
pub struct Drain {
    /// The modules of the new version.
    pub modules: Vec<ActiveModule>,
    /// Longest wait; after it the version is given up and the stream goes on with the old one.
    pub patience: Duration,
}

/// Asks the reader to stand still at the next transaction boundary until the session is told to end.
pub struct Park {
    /// The modules that run, for the position record.
    pub modules: Vec<ActiveModule>,
    /// Longest wait for everything before the boundary to be acknowledged and noted; after it the stream goes on.
    pub patience: Duration,
    /// Told the boundary, once the position behind everything before it is durable.
    pub done: oneshot::Sender<Result<Lsn, Failure>>,
}

/// The way from whoever prepares a version to the reader of one session.
#[derive(Default)]
pub struct Switch {
    armed: AtomicBool,
    parking: AtomicBool,
    park: Mutex<Option<Park>>,
    next: Mutex<Option<Armed>>,
    bell: Notify,
    shadow: Mutex<Option<Arc<Shadow>>>,
    /// Number of the shadow, 0 for none.
    shadow_number: AtomicU64,
    /// Chains the workers are done with.
    pub retired: Retired,
}

impl Switch {
    fn next(&self) -> MutexGuard<'_, Option<Armed>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a version in place. One that waits already is dropped, and whoever waits for it hears that.
    pub fn arm(&self, armed: Armed) {
        *self.next() = Some(armed);
        self.armed.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Takes back a version the reader has not taken.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Release);
        *self.next() = None;
    }

    /// Whether a version waits, or the reader is asked to stand still. Cheap enough for every commit.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed) || self.parking.load(Ordering::Relaxed)
    }

    /// Asks the reader to stand still.
    pub fn park(&self, park: Park) {
        *self.park.lock().unwrap_or_else(PoisonError::into_inner) = Some(park);
        self.parking.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// The request to stand still.
    pub(super) fn take_park(&self) -> Option<Park> {
        self.parking.store(false, Ordering::Release);
        self.park.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The version that waits.
    pub fn take(&self) -> Option<Armed> {
        self.armed.store(false, Ordering::Release);
        self.next().take()
    }

    /// Puts a version beside the one at work, or takes it away. Workers follow with their next batch.
    pub fn follow(&self, shadow: Option<Arc<Shadow>>) {
        let number = shadow.as_ref().map_or(0, |shadow| shadow.number);
        *self.shadow.lock().unwrap_or_else(PoisonError::into_inner) = shadow;
        self.shadow_number.store(number, Ordering::Release);
    }

    /// Number of the shadow, 0 for none. Cheap enough for every batch.
    #[inline]
    pub fn shadow_number(&self) -> u64 {
        self.shadow_number.load(Ordering::Acquire)
    }

    /// The shadow.
    pub fn shadow(&self) -> Option<Arc<Shadow>> {
        self.shadow.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until a version is put in place; may return once too often, never once too few.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(version: u64) -> (Armed, oneshot::Receiver<Result<Duration, Failure>>) {
        let (done, told) = oneshot::channel();
        let generation = Arc::new(Generation::new(version, [0; 8], None, Vec::new()));
        (Armed { generation, drain: None, done }, told)
    }

    #[tokio::test]
    async fn the_newest_waits_and_who_waited_before_hears_of_it() {
        let switch = Switch::default();
        assert!(!switch.is_armed() && switch.take().is_none());
        let ((first, first_told), (second, mut second_told)) = (armed(1), armed(2));
        switch.arm(first);
        switch.arm(second);
        assert!(first_told.await.is_err(), "it will never take over");
        switch.rung().await;
        assert!(switch.is_armed());
        assert_eq!(switch.take().map(|armed| armed.generation.version), Some(2));
        assert!(!switch.is_armed() && second_told.try_recv().is_err());
        let (third, told) = armed(3);
        switch.arm(third);
        switch.disarm();
        assert!(switch.take().is_none() && told.await.is_err());
    }
}
