//! Every component under `transforms/prebuilt` gives in the host what its golden files say: the modules' own tests run the native
//! build, this one what is shipped.

use std::{fs, path::Path, sync::Arc};

use millrace_host::{HostEngine, Limits, Module, StageKind};
use millrace_module::golden::{Subject, run};
use millrace_module::inspect::{self, Wanted};

#[test]
fn components_hold_their_golden_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../transforms");
    let engine = HostEngine::new(Limits::default(), None).unwrap();
    let mut folders = 0;
    for component in fs::read_dir(root.join("prebuilt")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = component.file_stem().unwrap().to_str().unwrap().to_owned();
        if component.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let module = Arc::new(Module::load(&engine, &name, &fs::read(&component).unwrap(), None).unwrap());
        for kind in [StageKind::Filter, StageKind::Map, StageKind::Route, StageKind::Format] {
            let golden = root.join(&name).join("golden");
            // A module of several stages has a folder for each.
            let own = golden.join(kind.as_str());
            let folder = if own.is_dir() { own } else { golden };
            let has_files = fs::read_dir(&folder).unwrap().any(|entry| entry.unwrap().path().is_file());
            if !module.exports(kind) || !has_files {
                continue;
            }
            let subject =
                Subject { module: Arc::clone(&module), kind, limits: Limits::default(), config: "{}".to_owned() };
            for case in run(&folder, &subject, false).unwrap() {
                assert!(case.passed(), "{name}, {}: {:?}", case.name, case.outcome);
            }
            folders += 1;
        }
    }
    assert!(folders >= 13, "{folders}");
}

/// The options a module knows are those of its schema: a name that is none is refused with the list of the others.
#[test]
fn schemas_name_the_options_that_the_modules_take() {
    let prebuilt = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../transforms/prebuilt");
    let engine = HostEngine::new(Limits::default(), None).unwrap();
    let mut modules = 0;
    for component in fs::read_dir(prebuilt).unwrap().map(|entry| entry.unwrap().path()) {
        if component.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let name = component.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&component).unwrap();
        let module = Module::load(&engine, &name, &bytes, None).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&module.about().config_schema).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{name}");
        let mut said: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        said.sort_unstable();
        let kinds = [StageKind::Filter, StageKind::Map, StageKind::Route, StageKind::Format];
        for kind in kinds.into_iter().filter(|kind| module.exports(*kind)) {
            let wanted = Wanted {
                sha256: None,
                grants: Vec::new(),
                kind: Some(kind),
                config: r#"{"no such option": 1}"#.to_owned(),
                limits: Limits::default(),
            };
            let refused = inspect::verify(&engine, &name, &bytes, &wanted, None).unwrap_err().to_string();
            let list = refused.split_once("expected").unwrap_or_else(|| panic!("{name}: {refused}")).1;
            let mut taken: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
            taken.sort_unstable();
            assert_eq!(taken, said, "{name}: {refused}");
        }
        modules += 1;
    }
    assert_eq!(modules, 11);
}
