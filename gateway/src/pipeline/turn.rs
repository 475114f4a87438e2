//! Asking the position's writer to note which modules run from here on.
//!
//! Owns the one request under way. Must not write: the writer does, with the first position that is far enough.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::Thread,
};

use millrace_batch::Lsn;
use millrace_position::ActiveModule;
use tokio::sync::oneshot;

/// Note these modules together with a position that is not before `after`.
pub(crate) struct Asked {
    pub after: Lsn,
    pub modules: Vec<ActiveModule>,
    pub done: oneshot::Sender<()>,
}

/// The way from the reader, or from whoever swaps, to the writer.
#[derive(Default)]
pub struct Turn {
    waiting: AtomicBool,
    asked: Mutex<Option<Asked>>,
    writer: OnceLock<Thread>,
}

impl Turn {
    fn asked(&self) -> MutexGuard<'_, Option<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; the answer comes when both are durable, and never where the session ends before. A second request replaces one that waits.
    pub fn ask(&self, after: Lsn, modules: Vec<ActiveModule>) -> oneshot::Receiver<()> {
        let (done, told) = oneshot::channel();
        *self.asked() = Some(Asked { after, modules, done });
        self.waiting.store(true, Ordering::Release);
        self.wake();
        told
    }

    /// Has the writer look at once whether the position is far enough.
    pub(crate) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Takes the request back, where the writer has not begun with it.
    pub fn withdraw(&self) {
        self.waiting.store(false, Ordering::Release);
        *self.asked() = None;
    }

    /// The writer's thread, to be woken.
    pub(crate) fn serve_from(&self, thread: Thread) {
        // A session has one writer, so there is nothing to replace.
        let _ = self.writer.set(thread);
    }

    /// Whether a request waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// The request, where a position that ends at `reached` is far enough for it.
    pub(crate) fn take_from(&self, reached: Lsn) -> Option<Asked> {
        let mut asked = self.asked();
        let taken = asked.take_if(|asked| reached >= asked.after);
        if asked.is_none() {
            self.waiting.store(false, Ordering::Release);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_its_position() {
        let turn = Turn::default();
        assert!(!turn.is_waiting());
        let told = turn.ask(Lsn(10), Vec::new());
        assert!(turn.is_waiting() && turn.take_from(Lsn(9)).is_none() && turn.is_waiting());
        let asked = turn.take_from(Lsn(10)).expect("far enough");
        assert!(!turn.is_waiting());
        asked.done.send(()).expect("somebody waits");
        assert_eq!(told.await, Ok(()));
        let told = turn.ask(Lsn(0), Vec::new());
        turn.withdraw();
        assert!(turn.take_from(Lsn(99)).is_none() && told.await.is_err());
    }
}
