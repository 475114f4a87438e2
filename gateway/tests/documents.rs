//! The examples in the documents are what the gateway accepts.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents with examples of task files.
const DOCUMENTS: [&str; 5] =
    ["README.md", "docs/tour.md", "docs/sources/gaussdb.md", "docs/sources/opengauss.md", "docs/sources/postgresql.md"];

/// The least a task file needs.
const LEAST: &str = r#"
[task]
name = "part"
[source]
kind = "postgresql"
hosts = ["a:1"]
database = "d"
user = "u"
[sink]
kind = "kafka"
brokers = ["a:1"]
"#;

/// Code blocks of a language in a Markdown text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

#[test]
fn every_task_file_in_the_documents_is_legal() {
    let mut whole = 0;
    for name in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        for block in blocks(&text, "toml") {
            // A part of a file is judged together with the least a file needs.
            let part = !block.contains("[task]");
            whole += usize::from(!part);
            let file = if part { format!("{LEAST}{block}") } else { block.clone() };
            if let Err(problems) = millrace::config::parse(&file, Path::new("/")) {
                panic!("{name}: {problems:?}\n{block}");
            }
        }
    }
    assert_eq!(whole, DOCUMENTS.len(), "each document shows one whole task file");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut checked = 0;
    for name in ["README.md", "CONTRIBUTING.md", "docs/tour.md", "docs/operations.md"] {
        let file = root().join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                checked += 1;
                let target = file.parent().unwrap().join(link.split('#').next().unwrap());
                assert!(target.exists(), "{name} links to {link}, which is not there");
            }
        }
    }
    assert!(checked > 10, "the documents link to each other");
}

/// Names of all test functions: of Rust, where `fn` follows a test attribute (plain, tokio's, proptest's or the e2e runner's).
fn test_names(folder: &Path, names: &mut std::collections::HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules") {
                test_names(&path, names);
            }
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut test = false;
            for line in text.lines().map(str::trim) {
                // `proptest! {` makes tests of functions that carry the attribute inside it, as everywhere.
                test |= line.starts_with("#[") && line.contains("test") && !line.contains("cfg(");
                if let Some((_, rest)) = line.split_once("fn ").filter(|_| test) {
                    names.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                    test = false;
                }
            }
        }
    }
}

/// Rules of the contract: REQ-001 to this.
const RULES: usize = 211;

#[test]
fn every_rule_of_the_contract_has_a_row_and_a_test() {
    let mut tests = std::collections::HashSet::new();
    for folder in ["gateway", "guest-sdk", "transforms", "tests"] {
        test_names(&root().join(folder), &mut tests);
    }
    let (mut rows, mut problems) = ([0; RULES + 1], Vec::new());
    for page in std::fs::read_dir(root().join("docs/contract")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&page).unwrap();
        let page = page.file_name().unwrap().to_string_lossy().into_owned();
        for line in text.lines().filter(|line| line.starts_with("| REQ-")) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [rules, how, shown] = cells[..] else {
                problems.push(format!("{page}: not three cells: {line}"));
                continue;
            };
            let number = |text: &str| text.trim().trim_start_matches("REQ-").parse::<usize>();
            for part in rules.split(',') {
                let (first, last) = part.split_once("..").unwrap_or((part, part));
                match (number(first), number(last)) {
                    (Ok(first), Ok(last)) if 0 < first && first <= last && last <= RULES => {
                        rows[first..=last].iter_mut().for_each(|count| *count += 1);
                    }
                    _ => problems.push(format!("{page}: no rule: {part}")),
                }
            }
            let reason = shown.strip_prefix("does not apply: ").is_some_and(|reason| reason.len() > 10);
            let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
            if how.is_empty() || named.is_empty() && !reason {
                problems.push(format!("{page}: {rules}: neither a test nor a reason"));
            }
            for name in named {
                if !tests.contains(name.rsplit("::").next().unwrap()) {
                    problems.push(format!("{page}: {rules}: no test {name}"));
                }
            }
            if how.to_lowercase().split(|c: char| !c.is_alphabetic()).any(|word| matches!(word, "later" | "todo")) {
                problems.push(format!("{page}: {rules}: puts it off"));
            }
        }
    }
    let counted = rows.iter().enumerate().skip(1).filter(|(_, count)| **count != 1);
    problems.extend(counted.map(|(rule, count)| format!("REQ-{rule:03}: {count} rows")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
