//! Splits the text of a script into words, operators and redirections.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::CharIndices;

use super::{Operator, Word, WordKind};

/// A token of a script.
pub(super) enum Piece<'a> {
    Word(Word<'a>),
    /// `NAME=VALUE`. Behind the name of a program it is an ordinary word.
    Assignment(Word<'a>),
    Operator(Operator),
    Redirection,
    Unread,
    End,
}

/// Limit for expansions inside each other; their ends are found recursively.
const DEEPEST: usize = 16;

/// Quotes around a part of a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Double,
}

pub(super) struct Reader<'a> {
    script: &'a str,
    letters: Peekable<CharIndices<'a>>,
    /// Number of expansions around the next letter.
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(script: &'a str) -> Self {
        Self { script, letters: script.char_indices().peekable(), depth: 0 }
    }

    pub(super) fn next_piece(&mut self) -> Piece<'a> {
        self.skip_blanks();
        let Some((start, letter)) = self.letters.peek().copied() else { return Piece::End };
        let operator = |operator| Piece::Operator(operator);
        match letter {
            '\n' | ';' => {
                self.letters.next();
                if letter == ';' && self.takes(';') {
                    return operator(Operator::Group);
                }
                operator(Operator::Then)
            }
            '&' => {
                self.letters.next();
                if self.takes('&') {
                    operator(Operator::And)
                } else if self.is_next('>') {
                    // In bash this is a redirection, in other shells a background command and a
                    // redirection.
                    Piece::Unread
                } else {
                    operator(Operator::Background)
                }
            }
            '|' => {
                self.letters.next();
                if self.takes('|') {
                    return operator(Operator::Or);
                }
                self.takes('&');
                operator(Operator::Pipe)
            }
            '(' | ')' => {
                self.letters.next();
                operator(Operator::Group)
            }
            '<' | '>' => self.redirection(),
            _ if self.skips_descriptor() => self.redirection(),
            _ => self.word(start),
        }
    }

    /// Skips blanks, escaped line breaks, and comments.
    fn skip_blanks(&mut self) {
        while let Some((at, letter)) = self.letters.peek().copied() {
            match letter {
                ' ' | '\t' => {
                    self.letters.next();
                }
                '\\' if self.rest(at).starts_with("\\\n") => {
                    self.letters.next();
                    self.letters.next();
                }
                '#' => while self.letters.next_if(|(_, letter)| *letter != '\n').is_some() {},
                _ => return,
            }
        }
    }

    /// Skips the descriptor in front of an operator such as `2>`; `false` if there is none.
    fn skips_descriptor(&mut self) -> bool {
        let place = self.place();
        let behind = self.rest(place).trim_start_matches(|letter: char| letter.is_ascii_digit());
        let is_descriptor = behind.starts_with(['<', '>']);
        while is_descriptor && self.letters.next_if(|(_, it)| it.is_ascii_digit()).is_some() {}
        is_descriptor
    }

    /// Parses an operator such as `>`, `>>`, `>&`, with the word after it.
    fn redirection(&mut self) -> Piece<'a> {
        let mut heads = 0;
        while let Some((_, letter)) =
            self.letters.next_if(|(_, letter)| matches!(letter, '<' | '>' | '&' | '|'))
        {
            heads += usize::from(letter == '<');
        }
        if heads > 1 {
            return Piece::Unread;
        }
        self.skip_blanks();
        match self.letters.peek().copied() {
            Some((start, letter)) if !is_end(letter) => match self.word(start) {
                Piece::Unread => Piece::Unread,
                _ => Piece::Redirection,
            },
            _ => Piece::Unread,
        }
    }

    fn word(&mut self, start: usize) -> Piece<'a> {
        let mut text = String::new();
        let mut kind = WordKind::Bare;
        let mut is_borrowed = true;
        let mut end = start;
        while let Some((at, letter)) = self.letters.peek().copied() {
            if is_end(letter) {
                break;
            }
            self.letters.next();
            match letter {
                '\'' | '"' | '\\' => {
                    if is_borrowed {
                        text.push_str(self.script.get(start..at).unwrap_or_default());
                        is_borrowed = false;
                    }
                    kind = kind.max(WordKind::Quoted);
                    let Some(inner) = self.quoted(letter, &mut text) else { return Piece::Unread };
                    kind = kind.max(inner);
                }
                '$' | '`' | '*' | '?' | '~' => {
                    kind = WordKind::Expanded;
                    if !self.expansion(letter, Quotes::None) {
                        return Piece::Unread;
                    }
                    let until = self.place();
                    if !is_borrowed {
                        text.push_str(self.script.get(at..until).unwrap_or_default());
                    }
                }
                _ if !is_borrowed => text.push(letter),
                _ => {}
            }
            end = self.place();
        }
        let written = self.script.get(start..end).unwrap_or_default();
        let text = if is_borrowed { Cow::Borrowed(written) } else { Cow::Owned(text) };
        let word = Word { text, kind };
        if is_assignment(written) { Piece::Assignment(word) } else { Piece::Word(word) }
    }

    /// Reads the text between quotes or after a backslash; `None` if it is not terminated.
    fn quoted(&mut self, quote: char, text: &mut String) -> Option<WordKind> {
        let mut kind = WordKind::Quoted;
        if quote == '\\' {
            let (_, letter) = self.letters.next()?;
            if letter != '\n' {
                text.push(letter);
            }
            return Some(kind);
        }
        loop {
            let (at, letter) = self.letters.next()?;
            match letter {
                _ if letter == quote => return Some(kind),
                '\\' if quote == '"' => {
                    let (_, escaped) = self.letters.next()?;
                    if !matches!(escaped, '"' | '\\' | '$' | '`' | '\n') {
                        text.push('\\');
                    }
                    if escaped != '\n' {
                        text.push(escaped);
                    }
                }
                '$' | '`' if quote == '"' => {
                    kind = WordKind::Expanded;
                    if !self.expansion(letter, Quotes::Double) {
                        return None;
                    }
                    text.push_str(self.script.get(at..self.place()).unwrap_or_default());
                }
                _ => text.push(letter),
            }
        }
    }

    /// Skips an expansion whose first letter has been read, `around` being the quotes around it;
    /// `false` if its end is not certain.
    fn expansion(&mut self, first: char, around: Quotes) -> bool {
        self.depth += 1;
        let is_skipped = match (first, self.letters.peek().map(|(_, letter)| *letter)) {
            _ if self.depth > DEEPEST => false,
            ('`', _) => self.backquoted(),
            ('$', Some('(')) => self.substitution(),
            ('$', Some('{')) => self.parameter(around),
            // In bash, `\'` does not end `$'it\'s'`; in other shells it does.
            ('$', Some('\'')) => around == Quotes::Double,
            _ => true,
        };
        self.depth -= 1;
        is_skipped
    }

    /// Skips `$(COMMANDS)` or `$((NUMBER))`, whose first letter has been read.
    fn substitution(&mut self) -> bool {
        let mut open = 0_usize;
        let mut previous = '$';
        while let Some((at, letter)) = self.letters.next() {
            let begins_word = is_end(previous) || previous == '\\';
            let is_certain = match letter {
                ')' if open == 1 => return true,
                '\'' | '"' | '\\' => self.quoted(letter, &mut String::new()).is_some(),
                '$' => self.expansion(letter, Quotes::None),
                // These may contain a bracket that closes nothing: other commands in backquotes, a
                // comment, a here document, and the patterns of `case`.
                '`' => false,
                '#' => !begins_word,
                '<' => !self.is_next('<'),
                'c' => !(begins_word && self.rest(at).starts_with("case")),
                _ => true,
            };
            if !is_certain {
                return false;
            }
            match letter {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            previous = letter;
        }
        false
    }

    /// Skips `${NAME...}`, whose first letter has been read.
    fn parameter(&mut self, around: Quotes) -> bool {
        while let Some((_, letter)) = self.letters.next() {
            let is_certain = match letter {
                '}' => return true,
                // In `"${X:-'}"` the quote is an ordinary letter, in `"${X#'}'}"` it is not.
                '\'' if around == Quotes::Double => false,
                '\'' | '"' | '\\' => self.quoted(letter, &mut String::new()).is_some(),
                '$' | '`' => self.expansion(letter, around),
                _ => true,
            };
            if !is_certain {
                return false;
            }
        }
        false
    }

    /// Skips a command in backquotes whose first one has been read; `false` if it does not end.
    fn backquoted(&mut self) -> bool {
        while let Some((_, letter)) = self.letters.next() {
            match letter {
                '`' => return true,
                '\\' => {
                    self.letters.next();
                }
                _ => {}
            }
        }
        false
    }

    /// Returns the position of the next letter, in bytes.
    pub(super) fn place(&mut self) -> usize {
        self.letters.peek().map_or(self.script.len(), |(at, _)| *at)
    }

    fn rest(&self, at: usize) -> &'a str {
        self.script.get(at..).unwrap_or_default()
    }

    fn is_next(&mut self, wanted: char) -> bool {
        self.letters.peek().is_some_and(|(_, letter)| *letter == wanted)
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.letters.next_if(|(_, letter)| *letter == wanted).is_some()
    }
}

/// Returns whether a word, as written, sets a variable for the command after it.
fn is_assignment(written: &str) -> bool {
    written.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Returns whether an unquoted letter ends a word.
const fn is_end(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>')
}
