//! `millrace module` and `replay` from outside: what they answer, how they end, and that the documents' commands work.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_millrace");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

fn prebuilt(name: &str) -> String {
    root().join(format!("transforms/prebuilt/{name}.wasm")).display().to_string()
}

fn millrace(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).env_remove("XDG_CACHE_HOME").output().expect("an output")
}

/// The answer of a command with `--json`, and its exit code.
fn asked(args: &[&str]) -> (Value, i32) {
    let out = millrace(&[args, &["--json"]].concat());
    let answer = serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {out:?}"));
    (answer, out.status.code().expect("an exit code"))
}

/// The code of a failure; it is definite and says what mends it.
fn refused(args: &[&str]) -> String {
    let (answer, code) = asked(args);
    assert_eq!(code, 3, "{answer}");
    assert!(answer["error"]["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{answer}");
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn every_golden_file_of_the_modules_that_ship_holds_in_the_component() {
    let mut modules = 0;
    for entry in std::fs::read_dir(root().join("transforms/prebuilt")).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".wasm")) else { continue };
        let golden = root().join("transforms").join(name).join("golden");
        let (surface, code) = asked(&["module", "inspect", &text(&path)]);
        assert_eq!((code, &surface["refused"]), (0, &Value::Null), "{surface}");
        let stages = surface["stages"].as_array().unwrap();
        let mut held = 0;
        let grants: Vec<&str> = surface["grants"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for stage in stages.iter().filter_map(Value::as_str) {
            // One with several stages has a folder for each.
            let folder = if stages.len() == 1 { golden.clone() } else { golden.join(stage) };
            if stages.len() > 1 && !folder.exists() {
                // The kit's type for several stages has all four; what one does not do, nobody asks of it.
                continue;
            }
            let mut args =
                vec!["module", "test", path.to_str().unwrap(), "--stage", stage, "--golden", folder.to_str().unwrap()];
            grants.iter().for_each(|grant| args.extend(["--grant", grant]));
            let (answer, code) = asked(&args);
            assert_eq!(code, 0, "{name} {stage}: {answer:#}");
            held += answer["cases"].as_array().unwrap().len();
        }
        assert!(held > 0, "{name}");
        modules += 1;
    }
    assert!(modules >= 3, "the defaults at least");
}

#[test]
fn a_difference_is_shown_by_field_and_blessed_away() {
    let folder = tempfile::tempdir().unwrap();
    let golden = root().join("transforms/drs-json/golden");
    for name in ["envelope.events.jsonl", "envelope.expected.jsonl"] {
        std::fs::copy(golden.join(name), folder.path().join(name)).unwrap();
    }
    let expected = folder.path().join("envelope.expected.jsonl");
    let right = std::fs::read_to_string(&expected).unwrap();
    std::fs::write(&expected, right.replacen("cloud", "clown", 1)).unwrap();
    let module = prebuilt("drs-json");
    let test = ["module", "test", &module, "--golden", &text(folder.path())];
    let (answer, code) = asked(&test);
    assert_eq!(code, 5, "{answer:#}");
    let differences = &answer["cases"][0]["differences"];
    assert_eq!(differences.as_array().unwrap().len(), 1, "{differences}");
    assert_eq!(differences[0]["about"], "id 332");
    let field = json!([{ "path": "value.data[0].name", "expected": "clown", "got": "cloud" }]);
    assert_eq!(differences[0]["fields"], field);
    let out = String::from_utf8(millrace(&test).stdout).unwrap();
    assert!(out.contains("value.data[0].name\n      - \"clown\"\n      + \"cloud\""), "{out}");
    assert!(!out.contains('\u{1b}'), "no colours where nobody sees them");

    std::fs::remove_file(&expected).unwrap();
    let (answer, code) = asked(&test);
    assert_eq!((code, &answer["cases"][0]["outcome"]), (5, &json!("unblessed")));
    let (answer, code) = asked(&[&test[..], &["--bless"]].concat());
    assert_eq!((code, &answer["cases"][0]["outcome"]), (0, &json!("blessed")));
    assert_eq!(std::fs::read_to_string(&expected).unwrap(), right);
    assert_eq!(asked(&test).1, 0);

    let events = folder.path().join("envelope.events.jsonl");
    std::fs::write(&events, "{\"config\":{}}\n{\"change\":7}\n").unwrap();
    assert_eq!(refused(&test), "events_unreadable");
    std::fs::remove_file(&events).unwrap();
    assert_eq!(refused(&test), "golden_missing");
}

