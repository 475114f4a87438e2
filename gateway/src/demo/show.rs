//! What the demo says, to a person or as JSON.
//!
//! Owns words, columns and colours. Must not decide anything.

use super::broker::{PARTITIONS, Record};
use super::verify::Verdict;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Everything the demo found out.
#[derive(Debug)]
pub struct Findings<'a> {
    /// Seed of the day, to repeat it.
    pub seed: u64,
    /// Transactions that committed with changes.
    pub transactions: usize,
    /// Transactions that were rolled back.
    pub rolled_back: usize,
    /// From the first statement to the last commit.
    pub shop: Duration,
    /// From the last commit until the last record was in the broker; `None` where that was waited for in vain.
    pub behind: Option<Duration>,
    /// What each slot's confirmed position was after the gateway had stopped: name of the slot or node, LSN as the server prints it.
    pub confirmed: &'a [(String, String)],
    /// Every topic, the empty ones too.
    pub topics: &'a [String],
    /// Everything read back.
    pub records: &'a [Record],
    /// The check.
    pub verdict: &'a Verdict,
}

/// Writes to standard output; text as things happen, JSON once at the end.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    json: bool,
    colour: bool,
}

impl Show {
    /// Colours only on a terminal that has not been asked for none (NO_COLOR, no-color.org).
    pub fn new(json: bool) -> Show {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Show { json, colour: !json && !plain && std::io::stdout().is_terminal() }
    }

    /// The first lines.
    pub fn title(self, source: &str) {
        self.line(
            &self.bold(&format!("Millrace demo: a small shop's orders, {source} -> WebAssembly modules -> Kafka")),
        );
        self.line("");
    }

    /// One labelled line.
    pub fn fact(self, label: &str, text: &str) {
        self.line(&format!("  {} {text}", self.dim(&format!("{label:<9}"))));
    }

    /// All that is known at the end.
    pub fn findings(self, findings: &Findings) {
        if self.json {
            print(&as_json(findings).to_string());
            return;
        }
        let Findings { verdict, records, .. } = findings;
        self.fact(
            "shop",
            &format!(
                "{} transactions with {} row changes in {}, {} more rolled back",
                number(findings.transactions),
                number(verdict.committed),
                seconds(findings.shop),
                number(findings.rolled_back)
            ),
        );
        if let Some(behind) = findings.behind {
            self.fact("delivery", &format!("the last record was there {} after the last commit", seconds(behind)));
        }
        for (name, confirmed) in findings.confirmed {
            self.fact("slot", &format!("{name} confirmed up to {confirmed}"));
        }
        self.line("");
        self.topics(findings);
        self.samples(records);
        self.verdict(verdict, findings.seed);
    }

    fn topics(self, findings: &Findings) {
        let counts = counts(findings);
        let width = counts.keys().map(|topic| topic.len()).max().unwrap_or(0);
        self.line(&self.dim(&format!("  {:<width$}  {:>8}   {}", "topic", "records", "by partition")));
        for (topic, partitions) in counts {
            let spread: Vec<String> = partitions.iter().map(|count| format!("{:>6}", number(*count))).collect();
            self.line(&format!("  {topic:<width$}  {:>8}   {}", number(partitions.iter().sum()), spread.join(" ")));
        }
        self.line("");
    }

    fn samples(self, records: &[Record]) {
        for record in samples(records) {
            let head = format!("{} partition {} key {}", record.topic, record.partition, shown_key(record));
            self.line(&format!("  {}", self.dim(&head)));
            self.line(&format!("  {}", record.value));
            self.line("");
        }
    }

    fn verdict(self, verdict: &Verdict, seed: u64) {
        if verdict.passed() {
            let text = format!(
                "{} committed changes, {} records: each once, with its values, in commit order",
                number(verdict.committed),
                number(verdict.records - verdict.repeats)
            );
            let again = match verdict.repeats {
                0 => String::new(),
                repeats => format!("; {} came again with the same id", number(repeats)),
            };
            let text = text + &again;
            self.fact("check", &format!("{} {text}", self.paint("32;1", "PASSED")));
            return;
        }
        let text = format!(
            "{} committed changes, {} records: {} missing, {} too many, {} wrong, {} out of order",
            verdict.committed, verdict.records, verdict.missing, verdict.duplicates, verdict.wrong, verdict.disordered
        );
        self.fact("check", &format!("{} {text}", self.paint("31;1", "FAILED")));
        verdict.findings.iter().for_each(|finding| self.fact("", finding));
        self.fact("", &format!("repeat this day with --seed {seed}"));
    }

