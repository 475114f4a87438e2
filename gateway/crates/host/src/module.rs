//! Components before they run.
//!
//! Owns the checks on a component's bytes (size, digest, kind, contract version, imports, exports, shapes), its compilation and what
//! it says of itself. Must not know tasks, chains or events.

use crate::contract::{self, Interface, describe, filter, format, map, route};
use crate::engine::HostEngine;
use crate::error::{LoadError, ModuleError, StageKind};
use crate::grant::Grant;
use crate::instance::{TEXT_LIMIT, explain, store};
use crate::limits::Limits;
use crate::log::line;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use crate::instance::State;

/// First bytes of a component: magic, then version 13 of layer 1 (Component Model binary format).
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
/// First bytes of a core module.
const CORE_HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits, with or without `sha256:` before them.
    pub fn parse(text: &str) -> Option<Digest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let mut digest = [0; 32];
        if hex.len() != 2 * digest.len() {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Some(Digest(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// JSON Schema of its configuration; empty where it has none.
    pub config_schema: String,
    /// True where an answer depends on changes before it: one instance per shard, never in parallel.
    pub stateful: bool,
}

/// A compiled component, ready to be instantiated by any number of chains.
pub struct Module {
    name: Arc<str>,
    digest: Digest,
    about: About,
    stages: [bool; 4],
    pre: InstancePre<State>,
    engine: HostEngine,
}

impl Module {
    /// Checks and compiles a component, or takes it from the compile cache, and asks what it is.
    ///
    /// `name` is what the configuration calls it. `pin` is the SHA-256 it must have; that is checked before anything of it is read.
    ///
    /// # Errors
    /// Every [`ModuleError`] is definite: the file is not what the task needs.
    pub fn load(engine: &HostEngine, name: &str, bytes: &[u8], pin: Option<[u8; 32]>) -> Result<Module, LoadError> {
        Module::load_with(engine, name, bytes, pin, &[])
    }

    /// As [`Module::load`], for a module that is granted something. A component that imports more is refused with the whole list.
    ///
    /// # Errors
    /// As [`Module::load`].
    pub fn load_with(
        engine: &HostEngine,
        name: &str,
        bytes: &[u8],
        pin: Option<[u8; 32]>,
        grants: &[Grant],
    ) -> Result<Module, LoadError> {
        Module::check(engine, name, bytes, pin, grants).map_err(|why| LoadError { module: name.to_owned(), why })
    }

    fn check(
        engine: &HostEngine,
        name: &str,
        bytes: &[u8],
        pin: Option<[u8; 32]>,
        grants: &[Grant],
    ) -> Result<Module, ModuleError> {
        let limits = engine.limits();
        if bytes.len() > limits.component_bytes {
            return Err(ModuleError::TooLarge { bytes: bytes.len(), limit: limits.component_bytes });
        }
        let digest = Digest::of(bytes);
        if let Some(pinned) = pin.map(Digest).filter(|pinned| *pinned != digest) {
            return Err(ModuleError::DigestMismatch { found: digest, pinned });
        }
        check_header(bytes)?;
        let component = compile(engine, bytes, &digest)?;
        check_imports(engine.engine(), &component, grants)?;
        let exports = exported_interfaces(engine.engine(), &component)?;
        let missing = |missing: String| ModuleError::MissingExport { missing, found: exports.join(", ") };
        let pre = engine
            .linker()
            .instantiate_pre(&component)
            // The imports have the granted names, so it is their shape that differs.
            .map_err(|error| ModuleError::WrongShape {
                interface: "imports",
                why: line(&format!("{error:#}"), TEXT_LIMIT),
            })?;
        if describe::GuestIndices::new(&pre).is_err() {
            return Err(missing(format!("{}describe", contract::PACKAGE)));
        }
        let stages = [
            filter::Guest::exported(&pre),
            map::Guest::exported(&pre),
            route::Guest::exported(&pre),
            format::Guest::exported(&pre),
        ];
        if !stages.contains(&true) {
            return Err(missing("any stage (filter, map, route, format)".into()));
        }
        let about =
            About { name: String::new(), version: String::new(), config_schema: String::new(), stateful: false };
        let mut module = Module { name: name.into(), digest, about, stages, pre, engine: engine.clone() };
        module.about = module.ask(limits)?;
        Ok(module)
    }

    /// Instantiates once, checks the shape of every stage, and calls `about`.
    fn ask(&self, limits: &Limits) -> Result<About, ModuleError> {
        // Not a stage's instance: it is gone before the first call of one, so what it uses is nobody's.
        let mut store = store(self, "describe", limits, Arc::default());
        let failed = |error: &wasmtime::Error, store: &mut _| {
            ModuleError::About(explain(error, store, limits, limits.init_timeout).message)
        };
        let instance = match self.pre.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => return Err(failed(&error, &mut store)),
        };
        let wrong = |interface: &'static str| {
            move |error: wasmtime::Error| ModuleError::WrongShape {
                interface,
                why: line(&format!("{error:#}"), TEXT_LIMIT),
            }
        };
        for kind in StageKind::ALL.into_iter().filter(|kind| self.exports(*kind)) {
            match kind {
                StageKind::Filter => filter::Guest::load(&mut store, &self.pre, &instance).map(drop),
                StageKind::Map => map::Guest::load(&mut store, &self.pre, &instance).map(drop),
                StageKind::Route => route::Guest::load(&mut store, &self.pre, &instance).map(drop),
                StageKind::Format => format::Guest::load(&mut store, &self.pre, &instance).map(drop),
            }
            .map_err(wrong(kind.as_str()))?;
        }
        let guest = describe::GuestIndices::new(&self.pre)
            .and_then(|indices| indices.load(&mut store, &instance))
            .map_err(wrong("describe"))?;
        match guest.call_about(&mut store) {
            Ok(about) => Ok(About {
                name: line(&about.name, TEXT_LIMIT),
                version: line(&about.version, TEXT_LIMIT),
                config_schema: about.config_schema,
                stateful: about.stateful,
            }),
            Err(error) => Err(failed(&error, &mut store)),
        }
    }

    /// What the configuration calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What it says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// True where it has this stage.
    pub fn exports(&self, kind: StageKind) -> bool {
        self.stages[kind as usize]
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    pub(crate) fn host_engine(&self) -> &HostEngine {
        &self.engine
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.engine()
    }

    pub(crate) fn pre(&self) -> &InstancePre<State> {
        &self.pre
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Tells components from everything else.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), ModuleError> {
    if bytes.starts_with(COMPONENT_HEADER) {
        return Ok(());
    }
    Err(ModuleError::NotComponent(if bytes.starts_with(CORE_HEADER) {
        "it is a core module"
    } else if bytes.starts_with(b"\0asm") {
        "it is WebAssembly of another kind or version"
    } else {
        "it does not begin as WebAssembly does"
    }))
}

pub(crate) fn compile(engine: &HostEngine, bytes: &[u8], digest: &Digest) -> Result<Component, ModuleError> {
    if let Some(component) = engine.cache().and_then(|cache| cache.load(engine.engine(), digest)) {
        return Ok(component);
    }
    let component = Component::from_binary(engine.engine(), bytes)
        .map_err(|error| ModuleError::Compile(line(&format!("{error:#}"), TEXT_LIMIT)))?;
    if let Some(cache) = engine.cache() {
        cache.store(digest, &component);
    }
    Ok(component)
}

/// An interface of the contract, by its full name; an error where its major version is another.
fn interface_of_contract(name: &str) -> Result<Option<&str>, ModuleError> {
    let Some(rest) = name.strip_prefix(contract::PACKAGE) else { return Ok(None) };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
    if major != Some(contract::MAJOR) {
        return Err(ModuleError::OtherContract { interface: name.to_owned() });
    }
    Ok(Some(interface))
}

/// Lets `log`, what is granted, and interfaces that hold types alone pass; everything else is refused by name (I4).
fn check_imports(engine: &Engine, component: &Component, grants: &[Grant]) -> Result<(), ModuleError> {
    let mut unknown = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        if interface_of_contract(name)? == Some("log")
            || Grant::of_import(name).is_some_and(|wish| grants.contains(&wish))
        {
            continue;
        }
        let types_only = match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
            }
            ComponentItem::Type(_) => true,
            _ => false,
        };
        if !types_only {
            unknown.push(line(name, TEXT_LIMIT));
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(ModuleError::UnknownImports(unknown)) }
}

