//! `millrace module build`: the language's own toolchain, asked for a component.
//!
//! Owns which compiler is taken, what it is told, and where the component ends up. Must not install anything: what is missing is named
//! with the way to get it.

use crate::error::ToolError;
use crate::project::{Language, Manifest, stage};
use crate::scaffold::source;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The target of components in Rust: no WASI, so nothing to import.
const TARGET: &str = "wasm32-unknown-unknown";
/// Names a compiler for it where rustup's has no such target.
const RUSTC: &str = "MILLRACE_GUEST_RUSTC";

/// Builds a project; gives its component's file. The toolchain writes to standard error.
///
/// # Errors
/// No project, no toolchain, or a build that fails.
pub fn build(folder: &Path) -> Result<PathBuf, ToolError> {
    let manifest = Manifest::read(folder)?;
    let component = folder.join(format!("{}.wasm", manifest.name));
    // Absolute, because the toolchains run in the project's folder.
    let out = std::path::absolute(&component).map_err(|error| ToolError::file(&component, error))?;
    let part = out.with_extension("wasm.part");
    match manifest.lang {
        Language::Rust => rust(folder, &manifest, &part)?,
        Language::C | Language::Js | Language::Python => kit(folder, &manifest, &part)?,
    }
    // Whole or not at all: a gateway may be watching the file.
    fs::rename(&part, &out).map_err(|error| ToolError::file(&out, error))?;
    Ok(component)
}

fn run(command: &mut Command, what: &str) -> Result<(), ToolError> {
    let tool = command.get_program().to_string_lossy().into_owned();
    // Standard output is for the answer of this program.
    let status = command.stdout(std::io::stderr()).status().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            ToolError::Toolchain { why: format!("{tool} is not here"), mend: install(&tool) }
        }
        _ => ToolError::Build(format!("{tool}: {error}")),
    })?;
    if status.success() { Ok(()) } else { Err(ToolError::Build(format!("{what} ended with {status}"))) }
}

fn install(tool: &str) -> String {
    match tool {
        "cargo" => "install Rust: https://rustup.rs, then `rustup target add wasm32-unknown-unknown`".to_owned(),
        "node" => "install Node.js 20 or newer and npm".to_owned(),
        _ => format!("install {tool}, or put it on the PATH"),
    }
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A compiler that has the target's standard library.
fn rustc() -> Result<PathBuf, ToolError> {
    if let Some(given) = env::var_os(RUSTC).filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        if answer(Command::new(&given).arg("-V")).is_none() {
            let why = format!("{RUSTC} names {}, which does not run", given.display());
            return Err(ToolError::Toolchain { why, mend: "correct it, or unset it".to_owned() });
        }
        return Ok(given);
    }
    let Some(libraries) = answer(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET])) else {
        return Err(ToolError::Toolchain { why: "there is no rustc".to_owned(), mend: install("cargo") });
    };
    let core = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    if fs::read_dir(libraries).is_ok_and(|entries| entries.filter_map(Result::ok).any(core)) {
        return Ok(PathBuf::from("rustc"));
    }
    Err(ToolError::Toolchain {
        why: format!("the Rust compiler here has no standard library for {TARGET}"),
        mend: format!(
            "rustup target add {TARGET}\nor, where that cannot run, `guest-sdk/toolchain.sh DEST` of the Millrace sources, then {RUSTC}=DEST/rustc"
        ),
    })
}

/// The folder with `wasm-component-ld` and `rust-lld`: rustc does not search it for this target.
fn linkers(rustc: &Path) -> Result<PathBuf, ToolError> {
    let host = answer(Command::new(rustc).arg("-vV"))
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)));
    let sysroot = answer(Command::new(rustc).args(["--print", "sysroot"]));
    let folder = match (sysroot, host) {
        (Some(sysroot), Some(host)) => Path::new(&sysroot).join("lib/rustlib").join(host).join("bin"),
        _ => PathBuf::new(),
    };
    if folder.join("wasm-component-ld").exists() {
        return Ok(folder);
    }
    let why = format!("{} has no wasm-component-ld beside it", rustc.display());
    Err(ToolError::Toolchain { why, mend: "take rustup's toolchain, 1.85 or newer: it ships the linker".to_owned() })
}

fn rust(folder: &Path, manifest: &Manifest, out: &Path) -> Result<(), ToolError> {
    let rustc = rustc()?;
    let mut path = linkers(&rustc)?.into_os_string();
    if let Some(before) = env::var_os("PATH") {
        path.push(":");
        path.push(before);
    }
    let root = std::path::absolute(folder).map_err(|error| ToolError::file(folder, error))?;
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => std::path::absolute(target).map_err(|error| ToolError::file(folder, error))?,
        None => root.join("target"),
    };
    // Paths of this machine stay out of the component: panic messages name files.
    let mut flags = format!("-Ctarget-feature=+simd128\x1f--remap-path-prefix={}=", root.display());
    if let Some(home) = env::var_os("CARGO_HOME").map(PathBuf::from).or(env::home_dir().map(|home| home.join(".cargo")))
    {
        flags.push_str(&format!("\x1f--remap-path-prefix={}=crates", home.join("registry/src").display()));
    }
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&root)
        .args(["build", "--release", "--ignore-rust-version", "--target", TARGET, "--lib", "--target-dir"])
        .arg(&target)
        .env("RUSTC", rustc)
        .env("PATH", path)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-component-ld")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET");
    run(&mut cargo, "cargo build")?;
    let built = target.join(TARGET).join("release").join(format!("{}.wasm", manifest.name.replace('-', "_")));
    fs::copy(&built, out).map_err(|error| ToolError::file(&built, error))?;
    Ok(())
}

/// The kits of the other languages bring a script: OUT, SOURCE, and where the language needs it the stage.
fn kit(folder: &Path, manifest: &Manifest, out: &Path) -> Result<(), ToolError> {
    let kind = stage(&manifest.stage).map_err(ToolError::Stage)?;
    let kit = Path::new("kit/guest-sdk").join(manifest.lang.as_str());
    let mut command = match manifest.lang {
        Language::Js => Command::new("node"),
        _ => Command::new("bash"),
    };
    command.arg(kit.join(if manifest.lang == Language::Js { "build.mjs" } else { "build.sh" }));
    command.arg(out).arg(source(manifest.lang, kind)).current_dir(folder);
    if manifest.lang != Language::C {
        command.arg(kind.as_str());
    }
    run(&mut command, "the kit's build")
}
