//! The output plugin `mppdb_decoding` for PostgreSQL, built from `tests/mppdb-plugin`.
//!
//! Owns the build. Must not know what the plugin writes.

use crate::{postgres, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Folder with the plugin's library, built once per run in a scratch folder that the server's user may read.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = scratch::folder("mppdb-plugin");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("mppdb-plugin");
        for name in ["Makefile", "mppdb_decoding.c"] {
            std::fs::copy(sources.join(name), folder.join(name)).expect("copy the sources of mppdb_decoding");
        }
        let pg_config = postgres::bin_dir().join("pg_config");
        let make = Command::new("make")
            .arg("-s")
            .arg(format!("PG_CONFIG={}", pg_config.display()))
            .current_dir(&folder)
            // A `make test` around this hands its own options down.
            .env_remove("MAKEFLAGS")
            .output()
            .expect("run make");
        let errors = String::from_utf8_lossy(&make.stderr);
        assert!(
            make.status.success(),
            "cannot build mppdb_decoding (run tests/setup.sh for the server's headers):\n{errors}"
        );
        folder
    })
}
