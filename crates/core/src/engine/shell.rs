//! Shell scripts in pods (`sh -c SCRIPT`), parsed in one pass as long as they are simple: words and
//! the operators between commands, without expansions. Anything else ends the list, and the caller
//! decides how to treat an unfinished list.

mod reader;

use std::borrow::Cow;

use self::reader::{Piece, Reader};
use super::pod::Arguments;
use crate::view::{Shape, Text};

/// A call of a shell by a container or a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation<'a> {
    /// The shell's name without its folder: `sh`, `bash`; `busybox` for its built-in shell.
    pub(super) shell: &'a str,
    /// The script after `-c`.
    pub(super) script: &'a str,
}

/// An item of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A simple command, or a reserved word of the shell (`if`) with the words after it.
    Command(Command<'a>),
    /// A separator of commands.
    Operator(Operator),
    /// The rest of the script is not parsed: it contains, for example, a here document or an open
    /// quote.
    Unread,
}

/// A separator between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `;` or the end of a line.
    Then,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
    /// `&`
    Background,
    /// `(`, `)`, `;;`
    Group,
}

/// The words of a command, without redirections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Command<'a> {
    /// Program and arguments, without variables that are set for the command.
    pub(super) words: Vec<Word<'a>>,
    /// Whether input or output is redirected.
    pub(super) redirection: Redirection,
}

/// Whether a command's input or output is redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Redirection {
    /// It is not redirected.
    #[default]
    None,
    /// It is redirected.
    Some,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// The text without its quotes; expansions as written.
    pub(super) text: Cow<'a, str>,
    /// Whether the text is certain.
    pub(super) kind: WordKind,
}

/// Whether a word's text is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WordKind {
    /// Certain, without quotes.
    Bare,
    /// Certain, with quotes: never a reserved word of the shell.
    Quoted,
    /// Contains an expansion, whose result is not known.
    Expanded,
}

/// Names of shells.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];

/// Reserved words that begin or end a compound command, and the commands of conditions.
const RESERVED: [&str; 22] = [
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "{",
    "}", "!", "function", "select", "coproc", "time", "[", "[[", "test",
];

impl<'a> Invocation<'a> {
    /// Finds the shell's script in a list of arguments, program first; `None` if they run no script
    /// of a shell, as with `sh -n`.
    pub(super) fn of(arguments: impl Iterator<Item = &'a str>) -> Option<Self> {
        Self::find(arguments).map(|(_, invocation)| invocation)
    }

    /// Returns the index of the script among the arguments.
    pub(super) fn script_place(arguments: &[&'a str]) -> Option<usize> {
        Self::find(arguments.iter().copied()).map(|(place, _)| place)
    }

    fn find(arguments: impl Iterator<Item = &'a str>) -> Option<(usize, Self)> {
        let mut arguments = arguments.enumerate();
        let mut next = || arguments.next();
        let mut program = base_name(next()?.1);
        if program == "env" {
            program = base_name(next()?.1);
        }
        let shell = *SHELLS.iter().find(|shell| **shell == program)?;
        if shell == "busybox" {
            let (_, applet) = next()?;
            SHELLS.iter().find(|shell| **shell == applet)?;
        }
        // The script is the first argument after all options: `sh -c +e SCRIPT`.
        let mut has_script = false;
        let mut never_runs = false;
        let (place, script) = loop {
            let (place, argument) = next()?;
            match argument {
                "-" | "--" => break next()?,
                "--rcfile" | "--init-file" => {
                    next()?;
                }
                _ if argument.starts_with("--") => {}
                _ => {
                    let Some(letters) = argument.strip_prefix(['-', '+']) else {
                        break (place, argument);
                    };
                    let is_set = |letter| argument.starts_with('-') && letters.contains(letter);
                    has_script |= is_set('c');
                    never_runs |= is_set('n');
                    for _ in letters.matches('o') {
                        never_runs |= next()?.1 == "noexec";
                    }
                }
            }
        };
        (has_script && !never_runs).then_some((place, Self { shell, script }))
    }
}

/// Returns a list of arguments, empty if there is none; `None` if the value has another type.
pub(super) fn list<'a, 'p>(shape: &'a Shape<Arguments<'p>>) -> Option<&'a [Shape<Text<'p>>]> {
    match shape {
        Shape::Absent => Some(&[]),
        Shape::Value(arguments) => Some(arguments),
        Shape::Wrong => None,
    }
}