/// A component with one import or none, in the binary format.
fn component(import: Option<&str>) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    let Some(name) = import else { return component };
    // (instance (type (func)) (export "f" (func (type 0))))
    let kind: &[u8] = &[0x01, 0x42, 0x02, 0x01, 0x40, 0x00, 0x01, 0x00, 0x04, 0x00, 0x01, b'f', 0x01, 0x00];
    let mut import = vec![0x01, 0x00, name.len() as u8];
    import.extend_from_slice(name.as_bytes());
    import.extend_from_slice(&[0x05, 0x00]);
    for (section, content) in [(7u8, kind), (10, &import)] {
        component.push(section);
        component.push(content.len() as u8);
        component.extend_from_slice(content);
    }
    component
}

#[test]
fn what_a_gateway_would_refuse_is_told_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.wasm");
    let module = text(&file);
    for (bytes, code) in [
        (b"#!/bin/sh".to_vec(), "module_not_component"),
        (b"\0asm\x01\0\0\0".to_vec(), "module_not_component"),
        (b"\0asm\x0d\0\x01\0garbage".to_vec(), "module_compile"),
        (component(None), "module_missing_export"),
        (component(Some("wasi:cli/environment@0.2.0")), "module_unknown_import"),
        (component(Some("millrace:transform/log@2.0.0")), "module_other_contract"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(refused(&["module", "verify", &module]), code);
    }
    // What it imports is told all the same.
    let (answer, code) = asked(&["module", "inspect", &module]);
    assert_eq!((code, &answer["contract"]), (0, &json!(["2.0.0"])));
    assert_eq!(answer["refused"]["code"], "module_other_contract");

    let select = prebuilt("select");
    assert_eq!(refused(&["module", "verify", &select, "--config", r#"{"include":[]}"#]), "stage_config");
    assert_eq!(refused(&["module", "verify", &select, "--config", "{"]), "module_config");
    assert_eq!(refused(&["module", "verify", &select, "--stage", "map"]), "module_missing_export");
    assert_eq!(refused(&["module", "verify", &select, "--sha256", &"0".repeat(64)]), "module_digest_mismatch");
    assert_eq!(refused(&["module", "verify", "no-such-file.wasm"]), "file_unusable");
    assert_eq!(refused(&["module", "verify", &text(folder.path())]), "module_project");
    assert_eq!(refused(&["module", "test", &select, "--stage", "route"]), "module_stage");
    let (answer, code) = asked(&["module", "verify", &select, "--config", r#"{"include":["a.*"]}"#]);
    assert_eq!((code, &answer["accepted"]["stages"]), (0, &json!(["filter"])), "{answer}");
    let sha256 = answer["accepted"]["sha256"].as_str().unwrap();
    assert_eq!(asked(&["module", "verify", &select, "--sha256", sha256]).1, 0);
    assert_eq!(millrace(&["module", "verify", &select, "--stage", "none"]).status.code(), Some(2));
}

#[test]
fn a_bench_tells_the_cost_and_holds_it_to_a_budget() {
    let events = text(&root().join("transforms/drs-json/golden/envelope.events.jsonl"));
    let module = prebuilt("drs-json");
    let bench = ["module", "bench", &module, "--events", &events, "--batch", "64"];
    let (answer, code) = asked(&[&bench[..], &["--budget", "1000000000"]].concat());
    assert_eq!((code, &answer["within_budget"]), (0, &json!(true)), "{answer}");
    let cost = &answer["cost"];
    for name in ["ns_per_change", "fuel_per_change", "memory_bytes"] {
        assert!(cost[name].as_f64().unwrap() > 0.0, "{name}: {cost}");
    }
    assert_eq!((&cost["asked"], &cost["batch"]), (&json!(1.0), &json!(64)));
    let (answer, code) = asked(&[&bench[..], &["--budget", "1"]].concat());
    assert_eq!((code, &answer["within_budget"]), (5, &json!(false)));
    // Fuel is the same however busy the machine is.
    assert_eq!(cost["fuel_per_change"], answer["cost"]["fuel_per_change"]);
    // The default filter is never asked about a change.
    let (answer, _) = asked(&["module", "bench", &prebuilt("select"), "--events", &events]);
    assert_eq!((&answer["cost"]["asked"], &answer["cost"]["fuel_per_change"]), (&json!(0.0), &json!(0.0)));
}

#[test]
fn a_replay_gives_the_same_bytes_every_time() {
    let events = text(&root().join("transforms/drs-json/golden/envelope.events.jsonl"));
    let module = prebuilt("drs-json");
    let replay = ["replay", &events, "--chain", &module];
    let (first, second) = (millrace(&replay), millrace(&replay));
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(first.stdout, second.stdout);
    let lines: Vec<Value> =
        String::from_utf8(first.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4, "a truncate is no record");
    assert_eq!(
        (&lines[0]["id"], &lines[0]["topic"], &lines[0]["key"]),
        (&json!(332), &json!("shop-sales-orders"), &json!("7"))
    );
    assert!(lines[0]["hash"].is_u64() && lines[0]["commit_lsn"] == "0/0");
    let (answer, code) = asked(&replay);
    assert_eq!((code, &answer["records"], &answer["faults"]), (0, &json!(4), &json!(0)));
    let digest = answer["sha256"].as_str().unwrap();
    let out = millrace(&[&replay[..], &["--digest", "--expect", digest]].concat());
    assert_eq!((out.status.code(), String::from_utf8(out.stdout).unwrap()), (Some(0), format!("{digest}\n")));
    assert_eq!(asked(&[&replay[..], &["--expect", &"0".repeat(64)]].concat()).1, 5);
    // Another config is another digest, by a task file as well.
    let html = [&replay[..], &["--config", r#"{"binary":"pg"}"#]].concat();
    assert_ne!(asked(&html).0["sha256"], answer["sha256"]);
    let folder = tempfile::tempdir().unwrap();
    let task = folder.path().join("t.toml");
    let toml = "task.name = 'replayed'\nsource.kind = 'postgresql'\nsource.hosts = ['a:1']\nsource.database = 'shop'\n\
                source.user = 'u'\nsink.kind = 'blackhole'\nposition.store = 'file'\nposition.path = 'p'\n";
    std::fs::write(&task, toml).unwrap();
    let (by_task, code) = asked(&["replay", &events, "--chain", &text(&task)]);
    assert_eq!((code, &by_task["records"]), (0, &json!(4)), "{by_task}");
}

#[test]
fn a_fault_in_a_replay_leaves_its_neighbours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.jsonl");
    let mut events = String::from(
        r#"{"relation":{"id":1,"database":"d","schema":"s","table":"t","identity":"full","columns":[{"name":"a","type":"text","oid":25,"jdbc":12}]}}"#,
    );
    for (id, cell) in
        [(1, json!("a")), (2, json!({"hex": "ff"})), (3, json!("b")), (4, json!({"hex": "fe"})), (5, json!("c"))]
    {
        events += &format!("\n{}", json!({"change": {"op": "insert", "relation": 1, "id": id, "new": [cell]}}));
    }
    std::fs::write(&file, events).unwrap();
    let out = millrace(&["replay", &text(&file), "--chain", &prebuilt("drs-json")]);
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    let lines: Vec<Value> =
        String::from_utf8(out.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(u64, bool)> = lines.iter().map(|l| (l["id"].as_u64().unwrap(), l["fault"].is_string())).collect();
    assert_eq!(seen, [(1, false), (2, true), (3, false), (4, true), (5, false)]);
    assert!(String::from_utf8(out.stderr).unwrap().contains("transform_fault"));
}

/// Code blocks of a language in a Markdown text, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect());
        }
    }
    blocks
}

#[test]
fn every_recipe_of_the_cookbook_holds() {
    let page = std::fs::read_to_string(root().join("docs/cookbook.md")).unwrap();
    let events = blocks(&page, "jsonl").remove(0);
    let folder = tempfile::tempdir().unwrap();
    let recipes: Vec<&str> = page.split("\n## ").filter(|part| part.contains("Module [`")).collect();
    assert!(recipes.len() >= 6);
    for recipe in recipes {
        let line = recipe.lines().find(|line| line.starts_with("Module [`")).unwrap();
        let quoted: Vec<&str> = line.split('`').collect();
        let (module, config) = (quoted[1], quoted[3]);
        let file = folder.path().join("recipe.events.jsonl");
        std::fs::write(&file, format!("{{\"config\":{config}}}\n{events}")).unwrap();
        let expected = blocks(recipe, "jsonl").remove(0);
        std::fs::write(folder.path().join("recipe.expected.jsonl"), expected).unwrap();
        let (answer, code) = asked(&["module", "test", &prebuilt(module), "--golden", &text(&file)]);
        assert_eq!(code, 0, "{recipe}\n{answer:#}");
        // The task file's part says the same, where it names a module.
        let part: toml::Table = toml::from_str(&blocks(recipe, "toml").remove(0)).unwrap();
        if let Some(modules) = part.get("modules").and_then(toml::Value::as_table) {
            let entry = modules.values().next().unwrap();
            let entry = entry.as_array().map_or(entry, |list| &list[0]);
            let given = entry.get("config").map_or(json!({}), |config| serde_json::to_value(config).unwrap());
            assert_eq!(given, serde_json::from_str::<Value>(config).unwrap(), "{recipe}");
        }
    }
}

/// A compiler for components: rustup's, or the one that guest-sdk/build.sh keeps, as in `make test`.
fn guest_toolchain() -> Option<PathBuf> {
    let given = std::env::var_os("MILLRACE_GUEST_RUSTC").map(PathBuf::from);
    let kept = root().join(".cache/guest-toolchain/rustc");
    if let Some(rustc) = given.or(kept.exists().then_some(kept)) {
        return Some(rustc);
    }
    let target = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
    let libraries = Command::new("rustc").args(target).output().ok()?.stdout;
    Path::new(String::from_utf8(libraries).ok()?.trim()).exists().then(|| PathBuf::from("rustc"))
}

/// Runs a script as the documents' reader would, with the program on the PATH.
fn script(text: &str, folder: &Path) -> Output {
    let mut command = Command::new("bash");
    let path = format!(
        "{}:{}",
        Path::new(PROGRAM).parent().expect("a folder").display(),
        std::env::var("PATH").expect("PATH")
    );
    command.args(["-euo", "pipefail", "-c", text]).current_dir(folder).env("PATH", path).env_remove("RUSTFLAGS");
    if let Some(rustc) = guest_toolchain().filter(|rustc| rustc != Path::new("rustc")) {
        command.env("MILLRACE_GUEST_RUSTC", rustc);
    }
    // The crates a module needs are those of this workspace, which are there; projects share what they compile.
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", root().join("target/module-projects"));
    command.output().expect("an output")
}

/// One test for all that compile guests: they share a target folder, whose lock would only make them wait for each other.
#[test]
fn a_new_project_builds_and_holds_and_the_ten_minutes_are_true() {
    assert!(guest_toolchain().is_some(), "no compiler for components: guest-sdk/toolchain.sh .cache/guest-toolchain");
    let folder = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(root().join("docs/first-transform.md")).unwrap();
    let commands = blocks(&page, "sh").concat();
    assert!(commands.lines().filter(|line| line.contains("millrace ")).count() > 12);
    let out = script(&commands, folder.path());
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    assert!(said.contains("as it should be: exit code 5") && said.contains("refused: exit code 3"), "{said}");
    let shown = blocks(&page, "text").remove(0);
    assert!(said.contains(&shown), "the page shows\n{shown}\nand it says\n{said}");

    let stages = "for stage in filter route format; do millrace module new my-$stage --stage $stage
        millrace module build my-$stage && millrace module test my-$stage; done
        millrace module new my-c --lang c --stage map && millrace module build my-c && millrace module test my-c
        cd my-format && cargo test --offline --release --quiet";
    let out = script(stages, folder.path());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(
        refused(&["module", "new", "other", "--stage", "map", "--folder", &text(&folder.path().join("my-route"))]),
        "module_project"
    );
    assert_eq!(refused(&["module", "new", "Bad Name", "--stage", "map"]), "module_project");

    // Without a compiler the mend says how to get one; a compiler's error is the author's.
    let without = Command::new(PROGRAM)
        .args(["module", "build", "--json"])
        .current_dir(folder.path().join("my-route"))
        .env("MILLRACE_GUEST_RUSTC", "/no/such/rustc")
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&without.stdout).unwrap();
    assert_eq!((without.status.code(), &answer["error"]["code"]), (Some(3), &json!("guest_toolchain")));
    let out = script("echo 'fn broken(' >>my-route/src/lib.rs; millrace module build my-route --json", folder.path());
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((out.status.code(), &answer["error"]["code"]), (Some(3), &json!("module_build")));
    assert!(folder.path().join("my-route/my-route.wasm").exists(), "the last good component stays");
}
