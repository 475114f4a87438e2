//! Where a transaction goes that is larger than memory: a file that nobody else sees.
//!
//! Owns the file and the cap over all shards of the task. The file has no name once it is open, so nothing is left behind, however the
//! process ends. Must not know what the bytes mean.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use millrace_batch::Failure;
use millrace_decode::Spill;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Bytes gathered before they are written: a row is far smaller than what a write should be.
const GATHERED: usize = 256 << 10;

/// Room on disk for all shards of a task.
#[derive(Debug)]
pub struct SpillRoom {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
}

impl SpillRoom {
    /// Room for `limit` bytes in a folder, which is made where it is missing.
    pub fn new(folder: &Path, limit: u64) -> SpillRoom {
        SpillRoom { folder: folder.to_path_buf(), limit, used: AtomicU64::new(0) }
    }

    /// A file for one decoder.
    ///
    /// # Errors
    /// Definite `spill_folder` where no file can be made there.
    pub fn open(self: &Arc<SpillRoom>) -> Result<SpillFile, Failure> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!(".millrace-spill-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = self.folder.join(name);
        let open = || {
            fs::create_dir_all(&self.folder)?;
            let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok::<_, io::Error>(file)
        };
        let file = open().map_err(|error| {
            Failure::definite(
                "spill_folder",
                format!("making a file in {}", self.folder.display()),
                error.to_string(),
                "make the folder writable, or name another one in source.spill.folder",
            )
        })?;
        Ok(SpillFile { room: self.clone(), file, written: 0, gathered: Vec::new() })
    }
}

/// The spill of one decoder.
#[derive(Debug)]
pub struct SpillFile {
    room: Arc<SpillRoom>,
    file: File,
    /// Bytes in the file.
    written: u64,
    /// Bytes behind them.
    gathered: Vec<u8>,
}

impl SpillFile {
    fn len(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        // At its place, not at the end: after a write that failed half-way the next one overwrites what it left.
        waiting(|| self.file.write_all_at(&self.gathered, self.written))?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}

/// Does what may wait for a disk. A decoder runs on a thread of the async runtime: the other tasks there, the status updates of other
/// shards among them, go on elsewhere meanwhile.
fn waiting<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Spill for SpillFile {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<bool> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.room.limit);
        if self.room.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Ok(false);
        }
        for part in parts {
            self.gathered.write_all(part)?;
        }
        if self.gathered.len() >= GATHERED {
            self.flush()?;
        }
        Ok(true)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.flush()?;
        }
        waiting(|| self.file.read_exact_at(into, offset))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.room.used.fetch_sub(self.len(), Ordering::Relaxed);
        self.gathered.clear();
        if std::mem::take(&mut self.written) > 0 {
            waiting(|| self.file.set_len(0))?;
        }
        Ok(())
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_and_its_room_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let room = Arc::new(SpillRoom::new(&folder.path().join("made"), 1 << 20));
        let (mut one, mut other) = (room.open().unwrap(), room.open().unwrap());
        let row: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for _ in 0..8 {
            assert!(one.append(&[&row[..7], &row[7..]]).unwrap());
        }
        assert!(other.append(&[&row]).unwrap() && other.append(&[&row]).unwrap());
        assert!(!one.append(&[&row]).unwrap(), "1,000,000 of 1,048,576 bytes are taken");
        let mut read = vec![0; 100_000];
        for at in [700_000, 0, 300_000] {
            one.read(at, &mut read).unwrap();
            assert_eq!(read, row, "at {at}");
        }
        assert!(one.read(750_000, &mut read).is_err(), "less was appended");
        one.clear().unwrap();
        assert!(other.append(&[&row]).unwrap());
        one.append(&[b"again"]).unwrap();
        one.read(0, &mut read[..5]).unwrap();
        assert_eq!(&read[..5], b"again");
        drop((one, other));
        assert_eq!(room.used.load(Ordering::Relaxed), 0);
        assert_eq!(fs::read_dir(folder.path().join("made")).unwrap().count(), 0, "nothing is left behind");
        let nowhere = Arc::new(SpillRoom::new(Path::new("/proc/none"), 1));
        assert_eq!(nowhere.open().unwrap_err().code, "spill_folder");
    }
}
