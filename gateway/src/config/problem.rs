//! What is wrong with a task file, all of it at once.
//!
//! Owns the list a person or a program gets. A problem never carries a value from a place that may hold a secret (I9).

use std::fmt;

/// One thing to mend in the task file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Where: section and key with dots, list items by number, as `sink.brokers[1]`. Empty for the file as a whole.
    pub path: String,
    /// What must hold there.
    pub rule: String,
    /// What the file says, where it may be repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.rule)?;
        match &self.value {
            Some(value) => write!(f, " (is {value})"),
            None => Ok(()),
        }
    }
}

/// Every problem of one task file, in the order of their paths; never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Problems {
    /// The problems.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// The one problem of a file that could not be read as TOML at all.
    pub(super) fn of_file(rule: String) -> Problems {
        Problems { problems: vec![Problem { path: String::new(), rule, value: None }] }
    }

    pub(super) fn add(&mut self, path: impl Into<String>, rule: impl Into<String>, value: Option<String>) {
        self.problems.push(Problem { path: path.into(), rule: rule.into(), value });
    }

    /// Whether the key at `path`, something in it or something it lies in was refused already.
    pub(super) fn touch(&self, path: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.problems.iter().any(|p| inside(path, &p.path) || inside(&p.path, path))
    }

    /// Adds a rule that several keys break together, reported at the first of them. It is not judged while one of them is
    /// broken by itself: the default that stands in for it would be judged instead.
    pub(super) fn refuse(&mut self, paths: &[&str], rule: impl Into<String>) {
        if !paths.iter().any(|path| self.touch(path)) {
            self.add(paths[0], rule, None);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
