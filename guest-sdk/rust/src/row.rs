//! A table's rows as JSON objects of strings: the form that the text envelopes share.

use crate::{Binary, BinaryText, Cell, Escape, Image, JsonWriter, Members, Relation};

/// How money is written. The database prints it by its locale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Money {
    /// As the database prints it: `-$1,234.50`.
    #[default]
    Text,
    /// The plain number: `-1234.50`. Refuses whatever does not have `,` between thousands and `.` before the fraction, since
    /// another locale's text could mean another amount.
    Decimal,
}

/// How a cell whose text is not what is wanted is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellForm {
    /// Digits of a binary column.
    Binary(BinaryText),
    /// The amount of a money column.
    Amount,
}

impl CellForm {
    /// For a column of this type; `None` where the cell's text stays as it is.
    #[must_use]
    pub fn of(type_name: &str, binary: Binary, money: Money) -> Option<Self> {
        match type_name {
            "money" => (money == Money::Decimal).then_some(Self::Amount),
            _ => BinaryText::of(binary, type_name).map(Self::Binary),
        }
    }

    /// Appends the text for a cell's.
    ///
    /// # Errors
    /// The cell is not of its type; nothing was written.
    pub fn append(self, text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Binary(form) => form.append(text, out),
            Self::Amount => append_amount(text, out),
        }
    }
}

/// The columns of one table as members of an object: values are strings, SQL NULL is `null`, binary and money columns have the form
/// the config asks for.
#[derive(Clone, Debug)]
pub struct TextRow {
    members: Members,
    /// Element i for column i: set for the columns whose text is not what is wanted. Empty where none is.
    rewrites: Vec<Option<CellForm>>,
}

impl TextRow {
    /// Prepares the columns of a table, all of them in stream order.
    #[must_use]
    pub fn new(table: &Relation, escape: Escape, binary: Binary, money: Money) -> Self {
        let rewrites: Vec<_> = table.columns.iter().map(|c| CellForm::of(&c.type_name, binary, money)).collect();
        Self {
            members: Members::new(table.columns.iter().map(|c| c.name.as_str()), escape),
            rewrites: if rewrites.iter().any(Option::is_some) { rewrites } else { Vec::new() },
        }
    }

    /// Writes an image (of all columns) as an object. A cell that was not sent is taken from `otherwise`, and left out where
    /// that has none either.
    ///
    /// # Errors
    /// A cell that JSON cannot carry, with its column; what was written stays in the buffer.
    #[inline]
    pub fn object(
        &self,
        image: &Image<'_>,
        otherwise: Option<&Image<'_>>,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), String> {
        if self.rewrites.is_empty() {
            return json.object(&self.members, image, otherwise).map_err(|(i, e)| self.of_column(i, &e.to_string()));
        }
        let opening = json.buffer().len();
        self.members(image, otherwise, json)?;
        json.close(opening);
        Ok(())
    }

    /// The same without braces: `,"name":value` each, of which [`JsonWriter::close`] makes an object.
    ///
    /// # Errors
    /// As [`object`](Self::object).
    pub fn members(
        &self,
        image: &Image<'_>,
        otherwise: Option<&Image<'_>>,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), String> {
        for i in 0..self.members.len() {
            if !self.member(i, image, json)? {
                if let Some(other) = otherwise {
                    self.member(i, other, json)?;
                }
            }
        }
        Ok(())
    }

    /// Writes comma, name and value of one column of an image; says whether there was a cell. What [`JsonWriter::close`] ends.
    ///
    /// # Errors
    /// A cell that JSON cannot carry, with its column; what was written stays in the buffer.
    pub fn member(&self, i: usize, image: &Image<'_>, json: &mut JsonWriter<'_>) -> Result<bool, String> {
        let rewrite = self.rewrites.get(i).copied().flatten();
        let Some((rewrite, text)) = rewrite.zip(image.get(i).and_then(Cell::text)) else {
            return json.member(&self.members, i, image).map_err(|e| self.of_column(i, &e.to_string()));
        };
        json.raw(b",");
        json.raw(self.members.name(i));
        json.raw(b":");
        match rewrite {
            CellForm::Binary(form) => form.append_json(text, json.buffer()),
            CellForm::Amount => {
                json.raw(b"\"");
                append_amount(text, json.buffer()).map(|()| json.raw(b"\""))
            }
        }
        .map_err(|e| self.of_column(i, &e))?;
        Ok(true)
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the table has no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[cold]
    fn of_column(&self, i: usize, error: &str) -> String {
        let name = String::from_utf8_lossy(self.members.name(i));
        format!("column {name}: {error}")
    }
}

/// Appends the plain number of a money text.
fn append_amount(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let wrong =
        || format!("{:?} is not of the form $1,234.50; money = \"text\" keeps it", String::from_utf8_lossy(text));
    let (first, last) = (text.iter().position(u8::is_ascii_digit), text.iter().rposition(u8::is_ascii_digit));
    let (first, last) = first.zip(last).ok_or_else(wrong)?;
    let (before, number, after) = (&text[..first], &text[first..=last], &text[last + 1..]);
    // A loss is -$1.00, $-1.00 or ($1.00), by locale.
    let negative = match (before.first(), after) {
        (Some(b'('), b")") => true,
        (Some(b'('), _) | (_, [_, ..]) => return Err(wrong()),
        _ => before.contains(&b'-'),
    };
    let mut halves = number.splitn(2, |&b| b == b'.');
    let (whole, fraction) = (halves.next().unwrap_or_default(), halves.next());
    let grouped = whole.contains(&b',');
    let groups_fit = whole.split(|&b| b == b',').enumerate().all(|(i, group)| {
        let length = if !grouped || i == 0 { 1..=if grouped { 3 } else { group.len() } } else { 3..=3 };
        length.contains(&group.len()) && group.iter().all(u8::is_ascii_digit)
    });
    let fraction_fits = fraction.is_none_or(|f| !f.is_empty() && f.iter().all(u8::is_ascii_digit));
    if before.iter().any(|b| matches!(b, b'.' | b',')) || !groups_fit || !fraction_fits {
        return Err(wrong());
    }
    if negative {
        out.push(b'-');
    }
    out.extend(number.iter().filter(|&&b| b != b','));
    Ok(())
}

/// Text as a JSON string, for what is written once per table.
#[must_use]
pub fn quoted(text: &str, escape: Escape) -> String {
    let mut out = Vec::new();
    // A str is UTF-8, so neither can fail.
    let _ = JsonWriter::new(&mut out, escape).string(text.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_number_or_refused() {
        for (text, expected) in [
            ("$0.00", "0.00"),
            ("-$1,234,567.50", "-1234567.50"),
            ("($12.00)", "-12.00"),
            ("¥1,234", "1234"),
            ("$92233720368547758.07", "92233720368547758.07"),
            ("$-5.00", "-5.00"),
        ] {
            let mut out = Vec::new();
            append_amount(text.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for text in ["", "$", "1,23 €", "€ 1.234,56", "€ 1,23", "12,34.5", "1234,567.00", "$1..5", "($1.00", "1.00-"]
        {
            let mut out = Vec::new();
            assert!(append_amount(text.as_bytes(), &mut out).is_err() && out.is_empty(), "{text}");
        }
    }
}
