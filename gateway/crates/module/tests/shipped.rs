//! Every component under `transforms/prebuilt` gives in the host what its golden files say: the modules' own tests run the native
//! build, this one what is shipped.

use std::{fs, path::Path, sync::Arc};

use millrace_host::{HostEngine, Limits, Module, StageKind};
use millrace_module::golden::{Subject, run};

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
