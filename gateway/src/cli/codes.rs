//! docs/errors.md and the sources name the same codes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Every source file of the gateway and its crates, up to its tests.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "tests" | "benches" | "target") {
            sources(&path, into);
        } else if name.ends_with(".rs") && !matches!(name.as_str(), "tests.rs" | "codes.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap().to_owned();
            into.push((path, product));
        }
    }
}

/// Literals where a code stands: the first argument of a failure, behind a class, or first in a pair of code and mend.
fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('"') {
        let Some(end) = text[at + 1..].find('"') else { continue };
        let literal = &text[at + 1..at + 1 + end];
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if literal.is_empty() || !literal.bytes().all(legal) {
            continue;
        }
        let after = text[at + end + 2..].trim_start();
        let before = text[..at].trim_end();
        let call = ["definite(", "transient(", "refuse(", "PERSON,", "WAIT,"];
        let first = call.iter().any(|call| before.ends_with(call));
        // A pair: an opening parenthesis that no name stands before.
        let pair = literal.contains('_')
            && after.starts_with(',')
            && before.strip_suffix('(').is_some_and(|b| b.ends_with(|c: char| c.is_whitespace() || c == '('));
        if first || pair {
            found.insert(literal.to_owned());
        }
    }
    found
}

/// Pairs that are no code and mend.
const OTHERS: [&str; 1] = ["system_identifier"];
/// Has names of metrics beside their help, and no codes.
const NO_CODES: &str = "observe/modules.rs";

#[test]
fn every_code_has_a_row_and_every_row_one_code() {
    let page = include_str!("../../../docs/errors.md");
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        *rows.entry(line.split('`').nth(1).unwrap()).or_default() += 1;
    }
    assert!(rows.values().all(|count| *count == 1), "{rows:?}");
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources(&root.join("src"), &mut files);
    sources(&root.join("crates"), &mut files);
    let mut missing = Vec::new();
    let mut seen = 0;
    for (path, text) in files.iter().filter(|(_, text)| text.contains("Failure")) {
        if path.ends_with(NO_CODES) {
            continue;
        }
        for code in codes(text).into_iter().filter(|code| !OTHERS.contains(&code.as_str())) {
            seen += 1;
            if !rows.contains_key(code.as_str()) {
                missing.push(format!("{code} ({})", path.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(seen > 50, "the sources are read");
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:#?}");
}

/// First cells of the tables of a page.
fn rows(page: &str) -> BTreeSet<&str> {
    let cells: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('`').nth(1)).collect();
    let rows: BTreeSet<&str> = cells.iter().copied().collect();
    assert_eq!(rows.len(), cells.len(), "a code has one place");
    rows
}

/// docs/runbook.md has one place for every code of docs/errors.md, and one for every alert: what the gateway itself warns of, and what
/// its rules name.
#[test]
fn the_runbook_has_a_place_for_every_code_and_every_alert() {
    let page = include_str!("../../../docs/runbook.md");
    let (alerts, codes) = page.split_once("## A peer is away").unwrap();
    let (alerts, known) = (rows(alerts), rows(include_str!("../../../docs/errors.md")));
    let mut codes = rows(codes);
    // The alert of that name is the code's place too.
    codes.extend(alerts.iter().filter(|alert| known.contains(*alert)));
    assert_eq!(codes, known);
    let rules = page.lines().filter_map(|line| line.strip_prefix("- alert: "));
    let own = ["delay_alarm", "paused_long", "sink_stalled"];
    let missing: Vec<&str> = rules.chain(own).filter(|alert| !alerts.contains(alert)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    for alert in own {
        assert!(files.iter().any(|(_, text)| text.contains(&format!("\"{alert}\""))), "{alert} is told by nobody");
    }
    // A metric that a rule or an alert names is there.
    let observe = crate::observe::Observe::new(crate::observe::About::default());
    // A family without a sample is not written.
    observe.metrics.stage("transform", std::time::Duration::ZERO);
    let text = observe.encode();
    for metric in page.split('`').filter(|word| word.starts_with("millrace_") || word.starts_with("drs_")) {
        let name = metric.split(['{', ' ']).next().unwrap().trim_end_matches("_total").trim_end_matches('*');
        assert!(text.contains(name) || name.starts_with("millrace_module"), "no metric {name}");
    }
}

#[test]
fn codes_are_found_in_every_form() {
    let text = r#"Failure::definite(
        "one_a", x); refuse("two_b", y); verdict(PERSON, "three", z); let (code, mend) = if a { ("four_d", m) } else { ("no", m) };
        has("max_slots"); Command::new("pg_config"); Failure::transient("five", "reading a_b", "c_d")"#;
    assert_eq!(codes(text).into_iter().collect::<Vec<_>>(), ["five", "four_d", "one_a", "three", "two_b"]);
}
