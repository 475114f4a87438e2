//! `millrace module new`: a project that builds with a plain toolchain.
//!
//! Owns what is written down: the kit and the contract as this version has them, the module's first source, its golden files, config
//! schema, README and description. Nothing is fetched, and nothing that exists is overwritten.

use crate::embedded;
use crate::error::ToolError;
use crate::project::{Language, MANIFEST, Manifest, check_name};
use millrace_host::StageKind;
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// Version whose kit a project carries.
pub const KIT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A project to make.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Name of the module and its component.
    pub name: &'a str,
    /// Folder to make.
    pub folder: &'a Path,
    /// Language.
    pub lang: Language,
    /// Stage.
    pub kind: StageKind,
}

/// Makes the project; gives the files written, from its folder.
///
/// # Errors
/// A name that cannot be one, a folder that has something in it, a language this build has no kit for, or a file that cannot be written.
pub fn new(project: &New<'_>) -> Result<Vec<PathBuf>, ToolError> {
    let New { name, folder, lang, kind } = project;
    check_name(name).map_err(|why| ToolError::project(folder, why, "choose another name"))?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        let why = "it is there already and not empty";
        return Err(ToolError::project(folder, why, "choose another name or folder, or remove it"));
    }
    let files = files(name, *lang, *kind).ok_or_else(|| {
        ToolError::project(folder, format!("this build has no kit for {lang}"), "choose another language")
    })?;
    for (path, content) in &files {
        let path = folder.join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        written.map_err(|error| ToolError::file(&path, error))?;
        if path.extension().is_some_and(|extension| extension == "sh") {
            executable(&path).map_err(|error| ToolError::file(&path, error))?;
        }
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The module's source within a project.
pub(crate) fn source(lang: Language, kind: StageKind) -> String {
    match lang {
        Language::Rust => "src/lib.rs".to_owned(),
        Language::C => format!("{kind}.c"),
        Language::Js => format!("{kind}.js"),
        Language::Python => format!("{kind}_module.py"),
    }
}

fn kit(lang: Language) -> &'static [(&'static str, &'static [u8])] {
    match lang {
        Language::Rust => embedded::RUST,
        Language::C => embedded::C,
        Language::Js => embedded::JS,
        Language::Python => embedded::PYTHON,
    }
}

/// Every file of a project; None where there is no template for it.
fn files(name: &str, lang: Language, kind: StageKind) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let fill = |text: &str| text.replace("@NAME@", name).replace("@TYPE@", &type_name(name));
    let ending = match lang {
        Language::Rust => "rs",
        Language::C => "c",
        Language::Js => "js",
        Language::Python => "py",
    };
    let template = format!("guest-sdk/templates/{lang}/{kind}.{ending}");
    let (_, text) = embedded::TEMPLATES.iter().find(|(path, _)| *path == template)?;
    let text = fill(std::str::from_utf8(text).ok()?);
    let mut files = vec![
        (PathBuf::from(source(lang, kind)), text.into_bytes()),
        (PathBuf::from("config.schema.json"), schema(name, kind).into_bytes()),
        (PathBuf::from("README.md"), readme(name, lang, kind).into_bytes()),
        (PathBuf::from(MANIFEST), manifest(name, lang, kind).into_bytes()),
        (PathBuf::from(".gitignore"), b"/target\n*.wasm\nnode_modules\n__pycache__\n".to_vec()),
    ];
    if lang == Language::Rust {
        files.push((PathBuf::from("Cargo.toml"), fill(include_str!("../templates/Cargo.toml.in")).into_bytes()));
    }
    let golden = format!("guest-sdk/templates/golden/{kind}/");
    for (path, content) in embedded::TEMPLATES {
        if let Some(file) = path.strip_prefix(&golden) {
            files.push((Path::new("golden").join(file), content.to_vec()));
        }
    }
    for (path, content) in embedded::CONTRACT.iter().chain(kit(lang)) {
        let content = match *path {
            "guest-sdk/rust/Cargo.toml" => standing_alone(std::str::from_utf8(content).ok()?, embedded::WORKSPACE)?,
            _ => content.to_vec(),
        };
        files.push((Path::new("kit").join(path), content));
    }
    Some(files)
}

/// `mask-email` as a type: `MaskEmail`.
fn type_name(name: &str) -> String {
    let part = |part: &str| part.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(part.chars().skip(1)).collect();
    name.split('-').map(part).collect::<Vec<String>>().concat()
}

/// What the templates' config is in the golden files, as JSON and TOML.
fn config(kind: StageKind) -> (&'static str, &'static str) {
    match kind {
        StageKind::Filter | StageKind::Map => (r#"{"column":"email"}"#, r#"{ column = "email" }"#),
        StageKind::Route => (r#"{"topic":"orders","column":"region"}"#, r#"{ topic = "orders", column = "region" }"#),
        StageKind::Format => ("{}", "{}"),
    }
}

fn schema(name: &str, kind: StageKind) -> String {
    let properties = match kind {
        StageKind::Filter => {
            serde_json::json!({ "column": { "type": "string", "description": "rows where it is NULL are dropped" } })
        }
        StageKind::Map => {
            serde_json::json!({ "column": { "type": "string", "description": "its text is replaced by stars" } })
        }
        StageKind::Route => serde_json::json!({
            "topic": { "type": "string", "description": "where every record goes" },
            "column": { "type": "string", "description": "its text decides the partition" },
        }),
        StageKind::Format => serde_json::json!({}),
    };
    let required: Vec<String> = properties.as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default();
    let schema = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name, "type": "object", "additionalProperties": false, "required": required, "properties": properties,
    });
    format!("{schema:#}\n")
}

