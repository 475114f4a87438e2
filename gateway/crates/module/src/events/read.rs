//! From lines to events, one at a time.

use super::{Event, line::Line};
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Longest line that is read, in bytes: a row of the widest values a batch carries, as JSON.
pub const LINE_LIMIT: u64 = 256 << 20;

/// A file of events that cannot be used, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {why}")]
pub struct EventsError {
    /// The file, as it was named.
    pub file: String,
    /// Line number from 1; 0 where no line was read.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads events. Every image it gives has a cell for each column of a table it gave before.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    file: String,
    number: usize,
    text: String,
    widths: HashMap<u32, usize>,
}

/// Opens a file of events.
///
/// # Errors
/// The file cannot be opened.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, EventsError> {
    let file = path.display().to_string();
    match File::open(path) {
        Ok(input) => Ok(Reader::new(file, BufReader::new(input))),
        Err(error) => Err(EventsError { file, line: 0, why: error.to_string() }),
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`; `file` is what errors call it.
    pub fn new(file: impl Into<String>, input: R) -> Reader<R> {
        Reader { input, file: file.into(), number: 0, text: String::new(), widths: HashMap::new() }
    }

    /// An error at the line read last.
    pub fn error(&self, why: impl Into<String>) -> EventsError {
        EventsError { file: self.file.clone(), line: self.number, why: why.into() }
    }

    fn read(&mut self) -> Result<Option<Event>, EventsError> {
        loop {
            self.text.clear();
            self.number += 1;
            let read = self.input.by_ref().take(LINE_LIMIT + 1).read_line(&mut self.text);
            let read = read.map_err(|error| self.error(error.to_string()))?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > LINE_LIMIT {
                return Err(self.error(format!("the line is longer than {LINE_LIMIT} bytes")));
            }
            if self.text.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&self.text).map_err(|error| self.error(error.to_string()))?;
            let event = line.event().map_err(|why| self.error(why))?;
            self.fits(&event)?;
            return Ok(Some(event));
        }
    }

    fn fits(&mut self, event: &Event) -> Result<(), EventsError> {
        match event {
            // A number that comes again is the version of before, as for a chain.
            Event::Relation(relation) => {
                self.widths.entry(relation.id).or_insert(relation.columns.len());
            }
            Event::Change(change) => {
                let relation = change.stamp.relation;
                let Some(width) = self.widths.get(&relation) else {
                    return Err(self.error(format!("relation {relation} was not announced before its change")));
                };
                for (name, image) in [("new", &change.new), ("old", &change.old)] {
                    if let Some(cells) = image.as_ref().map(Vec::len).filter(|cells| cells != width) {
                        let why = format!("{name} has {cells} cells, relation {relation} has {width} columns");
                        return Err(self.error(why));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, EventsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Event, EventsError>> {
        Reader::new("f", text.as_bytes()).collect()
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_line() {
        let table = r#"{"relation":{"id":1,"database":"d","schema":"s","table":"t","identity":"full","columns":[{"name":"a","type":"text","oid":25,"jdbc":12}]}}"#;
        for (line, why) in [
            (r#"{"change":{"op":"insert","relation":2,"id":1,"new":["x"]}}"#, "relation 2 was not announced"),
            (r#"{"change":{"op":"insert","relation":1,"id":1,"new":["x","y"]}}"#, "new has 2 cells, relation 1 has 1"),
            (r#"{"change":{"op":"insert","relation":1,"id":1,"new":[{"hex":"f"}]}}"#, "not hexadecimal"),
            (r#"{"change":{"op":"insert","relation":1,"id":1,"new":[7]}}"#, "did not match"),
            (r#"{"change":{"op":"upsert","relation":1,"id":1}}"#, "unknown variant"),
            (r#"{"chance":1}"#, "unknown variant"),
            (r#"{"capture":{"version":2,"task":"t","source":"s"}}"#, "version 2"),
            (
                r#"{"relation":{"id":4000000000,"database":"d","schema":"s","table":"t","identity":"full","columns":[]}}"#,
                "above",
            ),
            ("{", "EOF"),
        ] {
            let events = read(&format!("{table}\n\n{line}\n"));
            let error = events.last().unwrap().as_ref().unwrap_err();
            assert!(error.line == 3 && error.why.contains(why), "{error}");
        }
        let missing = open(Path::new("no-such-file")).unwrap_err();
        assert_eq!(missing.line, 0);
    }
}
