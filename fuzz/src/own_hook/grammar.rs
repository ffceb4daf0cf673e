//! Scripts as authors write them in hooks, and others: words in quotes, with expansions,
//! redirections and assignments; lists, pipes, groups, conditions and loops that end.

use arbitrary::{Result, Unstructured};

/// Programs that only record their calls.
pub(super) const PROGRAMS: [&str; 4] = ["say", "nginx", "drain.sh", LOOK];
/// The program used in expansions, which prestop does not interpret.
pub(super) const LOOK: &str = "look";

/// The command of a hook.
#[derive(Debug)]
pub(super) struct Script {
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// Whether a command in the script may fail.
    pub(super) may_fail: bool,
    /// Whether commands of the script may run at the same time.
    pub(super) has_concurrency: bool,
}

const SHELLS: [&[&str]; 9] = [
    &["sh", "-c"],
    &["sh", "-c"],
    &["dash", "-c"],
    &["ash", "-ec"],
    &["sh", "-e", "-c"],
    &["sh", "-c", "--"],
    &["sh", "-c", "+e"],
    &["env", "sh", "-c"],
    &["busybox", "sh", "-c"],
];
const LENGTHS: [&str; 10] =
    ["5", "3s", "0.5", "1m", "'2'", "\"4\"", "0", "1 2", "6\\\n", "${NONE}7"];
const PLAIN_WORDS: [&str; 8] = ["a", "-s quit", "b=c", "x#y", "{a}", "[a]", "!", "-"];
const ODD_WORDS: [&str; 41] = [
    "'a b'",
    "\"c d\"",
    "'; sleep 9'",
    "\"it's\"",
    "e\\ f",
    "'g'\"h\"i",
    "\\\\",
    "\"\\\"\"",
    "\"a\\\nb\"",
    "'x\ny'",
    "\\;",
    "\\&",
    "$X",
    "${X}",
    "${X:-y}",
    "\"${X:-a b}\"",
    "$(look z)",
    "\"$(look 'q')\"",
    "$(look \\))",
    "$(look ')')",
    "`look w`",
    "$((1 + 2))",
    "${X:-\\}}",
    "\"${X:-'}\"",
    "$(look \"(\")",
    "*",
    "~",
    "\"$(look \"in\")\"",
    "$(look })",
    "\"$(look \"$(look ')' \")\")\")\"",
    "${X:-{}",
    "${X:-(}",
    "}",
    "\"${X:-$(look '}')}\"",
    "$(#)\nlook r)",
    "$(look s;# )\n)",
    "$(case\ta in a) look;; esac)",
    "$'a'",
    "\"${X:-\"}\"}\"",
    "\"${X:-\\}}\"",
    "${X:-`look }`}",
];
/// The name begins with a dot, so that `*` does not find it.
const REDIRECTIONS: [&str; 9] = [
    " >.out",
    " >>.out",
    " 2>&1",
    " </dev/null",
    " >/dev/null 2>&1",
    " >|.out",
    " 2>.out",
    " >&2",
    " &>.out",
];
const ASSIGNMENTS: [&str; 4] = ["X=1 ", "X='a b' Y=2 ", "X=$(look v) ", "X=\"a\" "];
const BUILT_IN: [&str; 20] = [
    ":",
    "true",
    "set -e",
    "set +e",
    "set -u",
    "set -f",
    "set -x",
    "umask 022",
    "export X=1",
    "unset X",
    "cd .",
    "X=1",
    "exit",
    "exit 0",
    "set -n",
    "set --",
    "exec",
    "command exit",
    "command set -n",
    "command :",
];
const FAILING: [&str; 8] =
    ["'X=1' sleep 4", "false", "exit 3", "! sleep 2", "! say n", "return 4", "sleep", "(exit 5)"];
const COMPOUND: [&str; 10] = [
    "(say c)",
    "{ say d; }",
    "if true; then say e; fi",
    "while false; do sleep 1; done",
    "say f | say g",
    "for i in 1 2; do sleep $i; done",
    "case a in a) say h;; esac",
    "sleep 8 | say i",
    "{ sleep 2; say j; }",
    "sleep() { say k; }",
];
const CHANGES_MEANING: [&str; 5] =
    ["trap 'say t' EXIT", "eval 'say u'", "eval exit", "alias sleep=say", "PATH=tools"];