/// Returns the arguments of a list as text; `None` if one of them is not a string.
pub(super) fn texts<'a>(
    arguments: &'a [Shape<Text<'_>>],
) -> Option<impl Iterator<Item = &'a str> + Clone> {
    let all_texts = arguments.iter().all(|argument| argument.value().is_some());
    all_texts.then(|| arguments.iter().filter_map(Shape::value).map(AsRef::as_ref))
}

/// Returns whether a program with this name is a shell and nothing else, unlike busybox.
pub(super) fn is_shell(name: &str) -> bool {
    name != "busybox" && SHELLS.contains(&name)
}

/// Returns a program's name without its folder.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

impl Command<'_> {
    /// Returns the reserved word of the shell at the beginning of the command, if there is one.
    pub(super) fn keyword(&self) -> Option<&str> {
        let first = self.words.first().filter(|word| word.kind == WordKind::Bare);
        first.map(|word| word.text.as_ref()).filter(|word| RESERVED.contains(word))
    }

    /// Returns whether the command is part of a compound command.
    pub(super) fn is_reserved(&self) -> bool {
        self.keyword().is_some()
    }

    /// Returns whether commands behind the next separator may be part of the same command.
    pub(super) fn may_continue(&self) -> bool {
        self.keyword().is_some_and(|word| !matches!(word, "[" | "test"))
    }

    /// Returns the command as written, without quotes and redirections.
    pub(super) fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_ref()).collect();
        words.join(" ")
    }

    /// Returns the program or built-in command, without the prefix `command`; empty if it is not
    /// certain.
    pub(super) fn program(&self) -> &str {
        self.call().first().and_then(Word::certain).unwrap_or_default()
    }

    /// Returns whether the command replaces the shell: `exec app` does, `exec 2>&1` does not.
    pub(super) fn replaces_shell(&self) -> bool {
        self.program() == "exec" && self.call().len() > 1
    }

    /// Returns the words without the prefix `command`.
    fn call(&self) -> &[Word<'_>] {
        let is_prefix =
            |word: &&Word<'_>| matches!(word.certain(), Some("command" | "builtin" | "-p"));
        let prefixes = self.words.iter().take_while(is_prefix).count();
        self.words.get(prefixes..).unwrap_or_default()
    }
}

impl Word<'_> {
    /// Returns the text, if it is certain.
    pub(super) fn certain(&self) -> Option<&str> {
        (self.kind < WordKind::Expanded).then_some(self.text.as_ref())
    }
}

/// Returns the first command of a script, the operator after it, and the rest; `None` if it is the
/// only command, sets variables, or can't be parsed completely.
pub(super) fn first(script: &str) -> Option<(Command<'_>, Operator, &str)> {
    let mut reader = Reader::new(script);
    let mut command = Command::default();
    loop {
        match reader.next_piece() {
            Piece::Assignment(_) if command.words.is_empty() => return None,
            Piece::Word(word) | Piece::Assignment(word) => command.words.push(word),
            Piece::Redirection => command.redirection = Redirection::Some,
            Piece::Operator(operator) => {
                let (before, behind) = script.split_at_checked(reader.place())?;
                if !command.words.is_empty() {
                    return Some((command, operator, behind.trim_start_matches([' ', '\t', '\n'])));
                }
                if command.redirection == Redirection::Some || !before.ends_with('\n') {
                    return None;
                }
            }
            Piece::End | Piece::Unread => return None,
        }
    }
}

