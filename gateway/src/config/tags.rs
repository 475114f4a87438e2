//! `task.tags`: labels a person gives a task, with the managed service's rules.

use std::collections::BTreeMap;

use super::Problems;

/// Most tags of a task.
const MOST: usize = 20;

pub(super) fn check(tags: &BTreeMap<String, String>, problems: &mut Problems) {
    if tags.len() > MOST {
        problems.refuse(&["task.tags"], format!("must have at most {MOST} tags"));
    }
    for (key, value) in tags {
        let path = format!("task.tags.{key}");
        if let Err(rule) = key_rule(key) {
            problems.add(path, rule, Some(format!("{key:?}")));
        } else if !fits(value, 0, 255) {
            problems.add(
                path,
                "must have at most 255 letters, digits, spaces and _ . : = + - @, no space at either end",
                Some(format!("{value:?}")),
            );
        }
    }
}

fn key_rule(key: &str) -> Result<(), &'static str> {
    if key.starts_with("_sys_") {
        return Err("must not begin with _sys_, which is reserved");
    }
    let rule = "must have a key of 1 to 128 letters, digits, spaces and _ . : = + - @, no space at either end";
    fits(key, 1, 128).then_some(()).ok_or(rule)
}

fn fits(text: &str, least: usize, most: usize) -> bool {
    let legal = |c: char| c.is_alphanumeric() || " _.:=+-@".contains(c);
    (least..=most).contains(&text.chars().count()) && text.trim_matches(' ') == text && text.chars().all(legal)
}
