//! Reading a module's config: errors name the path in it, so that the person who wrote it finds the place.

use serde::de::DeserializeOwned;

/// Parses `text` as JSON into `T`. Empty text stands for `{}`: a module named without a config.
///
/// # Errors
/// A message of the form `PATH: what is wrong`, for example `include[2]: invalid type: integer 5, expected a string`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.inner();
        let mut message = inner.to_string();
        // The gateway writes this JSON from its own file: a line of it helps only where it is no JSON at all.
        if inner.is_data() {
            let place = format!(" at line {} column {}", inner.line(), inner.column());
            message.truncate(message.strip_suffix(&place).map_or(message.len(), str::len));
        }
        // "." is the root: nothing to name.
        if path == "." { format!("config: {message}") } else { format!("{path}: {message}") }
    })?;
    json.end().map_err(|e| format!("config: {e}"))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        include: Vec<String>,
        nested: Option<Inner>,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        size: u8,
    }

    #[test]
    fn names_the_path() {
        let error = parse::<Example>(r#"{"include":["a",5]}"#).unwrap_err();
        assert_eq!(error, "include[1]: invalid type: integer `5`, expected a string");
        let error = parse::<Example>(r#"{"nested":{"size":300}}"#).unwrap_err();
        assert!(error.starts_with("nested.size: "), "{error}");
        let error = parse::<Example>(r#"{"nested":{"sise":3}}"#).unwrap_err();
        assert!(error.starts_with("nested.sise: unknown field `sise`"), "{error}");
    }

    #[test]
    fn empty_is_an_empty_object() {
        assert_eq!(parse::<Example>(" ").unwrap(), Example::default());
        assert!(parse::<Example>("{} {}").is_err());
    }
}