    /// The last line: only said when all is stopped and removed.
    pub fn farewell(self) {
        self.line("");
        self.line(
            "  Everything is stopped and removed. README.md shows the same with a database and a broker of your own.",
        );
    }

    fn line(self, text: &str) {
        if !self.json {
            print(text);
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// One line. A reader that has gone away (`| head`) is no reason to stop: the check's answer is the exit code too.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Records of each topic by partition.
fn counts<'a>(findings: &'a Findings) -> BTreeMap<&'a str, Vec<usize>> {
    let partitions = usize::try_from(PARTITIONS).unwrap_or_default();
    let mut counts: BTreeMap<&str, Vec<usize>> =
        findings.topics.iter().map(|topic| (topic.as_str(), vec![0; partitions])).collect();
    for record in findings.records {
        let partition = usize::try_from(record.partition).ok();
        if let Some(count) = partition.and_then(|at| counts.entry(&record.topic).or_default().get_mut(at)) {
            *count += 1;
        }
    }
    counts
}

/// The first new customer, the first payment whose old image holds another value, the first delete.
fn samples(records: &[Record]) -> Vec<&Record> {
    let differs = |value: &Value| value["old"].is_array() && value["old"] != value["data"];
    let kind = |record: &Record| {
        let value: Value = serde_json::from_str(&record.value).unwrap_or_default();
        match (value["type"].as_str()?, value["table"].as_str()?) {
            ("INSERT", "customers") => Some(0),
            ("UPDATE", "payments") if differs(&value) => Some(1),
            ("DELETE", _) => Some(2),
            _ => None,
        }
    };
    let mut samples = [None; 3];
    for record in records {
        if let Some(kind) = kind(record) {
            samples[kind].get_or_insert(record);
        }
    }
    samples.into_iter().flatten().collect()
}

fn shown_key(record: &Record) -> &str {
    record.key.as_deref().unwrap_or("null")
}

fn as_json(findings: &Findings) -> Value {
    let topics: Vec<Value> = counts(findings)
        .into_iter()
        .map(|(topic, partitions)| {
            json!({ "topic": topic, "records": partitions.iter().sum::<usize>(), "partitions": partitions })
        })
        .collect();
    let samples: Vec<Value> = samples(findings.records)
        .into_iter()
        .map(|record| {
            // A value that is no JSON is shown as the text it is.
            let value = serde_json::from_str(&record.value).unwrap_or_else(|_| Value::from(record.value.as_str()));
            json!({ "topic": record.topic, "partition": record.partition, "key": record.key, "value": value })
        })
        .collect();
    json!({
        "passed": findings.verdict.passed(),
        "seed": findings.seed,
        "transactions": findings.transactions,
        "rolled_back": findings.rolled_back,
        "shop_ms": millis(findings.shop),
        "behind_ms": findings.behind.map(millis),
        "confirmed_lsn": findings.confirmed.iter().cloned().collect::<BTreeMap<_, _>>(),
        "topics": topics,
        "samples": samples,
        "check": findings.verdict,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Digits in groups of three.
fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn topics_without_records_are_counted_too() {
        let record = Record { topic: "a".into(), partition: 2, key: None, value: "{}".into() };
        let topics = ["a".to_owned(), "b".to_owned()];
        let verdict = Verdict { committed: 1, records: 1, ..Verdict::default() };
        let findings = Findings {
            seed: 7,
            transactions: 1,
            rolled_back: 0,
            shop: Duration::from_millis(20),
            behind: Some(Duration::ZERO),
            confirmed: &[("s".to_owned(), "0/1".to_owned())],
            topics: &topics,
            records: &[record],
            verdict: &verdict,
        };
        let json = as_json(&findings);
        assert_eq!(json["topics"][0], json!({ "topic": "a", "records": 1, "partitions": [0, 0, 1] }));
        assert_eq!(json["topics"][1]["records"], 0);
        assert_eq!(json["passed"], true);
    }
}
