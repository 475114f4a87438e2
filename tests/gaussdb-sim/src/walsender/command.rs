//! Replication commands (`repl_gram.y`, `repl_scanner.l`). Text in, command out.

use crate::error::SqlError;
use crate::text::Lsn;

/// Name and value of an option; the value may be missing.
pub(super) type Pair = (String, Option<String>);

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    IdentifySystem,
    IdentifyVersion,
    IdentifyMode,
    IdentifyMaxLsn,
    IdentifyAz,
    Create {
        slot: String,
        plugin: String,
        use_snapshot: bool,
    },
    Drop {
        slot: String,
    },
    Advance {
        slot: String,
        flush: Lsn,
    },
    Start {
        slot: String,
        from: Lsn,
        options: Vec<Pair>,
    },
    StartPhysical {
        slot: String,
    },
    /// Anything else that begins with a word.
    Sql,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Unquoted, as written.
    Word(String),
    /// Quoted.
    Name(String),
    /// Literal.
    Text(String),
    Symbol(char),
}

fn refused() -> SqlError {
    SqlError::new("42601", "replication command parser returned 1")
}

/// The look the server takes before it parses: quotes and parentheses in pairs.
fn balanced(text: &str) -> bool {
    let (mut depth, mut quote) = (0, None);
    for letter in text.chars() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\'' | '"', None) => quote = Some(letter),
            ('(', None) => depth += 1,
            (')', None) => depth -= 1,
            _ => {}
        }
    }
    depth == 0 && quote.is_none()
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if first.is_whitespace() => first.len_utf8(),
            '"' => {
                let end = rest[1..].find('"')? + 1;
                out.push(Token::Name(rest[1..end].to_owned()));
                end + 1
            }
            '\'' => {
                let mut value = String::new();
                let mut letters = rest.char_indices().skip(1).peekable();
                loop {
                    let (at, letter) = letters.next()?;
                    if letter == '\'' && letters.next_if(|(_, next)| *next == '\'').is_none() {
                        out.push(Token::Text(value));
                        break at + 1;
                    }
                    value.push(letter);
                }
            }
            _ if first == '_' || first.is_alphanumeric() => {
                let end = rest.find(|c: char| c != '_' && c != '/' && !c.is_alphanumeric()).unwrap_or(rest.len());
                out.push(Token::Word(rest[..end].to_owned()));
                end
            }
            _ => {
                out.push(Token::Symbol(first));
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    if out.last() == Some(&Token::Symbol(';')) {
        out.pop();
    }
    Some(out)
}

fn name(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.to_lowercase()),
        Token::Name(name) => Some(name.clone()),
        _ => None,
    }
}

fn slot(token: &Token) -> Result<String, SqlError> {
    let name = name(token).ok_or_else(refused)?;
    if name.len() >= 64 {
        return Err(SqlError::new("42601", "replication slot name should be shorter than 64."));
    }
    Ok(name)
}

fn lsn(token: &Token) -> Result<Lsn, SqlError> {
    let Token::Word(word) = token else { return Err(refused()) };
    Lsn::parse(word).ok_or_else(refused)
}

/// Reads a command.
pub(super) fn parse(text: &str) -> Result<Command, SqlError> {
    if !balanced(text) {
        return Err(SqlError::new("42601", "replication command, syntax error."));
    }
    let tokens = tokens(text).ok_or_else(refused)?;
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.to_uppercase(),
        _ => String::new(),
    };
    let keywords: Vec<String> = (0..tokens.len().min(4)).map(word).collect();
    let keywords: Vec<&str> = keywords.iter().map(String::as_str).collect();
    match (keywords.as_slice(), tokens.as_slice()) {
        (["IDENTIFY_SYSTEM"], _) => Ok(Command::IdentifySystem),
        (["IDENTIFY_VERSION"], _) => Ok(Command::IdentifyVersion),
        (["IDENTIFY_MODE"], _) => Ok(Command::IdentifyMode),
        (["IDENTIFY_MAXLSN"], _) => Ok(Command::IdentifyMaxLsn),
        (["IDENTIFY_AZ"], _) => Ok(Command::IdentifyAz),
        (["CREATE_REPLICATION_SLOT", _, "LOGICAL", _], [_, named, _, plugin, rest @ ..]) => {
            let use_snapshot = match rest {
                [] => false,
                [Token::Word(word)] if word.eq_ignore_ascii_case("USE_SNAPSHOT") => true,
                _ => return Err(refused()),
            };
            Ok(Command::Create { slot: slot(named)?, plugin: name(plugin).ok_or_else(refused)?, use_snapshot })
        }
        (["DROP_REPLICATION_SLOT", ..], [_, named]) => Ok(Command::Drop { slot: slot(named)? }),
        (["DROP_REPLICATION_SLOT", _, "WAIT"], [_, named, _]) => Ok(Command::Drop { slot: slot(named)? }),
        (["ADVANCE_REPLICATION", "SLOT", _, "LOGICAL"], [_, _, named, _, restart, flush]) => {
            lsn(restart)?;
            Ok(Command::Advance { slot: slot(named)?, flush: lsn(flush)? })
        }
        (["START_REPLICATION", "SLOT", _, "LOGICAL"], [_, _, named, _, from, rest @ ..]) => {
            Ok(Command::Start { slot: slot(named)?, from: lsn(from)?, options: options(rest)? })
        }
        (["START_REPLICATION", "SLOT", ..], [_, _, named, from]) => {
            lsn(from)?;
            Ok(Command::StartPhysical { slot: slot(named)? })
        }
        ([first, ..], _) if is_command(first) => Err(refused()),
        // More than one statement does not pass the parser of commands.
        ([first, ..], tokens) if !first.is_empty() && !tokens.contains(&Token::Symbol(';')) => Ok(Command::Sql),
        _ => Err(refused()),
    }
}