const SEPARATORS: [&str; 17] = [
    "; ",
    "; ",
    ";",
    " && ",
    " && ",
    "&&",
    " || ",
    "\n",
    "\n\n  ",
    " &&\n",
    " \\\n ; ",
    "\n# it's a comment\n",
    " # end\n",
    " ||\n",
    " ;\n",
    " & ",
    " | ",
];

impl Script {
    pub(super) fn of(choices: &mut Unstructured<'_>) -> Result<Self> {
        let mut script = Self { command: Vec::new(), may_fail: false, has_concurrency: false };
        if choices.ratio(1, 12)? {
            script.command = program(choices)?;
            return Ok(script);
        }
        let shell = choices.choose(&SHELLS)?;
        script.command = shell.iter().map(|&word| word.to_owned()).collect();
        let mut text = String::new();
        if choices.ratio(1, 8)? {
            text.push_str(choices.choose(&["\n", "  ", "# first\n", ":;"])?);
        }
        let count = choices.int_in_range(1..=5)?;
        for index in 0..count {
            let command = script.simple(choices)?;
            text.push_str(&command);
            if index + 1 < count {
                let separator = *choices.choose(&SEPARATORS)?;
                text.push_str(separator);
            }
        }
        if choices.ratio(1, 4)? {
            text.push_str(choices.choose(&["\n", ";", " # end", "; wait", "\n\n", " &"])?);
        }
        // Such as `sleep 5 &`, `sleep 5 &> out`, `say a | say b`.
        let lists =
            ["&&", "||", ">&", ">|"].iter().fold(text.clone(), |text, it| text.replace(it, ""));
        script.has_concurrency |= lists.contains(['&', '|']);
        // The use of an unset variable is then an error.
        script.may_fail |= text.contains("set -u") && text.contains('$');
        script.command.push(text);
        Ok(script)
    }

    fn simple(&mut self, choices: &mut Unstructured<'_>) -> Result<String> {
        let kind = choices.int_in_range(0..=99)?;
        let text: &str = match kind {
            0..=64 => return call(choices),
            65..=79 => choices.choose(&BUILT_IN)?,
            80..=87 => {
                self.may_fail = true;
                choices.choose(&FAILING)?
            }
            88..=96 => choices.choose(&COMPOUND)?,
            _ => {
                // The meaning of the commands that follow is not known.
                self.may_fail = true;
                choices.choose(&CHANGES_MEANING)?
            }
        };
        Ok(text.to_owned())
    }
}

/// Generates a program without a shell.
fn program(choices: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let words: &[&str] = choices.choose(&[
        &["sleep", "5"][..],
        &["tools/sleep", "3s"],
        &["env", "sleep", "1", "2"],
        &["busybox", "sleep", "0.5"],
        &["nginx", "-s", "quit"],
        &["tools/nginx", "-s", "a b"],
        &["say", "$X", "; sleep 5"],
    ])?;
    Ok(words.iter().map(|&word| word.to_owned()).collect())
}

/// Generates a call of a program, in one of its spellings.
fn call(choices: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    if choices.ratio(1, 12)? {
        text.push_str(choices.choose(&ASSIGNMENTS)?);
    }
    if choices.ratio(1, 12)? {
        let prefixes = ["exec ", "command ", "env ", "busybox ", "exec env ", "command exec "];
        text.push_str(choices.choose(&prefixes)?);
    }
    if choices.ratio(2, 3)? {
        text.push_str(choices.choose(&[
            "sleep ",
            "sleep ",
            "tools/sleep ",
            "'sleep' ",
            "sl\\eep ",
        ])?);
        text.push_str(choices.choose(&LENGTHS)?);
    } else {
        text.push_str(choices.choose(&["say", "nginx -s", "./tools/drain.sh", "drain.sh"])?);
        for _ in 0..choices.int_in_range(0..=2)? {
            text.push(' ');
            let words: &[&str] = if choices.ratio(1, 3)? { &PLAIN_WORDS } else { &ODD_WORDS };
            text.push_str(choices.choose(words)?);
        }
    }
    if choices.ratio(1, 10)? {
        text.push_str(choices.choose(&REDIRECTIONS)?);
    }
    Ok(text)
}
