//! A module's project: where its component, its golden files and its description are.
//!
//! A project is a folder with `module.toml`. Commands take such a folder, or a component by itself with a folder `golden` beside it.

use crate::error::ToolError;
use millrace_host::StageKind;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Name of the file that makes a folder a project.
pub const MANIFEST: &str = "module.toml";
/// Longest description that is read, in bytes.
const MANIFEST_LIMIT: u64 = 64 << 10;
/// Longest component that is read, in bytes; the host's own limit is lower and says so.
const COMPONENT_LIMIT: u64 = 1 << 30;

/// A language there is a kit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Rust.
    Rust,
    /// C.
    C,
    /// JavaScript.
    Js,
    /// Python.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 4] = [Language::Rust, Language::C, Language::Js, Language::Python];

    /// Its name in options and in `module.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Js => "js",
            Language::Python => "python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Language, String> {
        let found = Language::ALL.into_iter().find(|language| language.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Language::ALL.map(Language::as_str).join(", ")))
    }
}

/// A stage by its name.
///
/// # Errors
/// The names there are.
pub fn stage(text: &str) -> Result<StageKind, String> {
    let found = StageKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| format!("must be one of {}", StageKind::ALL.map(StageKind::as_str).join(", ")))
}

/// What `module.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The module's name; the component is `NAME.wasm`.
    pub name: String,
    /// Language it is written in.
    pub lang: Language,
    /// Stage it does.
    pub stage: String,
    /// Version of Millrace whose kit the project carries.
    pub kit: String,
}

impl Manifest {
    /// Reads the description of a project.
    ///
    /// # Errors
    /// There is none, or it is not one.
    pub fn read(folder: &Path) -> Result<Manifest, ToolError> {
        let path = folder.join(MANIFEST);
        let mend = "name a folder that `millrace module new` made, or a component's file";
        let file = fs::File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ToolError::project(folder, format!("it has no {MANIFEST}"), mend),
            _ => ToolError::file(&path, error),
        })?;
        let mut text = String::new();
        file.take(MANIFEST_LIMIT).read_to_string(&mut text).map_err(|error| ToolError::file(&path, error))?;
        let manifest: Manifest =
            toml::from_str(&text).map_err(|error| ToolError::project(&path, error.message(), mend))?;
        check_name(&manifest.name).map_err(|why| ToolError::project(&path, why, "correct `name`"))?;
        stage(&manifest.stage).map_err(|why| ToolError::project(&path, format!("stage {why}"), "correct `stage`"))?;
        Ok(manifest)
    }
}

/// Names a module may have: they become crate, file and folder names.
///
/// # Errors
/// The rule.
pub fn check_name(name: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let plain = name.len() <= 60 && name.bytes().all(legal);
    if plain && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') && !name.contains("--") {
        return Ok(());
    }
    Err(format!("{name:?} is no name for a module: a-z first, then a-z 0-9 and single -, at most 60"))
}

/// A component and what stands beside it.
#[derive(Clone, Debug)]
pub struct Located {
    /// Its file.
    pub component: PathBuf,
    /// Folder of its golden files.
    pub golden: PathBuf,
    /// What errors call it.
    pub name: String,
    /// Description, where it is a project's.
    pub manifest: Option<Manifest>,
}

/// Finds the component of a project, or takes a file as one.
///
/// # Errors
/// A folder that is no project.
pub fn locate(path: &Path) -> Result<Located, ToolError> {
    if path.is_dir() {
        let manifest = Manifest::read(path)?;
        return Ok(Located {
            component: path.join(format!("{}.wasm", manifest.name)),
            golden: path.join("golden"),
            name: manifest.name.clone(),
            manifest: Some(manifest),
        });
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(Located {
        component: path.to_owned(),
        golden: folder.join("golden"),
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        manifest: None,
    })
}

impl Located {
    /// Reads the component.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, ToolError> {
        let path = &self.component;
        let file = fs::File::open(path).map_err(|error| match (error.kind(), &self.manifest) {
            (std::io::ErrorKind::NotFound, Some(_)) => {
                ToolError::project(path, "it is not built yet", "run `millrace module build` first")
            }
            _ => ToolError::file(path, error),
        })?;
        let mut bytes = Vec::new();
        file.take(COMPONENT_LIMIT).read_to_end(&mut bytes).map_err(|error| ToolError::file(path, error))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_become_files_are_plain() {
        for good in ["a", "mask-email", "m2"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "2m", "a.b", "a/b", "ä", &"a".repeat(61)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_is_a_project_or_said_not_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let failure = locate(folder.path()).unwrap_err().failure();
        assert_eq!(failure.code, "module_project");
        assert!(failure.mend.contains("module new"));
        let manifest = "name = \"m\"\nlang = \"rust\"\nstage = \"map\"\nkit = \"0.1.0\"\n";
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        let located = locate(folder.path()).unwrap();
        assert_eq!(located.component, folder.path().join("m.wasm"));
        assert!(located.read().unwrap_err().failure().mend.contains("module build"));
        fs::write(folder.path().join(MANIFEST), manifest.replace("map", "mop")).unwrap();
        assert!(locate(folder.path()).unwrap_err().to_string().contains("one of filter, map"));
    }
}
