//! The examples in the documents are what the gateway accepts.

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
