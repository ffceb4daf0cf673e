//! A simulated terminal with the features that `prestop watch` uses: lines that wrap and scroll,
//! moving the cursor up, clearing the rest of the screen.

/// The contents of a terminal.
#[derive(Debug)]
pub struct Screen {
    columns: usize,
    rows: usize,
    /// All lines, including those that have scrolled off the screen.
    lines: Vec<String>,
    /// Line and column of the cursor.
    at: (usize, usize),
    escape: Option<String>,
}

impl Screen {
    /// Creates an empty screen.
    pub fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, lines: vec![String::new()], at: (0, 0), escape: None }
    }

    /// Prints a text. Panics at an unknown escape sequence.
    pub fn show(&mut self, text: &str) {
        for character in text.chars() {
            match self.escape.take() {
                Some(escape) if character.is_ascii_alphabetic() => self.control(&escape, character),
                Some(escape) => self.escape = Some(format!("{escape}{character}")),
                None => self.character(character),
            }
        }
    }

    /// Returns all lines, including those that have scrolled off the screen, without trailing
    /// spaces.
    pub fn lines(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.trim_end()).collect()
    }

    fn character(&mut self, character: char) {
        match character {
            '\x1b' => self.escape = Some(String::new()),
            '\r' => self.at.1 = 0,
            '\n' => self.down(),
            _ => {
                if self.at.1 == self.columns {
                    self.at.1 = 0;
                    self.down();
                }
                let (line, column) = self.at;
                let mut line: Vec<_> = self.lines[line].chars().collect();
                line.resize(line.len().max(column + 1), ' ');
                line[column] = character;
                self.lines[self.at.0] = line.into_iter().collect();
                self.at.1 += 1;
            }
        }
    }

    fn control(&mut self, escape: &str, last: char) {
        match (escape, last) {
            // The cursor does not move beyond the top of the screen.
            ("[", 'F') => self.at = (self.at.0.saturating_sub(1).max(self.top()), 0),
            ("[", 'J') => {
                self.lines.truncate(self.at.0 + 1);
                let line = &self.lines[self.at.0];
                self.lines[self.at.0] = line.chars().take(self.at.1).collect();
            }
            other => panic!("{other:?}"),
        }
    }

    /// Moves to the next line, like a line feed without carriage return.
    fn down(&mut self) {
        self.at.0 += 1;
        if self.at.0 == self.lines.len() {
            self.lines.push(String::new());
        }
    }

    fn top(&self) -> usize {
        self.lines.len().saturating_sub(self.rows)
    }
}
