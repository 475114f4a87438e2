//! Names Kafka takes for topics (org.apache.kafka.common.internals.Topic): 1 to 249 of `[A-Za-z0-9._-]`, neither `.` nor `..`.

const MAX_LENGTH: usize = 249;

/// Whether a topic name may hold this character.
#[must_use]
pub fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Checks a name.
///
/// # Errors
/// Why Kafka would refuse it.
pub fn check(name: &str) -> Result<(), String> {
    if let Some(c) = name.chars().find(|&c| !is_legal(c)) {
        return Err(format!("{c:?} is not one of A-Z a-z 0-9 . _ -"));
    }
    match name {
        "" => Err("it is empty".to_owned()),
        "." | ".." => Err("Kafka keeps that name".to_owned()),
        _ if name.len() > MAX_LENGTH => Err(format!("it has {} characters, more than {MAX_LENGTH}", name.len())),
        _ => Ok(()),
    }
}

/// A legal name for one that is not: `_` for every character that cannot stay, cut where too long, and a hash of the whole,
/// so that different names stay different.
#[must_use]
pub fn sanitize(name: &str) -> String {
    let hash = format!("-{:08x}", fnv1a(name.as_bytes()));
    let legal = name.chars().map(|c| if is_legal(c) { c } else { '_' });
    legal.take(MAX_LENGTH - hash.len()).chain(hash.chars()).collect()
}

/// The name as the broker's metrics have it: a broker refuses a second topic of the same one.
#[must_use]
pub fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}

/// 32-bit FNV-1a (draft-eastlake-fnv): short, and the same on every machine and for ever.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_are_kafkas() {
        let longest = "a".repeat(249);
        for name in ["a", "A.b_c-9", "...", longest.as_str()] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let too_long = "a".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "é", "a$", too_long.as_str()] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn sanitized_names_are_legal_and_differ() {
        let names = ["a b", "a/b", "..", ".", "", "销售", &"é".repeat(300), &format!("{} ", "é".repeat(299))];
        let mut sanitized: Vec<_> = names.iter().map(|n| sanitize(n)).collect();
        for name in &sanitized {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        sanitized.sort();
        sanitized.dedup();
        assert_eq!(sanitized.len(), names.len());
    }

    /// Test vectors of the draft.
    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }
}