fn readme(name: &str, lang: Language, kind: StageKind) -> String {
    let (json, toml) = config(kind);
    let table = match kind {
        StageKind::Filter => "[[modules.filter]]",
        StageKind::Map => "[[modules.map]]",
        StageKind::Route => "[modules.route]",
        StageKind::Format => "[modules.format]",
    };
    let language = match lang {
        Language::Rust => "Rust",
        Language::C => "C",
        Language::Js => "JavaScript",
        Language::Python => "Python",
    };
    include_str!("../templates/README.md.in")
        .replace("@NAME@", name)
        .replace("@STAGE@", kind.as_str())
        .replace("@LANG@", language)
        .replace("@SOURCE@", &source(lang, kind))
        .replace("@VERSION@", KIT_VERSION)
        .replace("@CONFIG@", json)
        .replace("@TASK@", table)
        .replace("@TOML@", toml)
}

fn manifest(name: &str, lang: Language, kind: StageKind) -> String {
    let manifest =
        Manifest { name: name.to_owned(), lang, stage: kind.as_str().to_owned(), kit: KIT_VERSION.to_owned() };
    format!("# What `millrace module` knows of this folder.\n{}", toml::to_string(&manifest).unwrap_or_default())
}

/// A member's manifest as one that needs no workspace: what it inherits is written out, and what only its own tests and lints need is
/// left out. None where one of the two cannot be read, which a test excludes.
fn standing_alone(member: &str, workspace: &str) -> Option<Vec<u8>> {
    let mut member: Table = toml::from_str(member).ok()?;
    let workspace: Table = toml::from_str(workspace).ok()?;
    let shared = workspace.get("workspace")?.as_table()?;
    let inherits = |value: &Value| value.get("workspace").and_then(Value::as_bool) == Some(true);
    for (key, value) in member.get_mut("package")?.as_table_mut()?.iter_mut() {
        if inherits(value) {
            *value = shared.get("package")?.get(key)?.clone();
        }
    }
    for section in ["dependencies", "build-dependencies"] {
        let Some(dependencies) = member.get_mut(section).and_then(Value::as_table_mut) else { continue };
        for (name, value) in dependencies.iter_mut().filter(|(_, value)| inherits(value)) {
            let mut whole = match shared.get("dependencies")?.get(name)? {
                Value::Table(table) => table.clone(),
                version => Table::from_iter([("version".to_owned(), version.clone())]),
            };
            let mut own = value.as_table()?.clone();
            own.remove("workspace");
            if let Some(Value::Array(more)) = own.remove("features") {
                let features = whole.entry("features").or_insert_with(|| Value::Array(Vec::new()));
                features.as_array_mut()?.extend(more);
            }
            whole.extend(own);
            *value = Value::Table(whole);
        }
    }
    member.remove("lints");
    member.remove("dev-dependencies");
    Some(toml::to_string(&member).ok()?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_as_a_type() {
        assert_eq!(type_name("mask-email2-x"), "MaskEmail2X");
    }

    #[test]
    fn every_project_of_rust_is_whole_and_needs_no_workspace() {
        for kind in StageKind::ALL {
            let files = files("my-module", Language::Rust, kind).unwrap();
            let text = |path: &str| {
                let found = files.iter().find(|(file, _)| file == Path::new(path));
                std::str::from_utf8(&found.unwrap_or_else(|| panic!("no {path}")).1).unwrap().to_owned()
            };
            let kit: Table = toml::from_str(&text("kit/guest-sdk/rust/Cargo.toml")).unwrap();
            assert!(!text("kit/guest-sdk/rust/Cargo.toml").contains("workspace"));
            assert!(
                kit["dependencies"]["serde"]["version"].is_str()
                    && kit["dependencies"]["serde"]["optional"].as_bool().unwrap()
            );
            assert!(text("kit/wit/v1.0/transform.wit").contains("package millrace:transform"));
            assert!(text("src/lib.rs").contains("struct MyModule") && !text("src/lib.rs").contains('@'));
            assert!(!text("README.md").contains('@') && !text("Cargo.toml").contains('@'));
            assert!(
                text("golden/example.events.jsonl").contains(config(kind).0),
                "the README's config is that of the example"
            );
            assert!(text("golden/example.expected.jsonl").lines().count() > 3);
            let manifest: Manifest = toml::from_str(&text(MANIFEST)).unwrap();
            assert_eq!((manifest.stage.as_str(), manifest.kit.as_str()), (kind.as_str(), KIT_VERSION));
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let project = |name| New { name, folder: folder.path(), lang: Language::Rust, kind: StageKind::Map };
        assert!(new(&project("Bad Name")).unwrap_err().to_string().contains("no name"));
        fs::write(folder.path().join("mine"), "x").unwrap();
        assert!(new(&project("good")).unwrap_err().to_string().contains("not empty"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