fn exported_interfaces(engine: &Engine, component: &Component) -> Result<Vec<String>, ModuleError> {
    let mut names = Vec::new();
    for (name, _) in component.component_type().exports(engine) {
        interface_of_contract(name)?;
        names.push(line(name, TEXT_LIMIT));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes: &[u8], pin: Option<[u8; 32]>) -> LoadError {
        let limits = Limits { component_bytes: 64, ..Limits::default() };
        let engine = HostEngine::new(limits, None).unwrap();
        Module::load(&engine, "m", bytes, pin).unwrap_err()
    }

    #[test]
    fn what_is_no_component_is_refused_by_name() {
        let code = |bytes: &[u8], pin| load(bytes, pin).failure().code;
        assert_eq!(code(b"", None), "module_not_component");
        assert_eq!(code(CORE_HEADER, None), "module_not_component");
        assert_eq!(code(b"#!/bin/sh", None), "module_not_component");
        assert_eq!(code(&[0; 65], None), "module_too_large");
        assert_eq!(code(COMPONENT_HEADER, Some([0; 32])), "module_digest_mismatch");
        assert_eq!(code(COMPONENT_HEADER, Some(Digest::of(COMPONENT_HEADER).0)), "module_missing_export");
        assert_eq!(code(b"\0asm\x0d\0\x01\0garbage", None), "module_compile");
    }

    #[test]
    fn a_digest_reads_what_it_prints() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse(&format!("sha256:{digest}").to_uppercase().replace("SHA256", "sha256")), Some(digest));
        assert_eq!(Digest::parse("sha256:12"), None);
        assert_eq!(Digest::parse(&"g".repeat(64)), None);
    }

    #[test]
    fn other_majors_of_the_contract_are_told_apart() {
        assert!(matches!(interface_of_contract("millrace:transform/log@1.7.0"), Ok(Some("log"))));
        assert!(matches!(interface_of_contract("wasi:io/poll@0.2.0"), Ok(None)));
        assert!(interface_of_contract("millrace:transform/log@2.0.0").is_err());
        assert!(interface_of_contract("millrace:transform/log").is_err());
    }
}
