//! SQL as MySQL and MariaDB read it, to tokens: linear, never failing.
//!
//! What stands in an executable comment (`/*!50000 … */`, `/*M!100000 … */`) is read like any other
//! text, because the server does.

/// A token; texts borrow from the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A bare word.
    Word(&'a str),
    /// An identifier in back-ticks.
    Quoted(&'a str),
    /// A string literal, or what is left of it at the end.
    Text(&'a str),
    /// A number literal (also hexadecimal).
    Number(&'a str),
    /// A comment; of an executable one only its opening, e.g. `/*!50000`.
    Comment(&'a str),
    /// Any other character.
    Sign(u8),
}

impl<'a> Token<'a> {
    /// Whether it is this word, given in lower case.
    pub(crate) fn is(self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    /// An identifier, quoted or not.
    pub(crate) fn name(self) -> Option<&'a str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it stands for a value; `?` is what a prepared statement shows of one, and a digest of the server's own of
    /// one or several.
    pub(crate) const fn is_literal(self) -> bool {
        matches!(self, Self::Text(_) | Self::Number(_) | Self::Sign(b'?'))
    }
}

/// Walks the tokens of a statement.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Executable comments that are open.
    executable: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            executable: 0,
        }
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text
            .get(from..to.min(self.text.len()))
            .unwrap_or_default()
    }

    /// Place behind a quoted run that opens at `self.at`.
    fn closing(&self, quote: u8) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        loop {
            let Some(found) = bytes
                .get(at..)
                .and_then(|rest| memchr::memchr2(quote, b'\\', rest))
            else {
                return bytes.len();
            };
            at += found;
            let escaped = bytes.get(at) == Some(&b'\\') && quote != b'`';
            let doubled = bytes.get(at) == Some(&quote) && bytes.get(at + 1) == Some(&quote);
            if escaped || doubled {
                at += 2;
            } else if bytes.get(at) == Some(&quote) {
                return at;
            } else {
                at += 1;
            }
        }
    }

    /// Length of the opening of an executable comment at `from`, its version included.
    fn executable_opening(&self, from: usize) -> Option<usize> {
        let rest = self.text.as_bytes().get(from + 2..)?;
        let mark = match rest {
            [b'!', ..] => 1,
            [b'M' | b'm', b'!', ..] => 2,
            _ => return None,
        };
        let version = rest
            .iter()
            .skip(mark)
            .take(6)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        Some(2 + mark + version)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        // The server takes a vertical tab for a space too.
        while matches!(bytes.get(self.at)?, b' ' | b'\t'..=b'\r') {
            self.at += 1;
        }
        let from = self.at;
        let byte = *bytes.get(from)?;
        let next = bytes.get(from + 1).copied();
        match byte {
            b'*' if next == Some(b'/') && self.executable > 0 => {
                self.executable -= 1;
                self.at = from + 2;
                self.next()
            }
            b'\'' | b'"' | b'`' => {
                let end = self.closing(byte);
                self.at = end + 1;
                let inner = self.slice(from + 1, end);
                Some(if byte == b'`' {
                    Token::Quoted(inner)
                } else {
                    Token::Text(inner)
                })
            }
            b'/' if next == Some(b'*') => {
                if let Some(length) = self.executable_opening(from) {
                    self.executable += 1;
                    self.at = from + length;
                    return Some(Token::Comment(self.slice(from, self.at)));
                }
                let rest = bytes.get(from + 2..).unwrap_or_default();
                let end =
                    memchr::memmem::find(rest, b"*/").map_or(bytes.len(), |end| from + end + 4);
                self.at = end;
                Some(Token::Comment(self.slice(from, end)))
            }
            b'#' | b'-'
                if byte == b'#'
                    || (next == Some(b'-')
                        && bytes.get(from + 2).is_none_or(u8::is_ascii_whitespace)) =>
            {
                let end = bytes
                    .get(from..)
                    .and_then(|rest| memchr::memchr(b'\n', rest))
                    .map_or(bytes.len(), |end| from + end);
                self.at = end;
                Some(Token::Comment(self.slice(from, end)))
            }
            b'0'..=b'9' => {
                while bytes
                    .get(self.at)
                    .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.')
                {
                    self.at += 1;
                }
                Some(Token::Number(self.slice(from, self.at)))
            }
            byte if byte.is_ascii_alphabetic()
                || matches!(byte, b'_' | b'@' | b'$')
                || byte >= 0x80 =>
            {
                while bytes.get(self.at).is_some_and(|byte| {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'_' | b'@' | b'$')
                        || *byte >= 0x80
                }) {
                    self.at += 1;
                }
                Some(Token::Word(self.slice(from, self.at)))
            }
            // `(...)` is how the server's own digests write a list of values.
            b'.' if bytes.get(from..from + 3) == Some(b"...") => {
                self.at = from + 3;
                Some(Token::Sign(b'?'))
            }
            _ => {
                self.at += 1;
                Some(Token::Sign(byte))
            }
        }
    }
}
