//! Has a person acted? What a halted task waits for.
//!
//! Owns the digests of the files a task is made of: the task file and the secrets it names. Must not parse them. A halted gateway
//! tries again only after one of them changed: trying an old password again would lock the account.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::config::{SecretSource, Task};

/// Largest file looked at: a secret or a task file is never larger.
const LIMIT: u64 = 4 << 20;

/// The files as they were, and the log-ins they gave.
#[derive(Debug)]
pub struct Watched {
    files: Vec<(PathBuf, Option<[u8; 32]>)>,
    logins: [u8; 32],
}

impl Watched {
    /// Remembers the task file, if there is one, and every file with a secret, a key or the tables that the task names.
    pub fn new(file: Option<&Path>, task: &Task) -> Watched {
        let secrets = task.secrets().filter_map(|(_, secret)| match secret {
            SecretSource::File(path) => Some(path.clone()),
            _ => None,
        });
        let stores =
            [&task.sink.trust_store, &task.sink.key_store, &task.objects.import].into_iter().flatten().cloned();
        let files = file.map(Path::to_path_buf).into_iter().chain(secrets).chain(stores);
        Watched { files: files.map(|path| (path.clone(), digest(&path))).collect(), logins: logins(task) }
    }

    /// Whether any file has another content than before.
    pub fn changed(&self) -> bool {
        self.files.iter().any(|(path, before)| digest(path) != *before)
    }

    /// Whether a task would log in with the same users and secrets: after a refusal, whatever else changed, nothing is tried again.
    pub fn has_logins_of(&self, task: &Task) -> bool {
        self.logins == logins(task)
    }
}

/// Digest of every user and secret of a task as they are now, and of the certificates that stand for a log-in.
fn logins(task: &Task) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), value] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    };
    add("source.user", task.source.user.as_str().as_bytes());
    add("sink.username", task.sink.username.as_deref().unwrap_or_default().as_bytes());
    for (key, secret) in task.secrets().filter(|(key, _)| *key != "admin.token") {
        match secret.resolve() {
            Ok(secret) => add(key, secret.expose().as_bytes()),
            Err(_) => add(key, b""),
        }
    }
    let (source, sink) = (&task.source, &task.sink);
    let files =
        [&source.client_cert, &source.client_key, &sink.cert, &sink.key, &sink.key_store, &sink.kerberos_keytab];
    for path in files.into_iter().flatten() {
        add("file", &digest(path).unwrap_or_default());
    }
    hash.finalize().into()
}

/// A file that is missing or too large has none; appearing and vanishing are changes too.
fn digest(path: &Path) -> Option<[u8; 32]> {
    let fits = fs::metadata(path).ok()?.len() <= LIMIT;
    let bytes = fits.then(|| fs::read(path).ok()).flatten()?;
    Some(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_content_appearance_and_loss() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let watched = |path: &Path| Watched { files: vec![(path.to_path_buf(), digest(path))], logins: [0; 32] };
        let missing = watched(&path);
        assert!(!missing.changed());
        fs::write(&path, "one").expect("written");
        assert!(missing.changed());
        let one = watched(&path);
        fs::write(&path, "one").expect("written");
        assert!(!one.changed(), "the same content written again is no change");
        fs::write(&path, "two").expect("written");
        assert!(one.changed());
        fs::remove_file(&path).expect("removed");
        assert!(one.changed());
    }
}
