//! Modules and configurations that were swapped in, kept so that a restart runs what ran.
//!
//! Owns a directory of files named by the SHA-256 of their content. Must not know which of them run: the position record names the
//! digests. Configurations may hold what only a module knows to be a secret, so the directory is this user's alone (I9).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use millrace_batch::Failure;
use millrace_host::Digest;

/// Permission bits of the group and of others.
const OTHERS: u32 = 0o077;

/// The directory.
#[derive(Clone, Debug)]
pub struct ModuleStore {
    directory: PathBuf,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A component.
    Component,
    /// What its `init` gets.
    Config,
}

impl ModuleStore {
    /// In this directory, which is made with the first file.
    pub fn new(directory: PathBuf) -> ModuleStore {
        ModuleStore { directory }
    }

    fn path(&self, kept: Kept, digest: &Digest) -> PathBuf {
        let ending = match kept {
            Kept::Component => "wasm",
            Kept::Config => "config",
        };
        self.directory.join(format!("{digest}.{ending}"))
    }

    fn failed(&self, tried: &str, why: impl ToString) -> Failure {
        let tried = format!("{tried} {}", self.directory.display());
        let mend = "make modules.store a directory that the gateway's user owns and nobody else can enter";
        Failure::definite("module_store", tried, why.to_string(), mend)
    }

    /// Durably keeps some bytes; gives their digest. Blocking.
    ///
    /// # Errors
    /// Definite `module_store`: the directory cannot be used.
    pub fn keep(&self, kept: Kept, bytes: &[u8]) -> Result<Digest, Failure> {
        let digest = Digest::of(bytes);
        let path = self.path(kept, &digest);
        let write = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let mode = fs::metadata(&self.directory)?.permissions().mode();
            if mode & OTHERS != 0 {
                return Err(io::Error::other(format!("others can enter it (mode {:o})", mode & 0o7777)));
            }
            if self.read(&path, bytes.len() as u64).is_ok_and(|found| found == bytes) {
                return Ok(());
            }
            let beside = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| self.failed("keeping a module in", error))?;
        Ok(digest)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads back what was kept, and checks that it is the same. Blocking.
    ///
    /// # Errors
    /// Definite `module_store`: it is not there, larger than `limit`, or damaged.
    pub fn load(&self, kept: Kept, digest: &Digest, limit: usize) -> Result<Vec<u8>, Failure> {
        let path = self.path(kept, digest);
        let tried = "reading a module that was swapped in from";
        let bytes = self.read(&path, limit as u64).map_err(|error| {
            let mend = "put the file back, or set modules.on_restart = \"task\" to run what the task file names";
            Failure { mend: mend.to_owned(), ..self.failed(tried, format!("{}: {error}", path.display())) }
        })?;
        if Digest::of(&bytes) != *digest {
            return Err(self.failed(tried, format!("{} is damaged: its digest is another", path.display())));
        }
        Ok(bytes)
    }
}

/// The store where the task file names none.
pub fn default_directory() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(home.join("millrace").join("modules"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_damage_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ModuleStore::new(folder.path().join("modules"));
        let digest = store.keep(Kept::Config, b"{\"a\":1}").expect("kept");
        assert_eq!(store.keep(Kept::Config, b"{\"a\":1}").expect("kept again"), digest);
        assert_eq!(store.load(Kept::Config, &digest, 100).expect("there"), b"{\"a\":1}");
        let path = store.path(Kept::Config, &digest);
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(store.load(Kept::Component, &digest, 100).expect_err("not a component").code, "module_store");
        assert!(store.load(Kept::Config, &digest, 3).is_err(), "larger than it may be");
        fs::write(&path, "other").expect("written");
        assert!(store.load(Kept::Config, &digest, 100).expect_err("damaged").why.contains("damaged"));
        assert_eq!(store.keep(Kept::Config, b"{\"a\":1}").expect("mended"), digest);
        assert!(store.load(Kept::Config, &digest, 100).is_ok());
    }

    #[test]
    fn a_directory_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
        let store = ModuleStore::new(folder.path().to_owned());
        assert_eq!(store.keep(Kept::Component, b"x").expect_err("refused").code, "module_store");
    }
}
