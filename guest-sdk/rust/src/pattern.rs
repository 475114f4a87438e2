//! Patterns of qualified names: parts with dots between them, `*` for any run of characters inside one part, and `"..."` for a
//! part taken as it is. The form users write in configs of modules that choose tables or columns.

/// A pattern of names of `N` parts: 2 for `schema.table`, 3 for `schema.table.column`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(try_from = "String"))]
pub struct Pattern<const N: usize>([Part; N]);

/// The literals between the stars: one literal means no star.
#[derive(Clone, Debug, PartialEq)]
struct Part(Vec<String>);

impl<const N: usize> Pattern<N> {
    /// Whether a name, part by part, is of this pattern. Names are compared as the catalogue has them: case counts.
    #[must_use]
    pub fn matches(&self, name: [&str; N]) -> bool {
        self.0.iter().zip(name).all(|(part, name)| part.matches(name))
    }
}

impl Pattern<3> {
    /// Whether a column of this table could be of this pattern.
    #[must_use]
    pub fn matches_table(&self, schema: &str, table: &str) -> bool {
        let [of_schema, of_table, _] = &self.0;
        of_schema.matches(schema) && of_table.matches(table)
    }
}

impl<const N: usize> TryFrom<String> for Pattern<N> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let form = || {
            let parts = ["schema", "table", "column"];
            format!("{text:?} is not of the form {}", parts[..N.min(3)].join("."))
        };
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        loop {
            let (part, after) = part(rest)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) if parts.len() < N => rest = more,
                None => break,
                Some(_) => return Err(form()),
            }
        }
        parts.try_into().map(Self).map_err(|_| form())
    }
}

/// Reads one part; what follows it begins with `.` or is empty.
fn part(text: &str) -> Result<(Part, &str), String> {
    let (part, rest) = if let Some(quoted) = text.strip_prefix('"') { exact(quoted)? } else { glob(text)? };
    if part.0 == [""] {
        return Err("a part of a name is empty; * stands for any name".to_owned());
    }
    if rest.is_empty() || rest.starts_with('.') {
        Ok((part, rest))
    } else {
        Err(format!("{rest:?} follows a closing quote; quote the whole part or none of it"))
    }
}

/// The inside of a quoted part, `""` standing for a quote as in SQL.
fn exact(text: &str) -> Result<(Part, &str), String> {
    let (mut name, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        name.push_str(before);
        let Some(more) = after.strip_prefix('"') else { return Ok((Part(vec![name]), after)) };
        name.push('"');
        rest = more;
    }
}

fn glob(text: &str) -> Result<(Part, &str), String> {
    let end = text.find('.').unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    if part.contains('"') {
        return Err(format!("{part:?} has a quote inside; quote the whole part or none of it"));
    }
    if part.trim() != part {
        return Err(format!("{part:?} begins or ends with a space; quote it if the name really does"));
    }
    Ok((Part(part.split('*').map(str::to_owned).collect()), rest))
}

impl Part {
    fn matches(&self, name: &str) -> bool {
        let Some((first, others)) = self.0.split_first() else { return false };
        let Some((last, middle)) = others.split_last() else { return name == first };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
        for literal in middle {
            // The leftmost place leaves most for what follows.
            let Some(at) = rest.find(literal.as_str()) else { return false };
            rest = &rest[at + literal.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern<const N: usize>(text: &str) -> Result<Pattern<N>, String> {
        Pattern::try_from(text.to_owned())
    }

    #[test]
    fn stars_stay_inside_their_part() {
        let cases = [
            ("public.orders", "public", "orders", true),
            ("public.orders", "public", "orders2", false),
            ("public.orders", "public", "Orders", false),
            ("*.*", "a", "b", true),
            ("pub*.o*r*s", "public", "orders", true),
            ("pub*.o*r*s", "public", "os", false),
            ("public.a*a", "public", "a", false),
            ("public.a*a", "public", "aa", true),
            ("public.**", "public", "", true),
            ("\"my.schema\".\"t*\"", "my.schema", "t*", true),
            ("\"my.schema\".\"t*\"", "my.schema", "tt", false),
            ("\"a\"\"b\".*", "a\"b", "x", true),
            ("sales.*_20*", "sales", "orders_2024", true),
            ("销售.*", "销售", "订单", true),
        ];
        for (text, schema, table, expected) in cases {
            assert_eq!(pattern(text).unwrap().matches([schema, table]), expected, "{text} on {schema}.{table}");
        }
    }

    #[test]
    fn columns_are_a_third_part() {
        let card: Pattern<3> = pattern("*.orders.\"card.no\"").unwrap();
        assert!(card.matches(["sales", "orders", "card.no"]));
        assert!(!card.matches(["sales", "orders", "card"]));
        assert!(card.matches_table("sales", "orders") && !card.matches_table("sales", "order"));
        assert_eq!(pattern::<3>("a.b").unwrap_err(), "\"a.b\" is not of the form schema.table.column");
        assert!(pattern::<3>("a.b.c.d").is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "orders", "a.b.c", ".b", "a.", "\"a.b", "\"a\"x.b", "a\"b.c", " a.b", "a.b ", "\"\".b"] {
            assert!(pattern::<2>(text).is_err(), "{text:?}");
        }
    }
}