/// Parses the commands of a script, in order.
pub(super) fn items(script: &str) -> Vec<Item<'_>> {
    let mut reader = Reader::new(script);
    let mut items = Vec::new();
    let mut command = Command::default();
    let mut is_empty = true;
    loop {
        match reader.next_piece() {
            // `A=1 app` runs `app`.
            Piece::Assignment(_) if command.words.is_empty() => is_empty = false,
            Piece::Word(word) | Piece::Assignment(word) => {
                is_empty = false;
                command.words.push(word);
            }
            Piece::Redirection => command.redirection = Redirection::Some,
            Piece::Operator(operator) => {
                close(&mut command, &mut items);
                // A line that ends in one of these operators continues on the next line, unlike
                // `a || X=1`.
                let goes_on = is_empty
                    && matches!(
                        items.last(),
                        Some(Item::Operator(Operator::And | Operator::Or | Operator::Pipe))
                    );
                is_empty = true;
                if !(goes_on && operator == Operator::Then) {
                    items.push(Item::Operator(operator));
                }
            }
            Piece::End => {
                close(&mut command, &mut items);
                return items;
            }
            Piece::Unread => {
                close(&mut command, &mut items);
                items.push(Item::Unread);
                return items;
            }
        }
    }
}

/// Returns whether the commands before the item run, or may run, in the background.
pub(super) const fn is_background(item: &Item<'_>) -> bool {
    matches!(item, Item::Operator(Operator::Background) | Item::Unread)
}

/// Returns whether a script contains only blanks and a comment.
pub(super) fn is_empty(script: &str) -> bool {
    matches!(Reader::new(script).next_piece(), Piece::End)
}

