//! The guest kits: one behaviour (`guest-sdk/conformance/README.md`) and its golden files, written in every language, run by the host.
//!
//! Templates of new projects and the samples of each language are held to their golden files here too. Each language's components
//! are built first, if anything changed, by `guest-sdk/conformance/build.sh`; what a toolchain cannot do fails the test with its words.

// Tests all over, helpers included.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use millrace_guest::sections;
use millrace_host::{Grant, HostEngine, Limits, Module, StageKind};
use millrace_module::golden::{self, Case, Subject};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

const STAGES: [StageKind; 4] = [StageKind::Filter, StageKind::Map, StageKind::Route, StageKind::Format];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Builds the components of a language; says where they are.
fn built(language: &str) -> PathBuf {
    let script = root().join("guest-sdk/conformance/build.sh");
    let output = Command::new(script).arg(language).output().unwrap();
    assert!(output.status.success(), "building the {language} kit:\n{}", String::from_utf8_lossy(&output.stderr));
    root().join("target/kits").join(language)
}

/// Interpreters are slow, and so is a busy machine: only the deadlines differ from the gateway's.
fn limits() -> Limits {
    Limits { call_timeout: Duration::from_secs(30), init_timeout: Duration::from_secs(60), ..Limits::default() }
}

fn load(component: &Path) -> Arc<Module> {
    let engine = HostEngine::new(limits(), None).unwrap();
    let bytes = fs::read(component).unwrap();
    let name = component.file_stem().unwrap().to_str().unwrap();
    Arc::new(Module::load_with(&engine, name, &bytes, None, &[Grant::Counter]).unwrap())
}

/// Holds one stage to the golden files of a folder.
fn holds(module: &Arc<Module>, kind: StageKind, folder: &Path) {
    let subject = Subject { module: module.clone(), kind, limits: limits(), config: "{}".to_owned() };
    let cases = golden::run(folder, &subject, false).unwrap();
    let failed: Vec<&Case> = cases.iter().filter(|case| !case.passed()).collect();
    assert!(failed.is_empty(), "{} as {kind}: {failed:#?}", module.name());
}

fn conforms(components: &Path) {
    let module = load(&components.join("conformance.wasm"));
    assert_eq!(module.about().name, "conformance");
    for kind in STAGES {
        holds(&module, kind, &root().join("guest-sdk/conformance/golden").join(kind.as_str()));
    }
}

/// The template of a stage, alone or in one component with the others.
fn templates(component: impl Fn(StageKind) -> Arc<Module>) {
    for kind in STAGES {
        holds(&component(kind), kind, &root().join("guest-sdk/templates/golden").join(kind.as_str()));
    }
}

/// A sample holds its golden files, and hands out the config schema that lies beside them.
fn sample(components: &Path, name: &str, kind: StageKind) {
    let folder = root().join("transforms/samples").join(name);
    let module = load(&components.join(format!("{name}.wasm")));
    holds(&module, kind, &folder.join("golden"));
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("config.schema.json")).unwrap()).unwrap();
    let told: serde_json::Value = serde_json::from_str(&module.about().config_schema).unwrap();
    assert_eq!(told, file, "config schema of {name}");
}

#[test]
fn rust() {
    conforms(&built("rust"));
}

#[test]
fn c() {
    let components = built("c");
    conforms(&components);
    templates(|kind| load(&components.join(format!("template-{kind}.wasm"))));
    sample(&components, "c-logfmt", StageKind::Format);
}

#[test]
fn javascript() {
    let components = built("js");
    conforms(&components);
    let all = load(&components.join("template.wasm"));
    templates(|_| all.clone());
    sample(&components, "js-order-events", StageKind::Format);
}

#[test]
fn python() {
    let components = built("python");
    conforms(&components);
    let all = load(&components.join("template.wasm"));
    templates(|_| all.clone());
    sample(&components, "python-threshold", StageKind::Filter);
}

/// Without the grant a module that counts is not loaded, whatever its language; one that does not count has no such import.
#[test]
fn what_is_not_granted_is_not_imported_unless_used() {
    let components = built("c");
    let engine = HostEngine::new(limits(), None).unwrap();
    let refused = |name: &str| {
        let bytes = fs::read(components.join(name)).unwrap();
        Module::load(&engine, name, &bytes, None).err().map(|error| error.failure().code)
    };
    assert_eq!(refused("conformance.wasm"), Some("module_unknown_import"));
    assert_eq!(refused("template-filter.wasm"), None);
}

/// The C kit's descriptions of worlds are those of the contract; `MILLRACE_BLESS=1` writes them.
#[test]
fn the_c_kit_carries_the_worlds_of_the_contract() {
    let mut text = "/* worlds.h: what a component carries in its component-type section, per world. Written by a test \
                    (gateway/crates/module/tests/kits.rs,\n * MILLRACE_BLESS=1) from the contract; do not edit. */\n\
                    #ifndef MILLRACE_WORLDS_H\n#define MILLRACE_WORLDS_H\n"
        .to_owned();
    for (name, world) in [
        ("filter", sections::FILTER),
        ("map", sections::MAP),
        ("route", sections::ROUTE),
        ("format", sections::FORMAT),
        ("transform", sections::TRANSFORM),
    ] {
        write!(text, "\n#define MR_WORLD_{name}").unwrap();
        for line in world.chunks(32) {
            let bytes: String = line.iter().map(|byte| format!("\\\\{byte:03o}")).collect();
            write!(text, " \\\n  \".ascii \\\"{bytes}\\\"\\n\"").unwrap();
        }
        text.push('\n');
    }
    text.push_str("\n#endif\n");
    let path = root().join("guest-sdk/c/include/worlds.h");
    if std::env::var_os("MILLRACE_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == text, "{} is of another contract", path.display());
}
