//! Topic name formats: `$database$`, `$schema$` and `$tablename$` are variables, everything else is taken as it is.

/// A parsed format.
pub(crate) struct Template(Vec<Part>);

enum Part {
    Literal(String),
    Variable(Variable),
}

#[derive(Clone, Copy)]
enum Variable {
    Database,
    Schema,
    Table,
}

const VARIABLES: [(&str, Variable); 3] =
    [("$database$", Variable::Database), ("$schema$", Variable::Schema), ("$tablename$", Variable::Table)];

impl Template {
    pub(crate) fn parse(format: &str) -> Self {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), format);
        while let Some(c) = rest.chars().next() {
            if let Some((name, variable)) = VARIABLES.iter().find(|(name, _)| rest.starts_with(name)) {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(Part::Variable(*variable));
                rest = &rest[name.len()..];
            } else {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        parts.push(Part::Literal(literal));
        Self(parts)
    }

    /// The characters that are in every name.
    pub(crate) fn literals(&self) -> impl Iterator<Item = char> + '_ {
        self.0.iter().flat_map(|part| if let Part::Literal(text) = part { text.chars() } else { "".chars() })
    }

    /// Fills in the variables, once: a name that looks like a variable stays what it is.
    pub(crate) fn expand(&self, database: &str, schema: &str, table: &str) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Variable(Variable::Database) => database.to_owned(),
            Part::Variable(Variable::Schema) => schema.to_owned(),
            Part::Variable(Variable::Table) => table.to_owned(),
        };
        self.0.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_once() {
        for (format, expected) in [
            ("$database$-$tablename$", "db1-$schema$"),
            ("$$database$$", "$db1$"),
            ("x.$schema$$schema$.$Schema$", "x.ss.$Schema$"),
            ("", ""),
        ] {
            assert_eq!(Template::parse(format).expand("db1", "s", "$schema$"), expected, "{format}");
        }
    }
}
