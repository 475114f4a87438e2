//! SQL texts as tokens, so that layout, case and harmless casts make no difference, and patterns over them.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Identifier or key word in lower case, quoted identifier, operator or punctuation.
    Word(String),
    /// A string literal, without quotes.
    Text(String),
    /// A number.
    Number(String),
    /// `$1`.
    Parameter(usize),
}

/// Splits a script into statements of tokens. `None` where a quote is not closed.
pub(super) fn statements(sql: &str) -> Option<Vec<Vec<Token>>> {
    let mut out = Vec::new();
    let mut statement = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            ';' => {
                out.push(std::mem::take(&mut statement));
                (None, 1)
            }
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '\'' => {
                let (text, length) = quoted(rest, '\'', false)?;
                (Some(Token::Text(text)), length)
            }
            'E' | 'e' if rest[1..].starts_with('\'') => {
                let (text, length) = quoted(&rest[1..], '\'', true)?;
                (Some(Token::Text(text)), length + 1)
            }
            '"' => {
                let (text, length) = quoted(rest, '"', false)?;
                (Some(Token::Word(text)), length)
            }
            '$' if rest[1..].starts_with(|digit: char| digit.is_ascii_digit()) => {
                let length = 1 + rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
                (Some(Token::Parameter(rest[1..length].parse().ok()?)), length)
            }
            _ if first.is_ascii_digit() => {
                let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                (Some(Token::Number(rest[..length].to_owned())), length)
            }
            _ if is_word(first) => {
                let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..length].to_lowercase())), length)
            }
            ':' if rest.starts_with("::") => (Some(Token::Word("::".to_owned())), 2),
            _ => (Some(Token::Word(first.to_string())), first.len_utf8()),
        };
        statement.extend(token);
        rest = &rest[length..];
    }
    out.push(statement);
    let plain = |statement: Vec<Token>| {
        let mut plain: Vec<Token> = Vec::new();
        let mut tokens = statement.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let word = |token: &Token, text: &str| matches!(token, Token::Word(word) if word == text);
            let qualifies = word(&token, "pg_catalog") && tokens.peek().is_some_and(|next| word(next, "."));
            let casts = word(&token, "::") && tokens.peek().is_some_and(|next| word(next, "text"));
            if qualifies || casts {
                tokens.next();
            } else {
                plain.push(token);
            }
        }
        plain
    };
    Some(out.into_iter().map(plain).filter(|statement| !statement.is_empty()).collect())
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// The text between quotes and the length of all.
fn quoted(rest: &str, quote: char, escapes: bool) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            if letters.next_if(|(_, next)| *next == quote).is_none() {
                return Some((out, at + 1));
            }
        } else if escapes && letter == '\\' {
            out.push(letters.next()?.1);
            continue;
        }
        out.push(letter);
    }
    None
}

/// A value a pattern left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// It stood in the text.
    Literal(String),
    /// Parameter of this number, from 1.
    Parameter(usize),
}

/// Matches a statement against a pattern: a text in which `'?'` stands for a string (or parameter), `?` for a number (or
/// parameter), and `'*'` for a list of strings. Gives what stood there.
pub(super) fn matches(pattern: &[Token], statement: &[Token]) -> Option<Vec<Argument>> {
    let mut arguments = Vec::new();
    let mut rest = statement.iter().peekable();
    for wanted in pattern {
        let token = rest.next()?;
        match (wanted, token) {
            (Token::Text(any), Token::Text(text)) if any == "?" => arguments.push(Argument::Literal(text.clone())),
            (Token::Text(any), Token::Text(text)) if any == "*" => {
                arguments.push(Argument::Literal(text.clone()));
                while rest.next_if(|next| matches!(next, Token::Word(comma) if comma == ",")).is_some() {
                    let Token::Text(text) = rest.next()? else { return None };
                    arguments.push(Argument::Literal(text.clone()));
                }
            }
            (Token::Word(any), Token::Number(number)) if any == "?" => {
                arguments.push(Argument::Literal(number.clone()));
            }
            (Token::Text(any) | Token::Word(any), Token::Parameter(number)) if any == "?" => {
                arguments.push(Argument::Parameter(*number));
            }
            _ if wanted == token => {}
            _ => return None,
        }
    }
    rest.next().is_none().then_some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(sql: &str) -> Vec<Token> {
        statements(sql).unwrap().pop().unwrap()
    }

    #[test]
    fn layout_makes_no_difference() {
        assert_eq!(one("SELECT  pg_catalog.version( )"), one("select version();"));
        assert_eq!(one("SELECT n.nspname::text, 'A''b'"), one("select N.nspname ,\n'A''b'  -- all"));
        assert_ne!(one("SELECT 'a'"), one("SELECT 'A'"));
        assert_eq!(statements("SET a = 1; SHOW \"a\"").unwrap().len(), 2);
        assert_eq!(statements("SELECT 'a"), None);
    }

    #[test]
    fn patterns_leave_values_open() {
        let literal = |text: &str| Argument::Literal(text.to_owned());
        let pattern = one("SELECT * FROM f('?', ?)");
        assert_eq!(matches(&pattern, &one("select * from f('x''y', 12)")), Some(vec![literal("x'y"), literal("12")]));
        assert_eq!(
            matches(&pattern, &one("select * from f(E'a\\\\b', $2)")),
            Some(vec![literal("a\\b"), Argument::Parameter(2)])
        );
        assert_eq!(matches(&pattern, &one("select * from f('x', 12) limit 1")), None);
        let list = one("SELECT name FROM s WHERE name IN ('*')");
        assert_eq!(
            matches(&list, &one("select name from s where name in ('a','b')")),
            Some(vec![literal("a"), literal("b")])
        );
    }
}
