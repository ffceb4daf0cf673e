//! A folder with shells and with programs that record their calls. No other program can be run from
//! it by name, and a run ends after a few seconds.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::grammar::PROGRAMS;

/// Separator between the recorded calls.
const RECORD: char = '\u{1e}';
/// Separator between the words of a call.
const WORD: char = '\u{1f}';
/// Limits of a run: CPU time, and size of the files that it writes. The limit for the elapsed time
/// is in [`Sandbox::run`].
/// Descriptor 9 is a copy of the output pipe that no script closes.
const LIMITED: &str = "ulimit -t 5 -f 200; cd \"$1\"; shift; exec 9>&1; exec \"$@\"";

/// The folder in which scripts run.
pub(super) struct Sandbox {
    folder: TempDir,
}

/// Result of a run.
pub(super) struct Ran {
    pub(super) calls: Vec<Call>,
    pub(super) status: Option<i32>,
    pub(super) is_syntax_error: bool,
}

/// A recorded call of a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    /// Program and arguments.
    pub(super) words: Vec<String>,
}

impl Call {
    /// Returns for how many seconds the call would have slept, with each length rounded up as
    /// prestop does; `None` for other programs than `sleep`.
    pub(super) fn slept(&self) -> Option<i64> {
        let (program, lengths) = self.words.split_first()?;
        if program != "sleep" || lengths.is_empty() {
            return None;
        }
        lengths.iter().map(|length| seconds(length)).sum()
    }
}

/// Parses a length as coreutils does.
fn seconds(text: &str) -> Option<i64> {
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (
            number,
            match text.as_bytes().last()? {
                b'm' => 60,
                b'h' => 3600,
                b'd' => 86_400,
                _ => 1,
            },
        ),
        None => (text, 1),
    };
    // In tenths: the grammar has no smaller fractions.
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let tenths =
        whole.parse::<i64>().ok()? * 10 + tenth.parse::<i64>().ok().filter(|it| *it < 10)?;
    let tenths = tenths * factor;
    Some(tenths / 10 + i64::from(tenths % 10 > 0))
}

impl Sandbox {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for folder in ["bin", "work", "work/tools"] {
            fs::create_dir(path.join(folder)).unwrap();
        }
        for shell in ["sh", "dash", "ash"] {
            symlink("/bin/dash", path.join("bin").join(shell)).unwrap();
        }
        let record = format!(
            "#!/bin/dash\nline=${{0##*/}}\nfor word; do line=\"$line{WORD}$word\"; done\n\
             printf '%s{RECORD}' \"$line\" >>\"$TRANSCRIPT\"\n"
        );
        for program in PROGRAMS.iter().chain(&["sleep"]) {
            program_file(&path.join("bin").join(program), &record);
            program_file(&path.join("work/tools").join(program), &record);
        }
        program_file(&path.join("bin/false"), "#!/bin/dash\nexit 1\n");
        for wrapper in ["env", "busybox"] {
            program_file(&path.join("bin").join(wrapper), "#!/bin/dash\nexec \"$@\"\n");
        }
        Self { folder }
    }

    /// Runs a command of the grammar.
    pub(super) fn run(&self, command: &[&str]) -> Ran {
        let path = self.folder.path();
        let transcript = path.join("transcript");
        fs::write(&transcript, "").unwrap();
        // Every process started by the script holds the output pipe, also one in the background
        // whose output is redirected. So the pipe is closed when all of them have ended.
        let output = Command::new("/usr/bin/timeout")
            .args(["-k", "1", "10", "/bin/dash", "-c", LIMITED, "dash"])
            .arg(path.join("work"))
            .args(command)
            .env_clear()
            .env("PATH", path.join("bin"))
            .env("TRANSCRIPT", &transcript)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = fs::read_to_string(&transcript).unwrap();
        let calls = text.split_terminator(RECORD);
        let told = String::from_utf8_lossy(&output.stderr);
        Ran {
            calls: calls.map(Call::of).collect(),
            status: output.status.code(),
            is_syntax_error: told.contains("Syntax error") || told.contains("Bad substitution"),
        }
    }
}

impl Call {
    fn of(record: &str) -> Self {
        Self { words: record.split(WORD).map(str::to_owned).collect() }
    }
}

fn program_file(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
