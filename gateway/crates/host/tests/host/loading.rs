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

/// Bytes with their length before them, as LEB128.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut out = leb(bytes.len());
    out.extend_from_slice(bytes);
    out
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// Core modules a component holds: sections 1 of its outermost level.
fn core_modules(component: &[u8]) -> usize {
    let (mut at, mut count) = (8, 0);
    while at < component.len() {
        count += usize::from(component[at] == 1);
        at += 1;
        let (mut size, mut shift) = (0, 0);
        loop {
            let byte = component[at];
            at += 1;
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        at += size;
    }
    count
}

/// The default filter with one more core module in it, of one section, and so many instances of that.
fn with_core_module(section: &[u8], instances: usize) -> Vec<u8> {
    let core = [b"\0asm\x01\0\0\0", section].concat();
    let index = leb(core_modules(defaults::SELECT));
    let mut made = leb(instances);
    // (core instance (instantiate INDEX)), without arguments.
    (0..instances).for_each(|_| made.extend([vec![0], index.clone(), vec![0]].concat()));
    [defaults::SELECT.to_vec(), vec![1], sized(&core), vec![2], sized(&made)].concat()
}

/// A section of so many tables of functions, each with so many elements.
fn tables(count: usize, elements: usize) -> Vec<u8> {
    let mut content = leb(count);
    (0..count).for_each(|_| content.extend([vec![0x70, 0], leb(elements)].concat()));
    [vec![4], sized(&content)].concat()
}

/// A section of one memory of so many pages.
fn memory(pages: usize) -> Vec<u8> {
    [vec![5], sized(&[vec![1, 0], leb(pages)].concat())].concat()
}

#[test]
fn a_component_of_too_many_tables_instances_or_memories_is_refused() {
    let limits = Limits::default();
    let load = |bytes: &[u8]| Module::load(engine(), "m", bytes, None).map_err(|error| error.failure());
    for (what, good) in [
        ("a table", with_core_module(&tables(1, 1), 1)),
        ("a large table", with_core_module(&tables(1, limits.table_elements), 1)),
        ("tables", with_core_module(&tables(10, 1), 1)),
        ("instances", with_core_module(&[], 20)),
        ("a memory", with_core_module(&memory(1), 1)),
    ] {
        load(&good).unwrap_or_else(|failure| panic!("{what}: {failure}"));
    }
    for (what, bad, words) in [
        ("tables", with_core_module(&tables(limits.tables + 1, 1), 1), "table"),
        ("tables of many instances", with_core_module(&tables(10, 1), 7), "table"),
        ("elements", with_core_module(&tables(1, limits.table_elements + 1), 1), "its limit of 100000 elements"),
        ("instances", with_core_module(&[], limits.instances + 1), "instance"),
        ("memories", with_core_module(&memory(1), 17), "memor"),
        ("memory", with_core_module(&memory(limits.memory_bytes / 65536 + 1), 1), "memory limit of"),
    ] {
        let failure = load(&bad).map(drop).expect_err(what);
        assert_eq!(failure.code, "module_about_failed", "{what}: {failure}");
        assert!(failure.why.contains(words), "{what}: {}", failure.why);
    }
}

#[test]
fn a_cache_entry_that_is_not_ours_is_compiled_anew_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let load = |bytes: &[u8]| {
        let engine = HostEngine::new(Limits::default(), Some(directory.path())).unwrap();
        Module::load(&engine, "m", bytes, Some(Digest::of(bytes).0)).unwrap().about().name.clone()
    };
    let entry = |bytes: &[u8]| {
        let digest = Digest::of(bytes).to_string();
        let entries = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&digest)).collect::<Vec<_>>()
    };
    let names = (load(defaults::SELECT), load(defaults::TOPIC_ROUTER));
    let (select, router) = (entry(defaults::SELECT), entry(defaults::TOPIC_ROUTER));
    assert_eq!((select.len(), router.len()), (1, 1));
    let whole = std::fs::read(&select[0]).unwrap();
    // Tampered with; cut short; another module's, whole and well.
    let mut tampered = whole.clone();
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    for bytes in [tampered, whole[..40].to_vec(), std::fs::read(&router[0]).unwrap()] {
        std::fs::write(&select[0], &bytes).unwrap();
        assert_eq!(load(defaults::SELECT), names.0);
        assert_ne!(std::fs::read(&select[0]).unwrap(), bytes, "it is replaced");
    }
    // What another engine compiled has another name and is left alone.
    let other = HostEngine::new(Limits { fuel: Some(u64::MAX), ..Limits::default() }, Some(directory.path())).unwrap();
    Module::load(&other, "m", defaults::SELECT, None).unwrap();
    let both = entry(defaults::SELECT);
    assert_eq!(both.len(), 2);
    let foreign = both.iter().find(|path| **path != select[0]).unwrap();
    // Under our name it is refused.
    std::fs::copy(foreign, &select[0]).unwrap();
    assert_eq!(load(defaults::SELECT), names.0);
    assert_ne!(std::fs::read(&select[0]).unwrap(), std::fs::read(foreign).unwrap());
    assert_eq!(load(defaults::TOPIC_ROUTER), names.1);
}