fn is_command(word: &str) -> bool {
    word.starts_with("IDENTIFY_")
        || matches!(
            word,
            "CREATE_REPLICATION_SLOT"
                | "DROP_REPLICATION_SLOT"
                | "ADVANCE_REPLICATION"
                | "ADVANCE_CATALOG_XMIN"
                | "START_REPLICATION"
                | "BASE_BACKUP"
        )
}

/// `( "name" 'value', "name" )`.
fn options(tokens: &[Token]) -> Result<Vec<Pair>, SqlError> {
    let [Token::Symbol('('), inside @ .., Token::Symbol(')')] = tokens else {
        return if tokens.is_empty() { Ok(Vec::new()) } else { Err(refused()) };
    };
    let option = |tokens: &[Token]| match tokens {
        [named] => Ok((name(named).ok_or_else(refused)?, None)),
        [named, Token::Text(value)] => Ok((name(named).ok_or_else(refused)?, Some(value.clone()))),
        _ => Err(refused()),
    };
    if inside.is_empty() {
        return Err(refused());
    }
    inside.split(|token| *token == Token::Symbol(',')).map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().message
    }

    /// Commands and refusals as recorded.
    #[test]
    fn as_the_server_takes_them() {
        assert_eq!(parse("identify_system;"), Ok(Command::IdentifySystem));
        let create =
            |slot: &str| Command::Create { slot: slot.into(), plugin: "mppdb_decoding".into(), use_snapshot: false };
        assert_eq!(parse("CREATE_REPLICATION_SLOT cUPPER LOGICAL mppdb_decoding"), Ok(create("cupper")));
        assert_eq!(parse("create_replication_slot \"c space\" logical \"mppdb_decoding\""), Ok(create("c space")));
        assert_eq!(parse("CREATE_REPLICATION_SLOT \"1c\" LOGICAL mppdb_decoding"), Ok(create("1c")));
        assert_eq!(parse("DROP_REPLICATION_SLOT c_td WAIT"), Ok(Command::Drop { slot: "c_td".into() }));
        assert_eq!(
            parse("START_REPLICATION SLOT s LOGICAL 0/0 (\"include-xids\" '1', \"force\")"),
            Ok(Command::Start {
                slot: "s".into(),
                from: Lsn(0),
                options: vec![("include-xids".into(), Some("1".into())), ("force".into(), None)]
            })
        );
        assert_eq!(parse("SELECT 'it''s (a) test'"), Ok(Command::Sql));
        assert_eq!(parse("SELECT 1;"), Ok(Command::Sql));
        for text in [
            "CREATE_REPLICATION_SLOT c LOGICAL mppdb_decoding NOEXPORT_SNAPSHOT",
            "CREATE_REPLICATION_SLOT c TEMPORARY LOGICAL mppdb_decoding",
            "CREATE_REPLICATION_SLOT c LOGICAL mppdb_decoding (SNAPSHOT 'nothing')",
            "CREATE_REPLICATION_SLOT c PHYSICAL",
            "START_REPLICATION SLOT s LOGICAL 0/0 (include-xids '1')",
            "START_REPLICATION SLOT s LOGICAL XYZ",
            "SELECT 1; SELECT 2",
            "/* hi */ SELECT 1",
            "ADVANCE_CATALOG_XMIN",
            "?!",
        ] {
            assert_eq!(refusal(text), "replication command parser returned 1", "{text}");
        }
        assert_eq!(refusal("START_REPLICATION SLOT s LOGICAL 0/0 (\"a\" '1'"), "replication command, syntax error.");
        let long = "c".repeat(64);
        assert!(refusal(&format!("CREATE_REPLICATION_SLOT {long} LOGICAL p")).contains("shorter than 64"));
    }
}
