//! Compiled modules on disk.
//!
//! Owns the directory, the names of its files and the proof that what is read back is what was written. Must not know what a
//! component contains.
//!
//! A file is a SHA-256 of its name and the rest, then wasmtime's own serialisation. Its name is the component's digest and the hash of
//! everything that must agree between the engine that compiled and the one that loads (wasmtime version, settings, CPU features).

use crate::module::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

const HASH_BYTES: usize = 32;
/// Most bytes read back; a compiled component of the largest allowed size stays well below.
const FILE_LIMIT: u64 = 512 << 20;
const OTHERS_MAY_WRITE: u32 = 0o022;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a directory")]
    NotADirectory,
    #[error("it belongs to user {owner}, the gateway runs as {us}")]
    Owner { owner: u32, us: u32 },
    #[error("others may write to it (mode {0:o})")]
    Writable(u32),
}

/// A directory of compiled modules that belongs to this user alone.
pub(crate) struct CompileCache {
    directory: PathBuf,
    compatibility: u64,
    user: u32,
    next: AtomicU64,
}

impl CompileCache {
    /// Opens the directory, creating it with mode 0700.
    pub(crate) fn open(directory: &Path, engine: &Engine) -> Result<CompileCache, CacheError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let mut cache = CompileCache {
            directory: directory.to_owned(),
            compatibility: hasher.finish(),
            user: 0,
            next: AtomicU64::new(0),
        };
        // The owner of a file made here is the user we run as, without asking the C library.
        let (probe, path) = cache.temporary()?;
        let found = probe.metadata().map(|metadata| metadata.uid());
        fs::remove_file(path)?;
        cache.user = found?;
        cache.check(&fs::symlink_metadata(directory)?)?;
        Ok(cache)
    }

    fn check(&self, metadata: &fs::Metadata) -> Result<(), CacheError> {
        if !metadata.is_dir() {
            return Err(CacheError::NotADirectory);
        }
        if metadata.uid() != self.user {
            return Err(CacheError::Owner { owner: metadata.uid(), us: self.user });
        }
        if metadata.mode() & OTHERS_MAY_WRITE != 0 {
            return Err(CacheError::Writable(metadata.mode() & 0o7777));
        }
        Ok(())
    }

    fn name(&self, digest: &Digest) -> String {
        format!("{digest}-{:016x}.cwasm", self.compatibility)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(self.name(digest))
    }

    /// What stands before the code: it binds the code to the component, so that a file under another's name is a miss.
    fn seal(&self, digest: &Digest, code: &[u8]) -> [u8; HASH_BYTES] {
        Sha256::new().chain_update(self.name(digest)).chain_update(code).finalize().into()
    }

    fn temporary(&self) -> io::Result<(File, PathBuf)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!(".{}-{number}.tmp", std::process::id()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((file, path))
    }

    /// The compiled form of a component, if a usable one is here. Anything odd is a miss: compiling again is always right.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let bytes = self.read(digest).ok()??;
        let (hash, code) = bytes.split_at_checked(HASH_BYTES)?;
        if self.seal(digest, code) != hash {
            tracing::warn!(%digest, "a compiled module in the cache is damaged and is compiled again");
            return None;
        }
        // SAFETY: `deserialize` asks that the bytes come unchanged from `Component::serialize`. They were read from a file that
        // belongs to this user, in a directory that belongs to this user and that nobody else can write to (checked just now on
        // the open file and on the directory), that only `store` below writes, whole and by rename; and they match the seal that
        // `store` put before them, so no damage of the disk is in them. Whoever can write there as this user can replace the
        // gateway's binary as well. A foreign wasmtime version or setting is refused by wasmtime itself.
        let component = unsafe { Component::deserialize(engine, code) };
        component.inspect_err(|error| tracing::warn!(%digest, "the compile cache's file is refused: {error:#}")).ok()
    }

    fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, CacheError> {
        self.check(&fs::symlink_metadata(&self.directory)?)?;
        let mut file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if metadata.uid() != self.user {
            return Err(CacheError::Owner { owner: metadata.uid(), us: self.user });
        }
        if metadata.mode() & OTHERS_MAY_WRITE != 0 {
            return Err(CacheError::Writable(metadata.mode() & 0o7777));
        }
        let mut bytes = Vec::with_capacity(metadata.len().min(FILE_LIMIT) as usize);
        Read::take(&mut file, FILE_LIMIT).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Keeps a compiled component. A failure is logged only: the cache saves time, nothing depends on it.
    pub(crate) fn store(&self, digest: &Digest, component: &Component) {
        let stored = component
            .serialize()
            .map_err(|error| format!("{error:#}"))
            .and_then(|code| self.write(digest, &code).map_err(|error| error.to_string()));
        if let Err(why) = stored {
            tracing::warn!(%digest, "the compiled module could not be cached: {why}");
        }
    }

    fn write(&self, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let (mut file, path) = self.temporary()?;
        let written = file
            .write_all(&self.seal(digest, code))
            .and_then(|()| file.write_all(code))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&path, self.path(digest)));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&path);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostEngine, Limits};
    use std::os::unix::fs::PermissionsExt;

    /// The smallest component there is.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_was_stored_comes_back_and_damage_is_a_miss() {
        let directory = tempfile::tempdir().unwrap();
        let engine = HostEngine::new(Limits::default(), None).unwrap();
        let cache = CompileCache::open(directory.path(), engine.engine()).unwrap();
        let digest = Digest::of(EMPTY);
        assert!(cache.load(engine.engine(), &digest).is_none());
        cache.store(&digest, &Component::new(engine.engine(), EMPTY).unwrap());
        assert!(cache.load(engine.engine(), &digest).is_some());
        let path = cache.path(&digest);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");

        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(cache.load(engine.engine(), &digest).is_none());
        fs::write(&path, &bytes[..10]).unwrap();
        assert!(cache.load(engine.engine(), &digest).is_none());
    }

    #[test]
    fn a_file_under_another_name_is_a_miss() {
        let directory = tempfile::tempdir().unwrap();
        let engine = HostEngine::new(Limits::default(), None).unwrap();
        let cache = CompileCache::open(directory.path(), engine.engine()).unwrap();
        let (mine, other) = (Digest::of(EMPTY), Digest::of(b"another component"));
        cache.store(&mine, &Component::new(engine.engine(), EMPTY).unwrap());
        fs::copy(cache.path(&mine), cache.path(&other)).unwrap();
        assert!(cache.load(engine.engine(), &other).is_none());
        assert!(cache.load(engine.engine(), &mine).is_some());
    }

    #[test]
    fn code_of_another_engine_is_a_miss_by_its_name_and_refused_if_the_name_fits() {
        let directory = tempfile::tempdir().unwrap();
        let engine = HostEngine::new(Limits::default(), None).unwrap();
        // Other settings make other code, as another version of wasmtime does.
        let other = HostEngine::new(Limits { fuel: Some(1), ..Limits::default() }, None).unwrap();
        let cache = CompileCache::open(directory.path(), engine.engine()).unwrap();
        let foreign = CompileCache::open(directory.path(), other.engine()).unwrap();
        let digest = Digest::of(EMPTY);
        let component = Component::new(other.engine(), EMPTY).unwrap();
        foreign.store(&digest, &component);
        assert!(foreign.load(other.engine(), &digest).is_some());
        assert_ne!(cache.path(&digest), foreign.path(&digest));
        assert!(cache.load(engine.engine(), &digest).is_none(), "its name is another");
        // Somebody gives it our name and our seal: wasmtime itself knows its own.
        cache.write(&digest, &component.serialize().unwrap()).unwrap();
        assert!(cache.load(engine.engine(), &digest).is_none());
        // The gateway compiles anew, and the file is ours again.
        cache.store(&digest, &Component::new(engine.engine(), EMPTY).unwrap());
        assert!(cache.load(engine.engine(), &digest).is_some());
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let engine = HostEngine::new(Limits::default(), None).unwrap();
        let cache = CompileCache::open(directory.path(), engine.engine()).unwrap();
        let digest = Digest::of(EMPTY);
        cache.store(&digest, &Component::new(engine.engine(), EMPTY).unwrap());
        fs::set_permissions(cache.path(&digest), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.load(engine.engine(), &digest).is_none());
        fs::set_permissions(cache.path(&digest), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(cache.load(engine.engine(), &digest).is_none());
        let refused = CompileCache::open(directory.path(), engine.engine());
        assert!(matches!(refused, Err(CacheError::Writable(0o770))));
    }
}
