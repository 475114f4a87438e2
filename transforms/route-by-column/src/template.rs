//! Topic formats: `$database$`, `$schema$` and `$tablename$` are variables as in topic-router, `${NAME}` is the value of a column,
//! everything else is taken as it is.

use millrace_guest::topic;

/// A parsed format.
#[derive(Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

/// One part of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    Literal(String),
    Database,
    Schema,
    Table,
    Column(String),
}

impl Template {
    /// # Errors
    /// A column without end or name, or a character that no topic name may hold.
    pub(crate) fn parse(format: &str) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), format);
        while let Some(c) = rest.chars().next() {
            let (part, after) = if let Some(after) = rest.strip_prefix("$database$") {
                (Part::Database, after)
            } else if let Some(after) = rest.strip_prefix("$schema$") {
                (Part::Schema, after)
            } else if let Some(after) = rest.strip_prefix("$tablename$") {
                (Part::Table, after)
            } else if let Some(name) = rest.strip_prefix("${") {
                let (name, after) = name.split_once('}').ok_or_else(|| format!("{format:?}: a ${{ is not closed"))?;
                if name.is_empty() {
                    return Err(format!("{format:?}: ${{}} names no column"));
                }
                (Part::Column(name.to_owned()), after)
            } else if topic::is_legal(c) {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            } else {
                return Err(format!(
                    "{format:?} holds {c:?}, which no topic name may; $database$, $schema$, $tablename$ and ${{column}} are filled in"
                ));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
            rest = after;
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if parts.is_empty() { Err("the topic has no name".to_owned()) } else { Ok(Self(parts)) }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The columns in it.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| if let Part::Column(name) = part { Some(name.as_str()) } else { None })
    }

    /// The name, where there is no column in it.
    pub(crate) fn expand(&self, database: &str, schema: &str, table: &str) -> String {
        self.0.iter().map(|part| part.expand(database, schema, table)).collect()
    }
}

impl Part {
    /// What it is for every change of a table; nothing for a column.
    pub(crate) fn expand(&self, database: &str, schema: &str, table: &str) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Database => database.to_owned(),
            Self::Schema => schema.to_owned(),
            Self::Table => table.to_owned(),
            Self::Column(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let template = Template::parse("x.$schema$-${region}${a b}_$tablename$").unwrap();
        assert_eq!(
            template.parts(),
            [
                Part::Literal("x.".to_owned()),
                Part::Schema,
                Part::Literal("-".to_owned()),
                Part::Column("region".to_owned()),
                Part::Column("a b".to_owned()),
                Part::Literal("_".to_owned()),
                Part::Table,
            ]
        );
        assert_eq!(template.columns().collect::<Vec<_>>(), ["region", "a b"]);
        for text in ["", "${a", "${}", "a b", "$a", "$Schema$"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
