//! Components before they run.

use crate::rows::{PROBE, engine};
use millrace_host::{Digest, Grant, HostEngine, Limits, Module, ModuleError, StageKind, defaults};

#[test]
fn the_defaults_load_and_say_what_they_are() {
    let cases = [
        ("select", defaults::SELECT, StageKind::Filter),
        ("topic-router", defaults::TOPIC_ROUTER, StageKind::Route),
        ("drs-json", defaults::DRS_JSON, StageKind::Format),
    ];
    for (name, bytes, kind) in cases {
        let module = Module::load(engine(), name, bytes, Some(Digest::of(bytes).0)).unwrap();
        assert_eq!((module.name(), module.digest()), (name, Digest::of(bytes)));
        assert_eq!(StageKind::ALL.map(|k| module.exports(k)), StageKind::ALL.map(|k| k == kind), "{name}");
        assert!(module.about().config_schema.contains("properties"), "{name}");
        assert!(!module.about().stateful);
    }
    let probe = Module::load_with(engine(), "probe", PROBE, None, &[Grant::Counter]).unwrap();
    assert!(StageKind::ALL.iter().all(|kind| probe.exports(*kind)));
    assert_eq!(probe.about().name, "probe");
}

/// A component with one import, in the binary format: a type section with an instance type that exports one function, and an
/// import section that names it.
fn importing(name: &str) -> Vec<u8> {
    // (instance (type (func)) (export "f" (func (type 0))))
    let kind: &[u8] = &[0x01, 0x42, 0x02, 0x01, 0x40, 0x00, 0x01, 0x00, 0x04, 0x00, 0x01, b'f', 0x01, 0x00];
    let mut import = vec![0x01, 0x00, name.len() as u8];
    import.extend_from_slice(name.as_bytes());
    import.extend_from_slice(&[0x05, 0x00]);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    for (section, content) in [(7u8, kind), (10, &import)] {
        component.push(section);
        component.push(content.len() as u8);
        component.extend_from_slice(content);
    }
    component
}

#[test]
fn imports_that_nobody_grants_are_named() {
    let load = |name| Module::load(engine(), "m", &importing(name), None).unwrap_err();
    let error = load("wasi:cli/environment@0.2.0");
    let ModuleError::UnknownImports(names) = &error.why else { panic!("{error}") };
    assert_eq!(names, &["wasi:cli/environment@0.2.0"]);
    assert_eq!(error.failure().code, "module_unknown_import");

    // What can be granted is refused like anything else where it is not.
    let error = Module::load(engine(), "m", PROBE, None).unwrap_err();
    let ModuleError::UnknownImports(names) = &error.why else { panic!("{error}") };
    assert_eq!(names, &["millrace:transform/counter@1.0.0"]);
    assert!(error.failure().mend.contains("grants = [\"counter\"]"), "{}", error.failure().mend);

    let error = load("millrace:transform/lookup@1.0.0");
    assert_eq!(error.failure().code, "module_unknown_import", "{error}");

    let error = load("millrace:transform/log@2.0.0");
    assert_eq!(error.failure().code, "module_other_contract", "{error}");

    // The right name and another shape.
    let error = load("millrace:transform/log@1.0.0");
    assert_eq!(error.failure().code, "module_wrong_shape", "{error}");
}

#[test]
fn a_start_from_the_cache_is_the_same_module() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let engine = HostEngine::new(Limits::default(), Some(directory.path())).unwrap();
        let module = Module::load(&engine, "select", defaults::SELECT, None).unwrap();
        assert!(module.exports(StageKind::Filter));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
