//! Differences between expected and given answers, field by field.
//!
//! Owns which lines belong together and which fields of them differ; a text that is itself a JSON object or array (the value of a
//! record) is looked into. Must not know colours or terminals.

use serde_json::Value as Json;
use std::fmt;

/// Most fields one line's difference names; more are counted.
const FIELDS: usize = 20;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Field {
    /// Path in the line: `value.data[0].name`; empty for the whole line.
    pub path: String,
    /// What was expected; None where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Json>,
    /// What came; None where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<Json>,
}

/// A line that is not as expected.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Line of the expected file, from 1; the line it would be for an answer that nobody expected.
    pub line: usize,
    /// The change or table it is about: `id 332`, `announce 1`.
    pub about: String,
    /// What differs.
    pub fields: Vec<Field>,
    /// Fields that differ beyond those named.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Json>| value.as_ref().map_or("nothing".to_owned(), Json::to_string);
        write!(f, "{}: expected {}, got {}", self.path, shown(&self.expected), shown(&self.got))
    }
}

/// What a line is about.
fn about(line: &Json) -> String {
    for name in ["id", "announce"] {
        if let Some(value) = line.get(name) {
            return format!("{name} {value}");
        }
    }
    line.as_object().and_then(|line| line.keys().next()).cloned().unwrap_or_default()
}

/// The differences between two lists of lines. Lines are matched in order, by what they are about, so that one that is missing or
/// too many does not make every line behind it differ.
pub fn lines(expected: &[Json], got: &[Json]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (mut e, mut g) = (0, 0);
    let whole = |line: usize, expected: Option<&Json>, got: Option<&Json>| Difference {
        line: line + 1,
        about: about(expected.or(got).unwrap_or(&Json::Null)),
        fields: vec![Field { path: String::new(), expected: expected.cloned(), got: got.cloned() }],
        more: 0,
    };
    while e < expected.len() || g < got.len() {
        match (expected.get(e), got.get(g)) {
            (Some(want), Some(have)) if want == have => (e, g) = (e + 1, g + 1),
            (Some(want), Some(have)) => {
                let (of_want, of_have) = (about(want), about(have));
                // How far ahead the other side has what this side is about.
                let ahead = |lines: &[Json], of: &str| lines.iter().position(|line| about(line) == of);
                if of_want == of_have {
                    differences.push(fields(e, want, have));
                    (e, g) = (e + 1, g + 1);
                } else if ahead(&got[g..], &of_want).is_none() {
                    differences.push(whole(e, Some(want), None));
                    e += 1;
                } else {
                    differences.push(whole(e, None, Some(have)));
                    g += 1;
                }
            }
            (Some(want), None) => {
                differences.push(whole(e, Some(want), None));
                e += 1;
            }
            (None, Some(have)) => {
                differences.push(whole(e, None, Some(have)));
                g += 1;
            }
            (None, None) => break,
        }
    }
    differences
}

fn fields(line: usize, expected: &Json, got: &Json) -> Difference {
    let mut fields = Vec::new();
    walk(String::new(), Some(expected), Some(got), &mut fields);
    let more = fields.len().saturating_sub(FIELDS);
    fields.truncate(FIELDS);
    Difference { line: line + 1, about: about(expected), fields, more }
}

/// A text that holds a JSON object or array.
fn inside(value: &Json) -> Option<Json> {
    let text = value.as_str().filter(|text| text.starts_with(['{', '[']))?;
    serde_json::from_str(text).ok()
}

fn walk(path: String, expected: Option<&Json>, got: Option<&Json>, out: &mut Vec<Field>) {
    if expected == got {
        return;
    }
    match (expected, got) {
        (Some(Json::Object(want)), Some(Json::Object(have))) => {
            let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in want {
                walk(join(key), Some(value), have.get(key), out);
            }
            for (key, value) in have.iter().filter(|(key, _)| !want.contains_key(*key)) {
                walk(join(key), None, Some(value), out);
            }
        }
        (Some(Json::Array(want)), Some(Json::Array(have))) => {
            for index in 0..want.len().max(have.len()) {
                walk(format!("{path}[{index}]"), want.get(index), have.get(index), out);
            }
        }
        (Some(want), Some(have)) => match (inside(want), inside(have)) {
            (Some(inner), Some(other)) if inner != other => walk(path, Some(&inner), Some(&other), out),
            // The same content in other letters: order of keys, spaces, escapes.
            _ => out.push(Field { path, expected: Some(want.clone()), got: Some(have.clone()) }),
        },
        (expected, got) => out.push(Field { path, expected: expected.cloned(), got: got.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(expected: &[Json], got: &[Json]) -> Vec<(usize, String)> {
        let name = |d: &Difference| d.fields.iter().map(|f| (d.line, f.path.clone())).collect::<Vec<_>>();
        lines(expected, got).iter().flat_map(name).collect()
    }

    #[test]
    fn fields_are_named_and_texts_of_json_are_looked_into() {
        let line = |name: &str, extra: &str| json!({ "id": 7, "key": null, "value": format!(r#"{{"data":[{{"name":"{name}","n":1}}],"x":{extra}}}"#) });
        assert_eq!(paths(&[line("a", "1")], &[line("a", "1")]), []);
        let found = lines(&[line("a", "1")], &[line("b", "2")]);
        assert_eq!(found[0].about, "id 7");
        let shown: Vec<String> = found[0].fields.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [r#"value.data[0].name: expected "a", got "b""#, "value.x: expected 1, got 2"]);
        assert_eq!(
            paths(&[json!({"id": 1, "value": "{\"a\":1,\"b\":2}"})], &[json!({"id": 1, "value": "{\"b\":2,\"a\":1}"})])
                .len(),
            1,
            "the order of keys counts in the bytes of a record"
        );
        assert_eq!(
            paths(&[json!({"id": 1, "keep": true})], &[json!({"id": 1, "fault": "x"})]),
            [(1, "keep".into()), (1, "fault".into())]
        );
    }

    #[test]
    fn a_line_too_few_or_too_many_does_not_shift_the_rest() {
        let line = |id: u64| json!({ "id": id, "keep": true });
        let all = [1, 2, 3, 4].map(line);
        assert_eq!(paths(&all, &[line(1), line(3), line(4)]), [(2, String::new())]);
        assert_eq!(paths(&[line(1), line(4)], &all), [(2, String::new()), (2, String::new())]);
        assert_eq!(paths(&all, &[]).len(), 4);
        // Any two different lists differ.
        assert_eq!(paths(&[line(1), line(2)], &[line(2), line(1)]).len(), 2);
        assert_eq!(paths(&[line(1), line(1)], &[line(1)]).len(), 1);
    }
}