fn close<'a>(command: &mut Command<'a>, items: &mut Vec<Item<'a>>) {
    let command = std::mem::take(command);
    if !command.words.is_empty() || command.redirection == Redirection::Some {
        items.push(Item::Command(command));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints words with spaces between them, `~` before an expanded one, `>` for a redirection,
    /// and operators by name.
    fn shown(script: &str) -> String {
        let word = |word: &Word<'_>| match word.kind {
            WordKind::Expanded => format!("~{}", word.text),
            WordKind::Bare | WordKind::Quoted => word.text.to_string(),
        };
        let item = |item: &Item<'_>| match item {
            Item::Command(command) => {
                let mut words: Vec<String> = command.words.iter().map(word).collect();
                if command.redirection == Redirection::Some {
                    words.push(">".to_owned());
                }
                words.join(" ")
            }
            Item::Operator(operator) => format!("{operator:?}"),
            Item::Unread => "Unread".to_owned(),
        };
        items(script).iter().map(item).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn commands_and_what_is_between_them() {
        for (script, expected) in [
            ("", ""),
            ("app", "app"),
            ("sleep 5; app -x", "sleep 5|Then|app -x"),
            ("a&&b||c|d&", "a|And|b|Or|c|Pipe|d|Background"),
            ("a \\\n  b\nc # not read\n", "a b|Then|c|Then"),
            ("A=1 B='x y' app", "app"),
            ("nginx -g 'daemon off;'", "nginx -g daemon off;"),
            ("echo \"a \\\" $X\" $Y", "echo ~a \" $X ~$Y"),
            ("a 2>&1 >/dev/null b", "a b >"),
            ("a < in && b &> out", "a >|And|b|Unread"),
            ("a ||\n\n # c\nb\nc &&\nd", "a|Or|b|Then|c|And|d"),
            ("a |\nb", "a|Pipe|b"),
            ("a ||\nX=1; b", "a|Or|Then|b"),
            ("a 5\r\nb", "a 5\r|Then|b"),
            ("x $(cat a; echo ')') y", "x ~$(cat a; echo ')') y"),
            ("x=`date` y", "y"),
            ("x $(a \"$(b ')' \")\")\" }) y", "x ~$(a \"$(b ')' \")\")\" }) y"),
            ("x $((1 + (2 * 3))) y", "x ~$((1 + (2 * 3))) y"),
            ("x ${X:-(} y", "x ~${X:-(} y"),
            ("x ${X:-{} y}", "x ~${X:-{} y}"),
            ("x \"${X:-${Y#'}'}}\" y", "x|Unread"),
            ("x \"${X:-$(a '}')}\" y", "x ~${X:-$(a '}')} y"),
            ("x $(#)\n) y", "x|Unread"),
            ("x $(a;# )\n) y", "x|Unread"),
            ("x $(case\ta in a) b;; esac) y", "x|Unread"),
            ("x $(cat <<E\n)\nE\n) y", "x|Unread"),
            ("x $'a\\'b c' y", "x|Unread"),
            ("x \"$'a'\" y", "x ~$'a' y"),
            ("'A=1' app", "A=1 app"),
            ("A\\=1 app; B=\"x\" app C=2", "A=1 app|Then|app C=2"),
            ("(a; b)", "Group|a|Then|b|Group"),
            ("a 'b", "a|Unread"),
            ("x ${X:-'}'} y", "x ~${X:-'}'} y"),
            ("x \"${X:-'}\" 'y'\nz", "x|Unread"),
            ("x ${X:-\\}} y", "x ~${X:-\\}} y"),
            ("x $(case a in a) b;; esac) y", "x|Unread"),
            ("x $(a # )\n) y", "x|Unread"),
            ("x `a \\` b` y", "x ~`a \\` b` y"),
            ("cat <<END\nx\nEND\n", "cat|Unread"),
            ("exec 3>log", "exec >"),
            ("a\u{e9}\\ b", "a\u{e9} b"),
        ] {
            assert_eq!(shown(script), expected, "{script:?}");
        }
    }

    #[test]
    fn deep_expansions_are_not_read() {
        let nested = |depth: usize| format!("x {}y{} z", "\"$(".repeat(depth), ")\"".repeat(depth));
        assert!(shown(&nested(16)).ends_with(" z"), "{}", shown(&nested(16)));
        assert_eq!(shown(&nested(17)), "x|Unread");
        assert_eq!(shown(&nested(100_000)), "x|Unread");
    }

    #[test]
    fn many_redirections_in_one_word_are_read_one_by_one() {
        assert_eq!(shown(&format!("a {}2> b c", ">1".repeat(100_000))), "a c >");
    }

    #[test]
    fn the_prefix_command_is_skipped() {
        for (script, program, replaces) in [
            ("exec app", "exec", true),
            ("command exec app", "exec", true),
            ("exec app exec", "exec", true),
            ("command -p exec app", "exec", true),
            ("exec 2>&1", "exec", false),
            ("command exec >log", "exec", false),
            ("command -v app", "-v", false),
            ("command $APP exec", "", false),
        ] {
            let items = items(script);
            let [Item::Command(command)] = items.as_slice() else { panic!("{items:?}") };
            assert_eq!(
                (command.program(), command.replaces_shell()),
                (program, replaces),
                "{script}"
            );
        }
    }

    #[test]
    fn scripts_of_shells_are_found() {
        let found = |arguments: &[&'static str]| {
            Invocation::of(arguments.iter().copied()).map(|found| (found.shell, found.script))
        };
        for (arguments, shell) in [
            (&["sh", "-c", "x"][..], "sh"),
            (&["/bin/sh", "-c", "x"], "sh"),
            (&["/usr/bin/env", "bash", "-c", "x"], "bash"),
            (&["/bin/bash", "-lc", "x", "more"], "bash"),
            (&["ash", "-e", "-c", "x"], "ash"),
            (&["bash", "-euxo", "pipefail", "-c", "x"], "bash"),
            (&["bash", "-ceo", "pipefail", "x"], "bash"),
            (&["bash", "--login", "-c", "x"], "bash"),
            (&["/bin/busybox", "sh", "-c", "x"], "busybox"),
            (&["sh", "-c", "+e", "x"], "sh"),
            (&["sh", "-c", "-e", "--", "x"], "sh"),
            (&["bash", "--rcfile", "/dev/null", "-c", "x"], "bash"),
        ] {
            assert_eq!(found(arguments), Some((shell, "x")), "{arguments:?}");
        }
        for arguments in [
            &["sh"][..],
            &["sh", "-c"],
            &["sh", "-nc", "x"],
            &["sh", "-o", "noexec", "-c", "x"],
            &["sh", "script"],
            &["app", "-c", "x"],
            &["busybox", "x"],
            &[],
        ] {
            assert_eq!(found(arguments), None, "{arguments:?}");
        }
    }
}
