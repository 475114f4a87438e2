//! Text, and what has text inside: arrays and JSON.

use super::Noise;
use super::scalar::{digits, replace};

/// Letters and digits replaced by others of their kind.
pub(super) fn text(value: &str, noise: &mut Noise) -> String {
    value.chars().map(|c| noise.like(c)).collect()
}

/// Elements by their type; braces, quotes, escapes and NULL stay.
pub(super) fn array(element: &str, value: &str, noise: &mut Noise) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        match c {
            '{' | '}' | ',' => {
                out.push(c);
                rest = &rest[1..];
            }
            '"' => {
                let end = quoted(rest);
                out.push_str(&masked_quoted(&rest[..end], noise));
                rest = &rest[end..];
            }
            _ => {
                let end = rest.find(['{', '}', ',', '"']).unwrap_or(rest.len());
                let item = &rest[..end];
                match item {
                    "NULL" => out.push_str(item),
                    item => {
                        let masked = replace(element, item, noise);
                        // A word that became NULL would no longer be a word.
                        out.push_str(if masked.eq_ignore_ascii_case("null") { item } else { &masked });
                    }
                }
                rest = &rest[end..];
            }
        }
    }
    out
}

/// End of the quoted string at the start of `text`, behind its closing quote.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A quoted string with its letters and digits replaced; escapes stay whole.
fn masked_quoted(text: &str, noise: &mut Noise) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(noise.like(c));
            continue;
        }
        out.push(c);
        let Some(escape) = characters.next() else { break };
        out.push(escape);
        if escape == 'u' {
            let hex: String = characters.by_ref().take(4).collect();
            // Halves of a pair stay: each alone is no character.
            match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
                Some(c) if c.is_alphanumeric() => out.push_str(&format!("{:04x}", 0x4e00 + noise.below(20_000))),
                _ => out.push_str(&hex),
            }
        }
    }
    out
}

/// Strings and numbers replaced; names of members, `true`, `false` and `null` stay.
pub(super) fn json(value: &str, noise: &mut Noise) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '"' => {
                let end = quoted(rest);
                let is_name = rest[end..].trim_start().starts_with(':');
                if is_name {
                    out.push_str(&rest[..end]);
                } else {
                    out.push_str(&masked_quoted(&rest[..end], noise));
                }
                end
            }
            '0'..='9' | '-' => {
                let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(rest.len());
                let number = &rest[..end];
                let exponent = number.find(['e', 'E']).unwrap_or(number.len());
                out.push_str(&digits(&number[..exponent], noise));
                out.push_str(&number[exponent..]);
                end
            }
            c => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[end..];
    }
    out
}
