//! A position in a local file, for clusters where the position topic may not be created.
//!
//! Owns the file, its temporary sibling and the lock that keeps a second gateway out. Everything here blocks.
//!
//! Replacing is atomic: the new text is written beside the file and synced before it takes the name, and the folder is synced so that the
//! name survives a power cut. The lock is a file of its own because the position file is replaced, and a lock goes with
//! the inode.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use millrace_batch::Failure;
use rustix::fs::{FlockOperation, flock};

use crate::{MAX_RECORD_BYTES, PositionRecord, PositionStore, RecordError};

/// What can go wrong with a position file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another process holds it.
    #[error("{0:?} is locked by another process")]
    Locked(PathBuf),
    /// The system refused.
    #[error("{step} {path:?}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The contents are not a usable record.
    #[error("{path:?}: {source}")]
    Record {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
}

impl FileError {
    /// The error as a person sees it.
    pub fn failure(&self) -> Failure {
        match self {
            FileError::Locked(path) => Failure::definite(
                "position_locked",
                format!("taking the position file {path:?}"),
                "another process holds its lock",
                "stop the other gateway that runs this task, or give this task a position file of its own",
            ),
            FileError::Io { step, path, source } => Failure::definite(
                "position_file",
                format!("{step} {path:?}"),
                source.to_string(),
                "give the gateway a folder it may write to, with free space",
            ),
            FileError::Record { path, source } => source.failure(&format!("{path:?}")),
        }
    }
}

/// One shard's position file, held by this process until dropped.
#[derive(Debug)]
pub struct PositionFile {
    path: PathBuf,
    /// Written first, then renamed.
    fresh: PathBuf,
    folder: File,
    /// The lock lives as long as this descriptor.
    _lock: File,
}

impl PositionFile {
    /// Takes the lock, then reads what is there (`None` where there is no file yet).
    ///
    /// Errors: [`FileError::Locked`] where another process has it, [`FileError::Record`] for contents this build cannot use.
    pub fn open(path: &Path) -> Result<(PositionFile, Option<PositionRecord>), FileError> {
        let folder_path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = File::open(folder_path).map_err(io_error("opening the folder", folder_path))?;
        let lock_path = sibling(path, ".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io_error("opening the lock file", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => FileError::Locked(path.to_owned()),
            other => io_error("locking", &lock_path)(other.into()),
        })?;
        let record = read(path)?;
        Ok((PositionFile { path: path.to_owned(), fresh: sibling(path, ".new"), folder, _lock: lock }, record))
    }

    /// Replaces the contents; durable when it returns `Ok`. After an error the old or the new record stands, whole.
    pub fn replace(&mut self, record: &PositionRecord) -> Result<(), FileError> {
        let bytes = record.encode().map_err(|source| FileError::Record { path: self.path.clone(), source })?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&self.fresh)
            .map_err(io_error("creating", &self.fresh))?;
        file.write_all(&bytes).map_err(io_error("writing", &self.fresh))?;
        file.sync_all().map_err(io_error("syncing", &self.fresh))?;
        std::fs::rename(&self.fresh, &self.path).map_err(io_error("replacing", &self.path))?;
        self.folder.sync_all().map_err(io_error("syncing the folder of", &self.path))
    }
}

impl PositionStore for PositionFile {
    fn write(&mut self, record: &PositionRecord) -> Result<(), Failure> {
        self.replace(record).map_err(|error| error.failure())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        let removed = match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(io_error("removing", &self.path)),
        };
        let synced = || self.folder.sync_all().map_err(io_error("syncing the folder of", &self.path));
        removed.and_then(|()| synced()).map_err(|error| error.failure())
    }
}

fn read(path: &Path) -> Result<Option<PositionRecord>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("opening", path)(error)),
    };
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to know that it is too much.
    file.take(MAX_RECORD_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io_error("reading", path))?;
    let record =
        PositionRecord::decode(&bytes).map_err(|source| FileError::Record { path: path.to_owned(), source })?;
    Ok(Some(record))
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { step, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, SlotState, version_for};

    fn record(next_id: u64) -> PositionRecord {
        PositionRecord {
            version: version_for(&[]),
            task: "t".into(),
            position: Position { next_id, ..Position::start(0) },
            shards: 1,
            node: None,
            source_kind: "postgresql".into(),
            decoding: "pgoutput".into(),
            system_identifier: "1".into(),
            timeline: None,
            slot: "s".into(),
            slot_state: SlotState::Intended,
            partitions: Default::default(),
            modules: Vec::new(),
            selection: String::new(),
            paused: false,
            written_at_ms: 0,
        }
    }

    #[test]
    fn what_was_written_is_read_by_the_next_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.position");
        let (mut file, none) = PositionFile::open(&path).unwrap();
        assert_eq!(none, None);
        file.replace(&record(1)).unwrap();
        file.replace(&record(2)).unwrap();
        drop(file);
        // A crash between write and rename leaves this; it counts for nothing.
        std::fs::write(folder.path().join("t.position.new"), "half").unwrap();
        let (mut file, found) = PositionFile::open(&path).unwrap();
        assert_eq!(found, Some(record(2)));
        file.write(&record(3)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(record(3)));
        file.forget().unwrap();
        file.forget().unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn a_second_owner_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.position");
        let (first, _) = PositionFile::open(&path).unwrap();
        let failure = PositionFile::open(&path).unwrap_err().failure();
        assert_eq!(failure.code, "position_locked");
        assert!(failure.is_definite());
        drop(first);
        assert!(PositionFile::open(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_no_record_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.position");
        for (text, code) in [("", "position_malformed"), ("{\"version\":7}", "position_newer_version")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(PositionFile::open(&path).unwrap_err().failure().code, code);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, vec![b'x'; MAX_RECORD_BYTES + 9]).unwrap();
        assert_eq!(PositionFile::open(&path).unwrap_err().failure().code, "position_too_large");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let failure = PositionFile::open(&folder.path().join("no/t.position")).unwrap_err().failure();
        assert_eq!(failure.code, "position_file");
        assert!(failure.tried.contains("no"), "{failure}");
    }
}
