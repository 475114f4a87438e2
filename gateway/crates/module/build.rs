//! Embeds the kits, the contract and the templates of projects: what `millrace module new` writes down.
//!
//! Lists files at build time, so that a file added to a kit is in every project from then on.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Constant, and the folders and files it holds, from the root of the repository.
const SETS: [(&str, &[&str]); 6] = [
    ("CONTRACT", &["wit/v1.0"]),
    ("RUST", &["guest-sdk/rust/src", "guest-sdk/rust/build.rs", "guest-sdk/rust/Cargo.toml"]),
    ("C", &["guest-sdk/c"]),
    ("JS", &["guest-sdk/js"]),
    ("PYTHON", &["guest-sdk/python"]),
    ("TEMPLATES", &["guest-sdk/templates"]),
];

/// What tools leave behind in a kit's folder.
const LEFTOVERS: [&str; 5] = ["node_modules", "__pycache__", "target", "build", ".venv"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../..").canonicalize()?;
    let mut code = String::new();
    for (name, paths) in SETS {
        let mut files = Vec::new();
        for path in paths {
            let path = root.join(path);
            // A path that is not there would make every build a new one.
            if path.exists() {
                println!("cargo:rerun-if-changed={}", path.display());
            }
            collect(&path, &mut files)?;
        }
        files.sort();
        writeln!(
            code,
            "/// Path from the root of the repository, and content.\npub(crate) const {name}: &[(&str, &[u8])] = &["
        )?;
        for file in &files {
            let shown = file.strip_prefix(&root)?;
            writeln!(
                code,
                "    ({:?}, include_bytes!({:?})),",
                shown.display().to_string(),
                file.display().to_string()
            )?;
        }
        writeln!(code, "];")?;
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", root.join("Cargo.toml").display());
    writeln!(
        code,
        "/// Manifest of the workspace the kit was taken from.\npub(crate) const WORKSPACE: &str = include_str!({:?});",
        root.join("Cargo.toml").display().to_string()
    )?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("embedded.rs"), code)?;
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            if !LEFTOVERS.iter().any(|leftover| name == *leftover) {
                collect(&entry.path(), files)?;
            }
        }
    }
    Ok(())
}
