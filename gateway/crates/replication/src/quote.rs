//! Quoting for SQL text and replication commands, as `quote_identifier` and `quote_literal_cstr` of PostgreSQL do it.

/// An identifier in double quotes, always quoted so that no keyword and no letter case is read differently.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.name`, both quoted.
pub fn quote_qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}

/// A text literal; with a backslash in it the `E''` form, which reads the same whatever `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quotes = text.replace('\'', "''");
    if quotes.contains('\\') { format!("E'{}'", quotes.replace('\\', "\\\\")) } else { format!("'{quotes}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote_ident("Or\"der"), "\"Or\"\"der\"");
        assert_eq!(quote_qualified("a b", "c"), "\"a b\".\"c\"");
        assert_eq!(quote_literal("O'B"), "'O''B'");
        assert_eq!(quote_literal("a\\'b"), "E'a\\\\''b'");
    }
}
