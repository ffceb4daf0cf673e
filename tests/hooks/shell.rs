//! The shells that images have as `/bin/sh`.

use std::thread;

use super::program;

/// A shell: the program, and the arguments that make it behave as `/bin/sh`.
pub(crate) struct Shell(&'static [&'static str]);

/// Debian's; Red Hat's, as bash and in the mode that the name `sh` selects; Alpine's.
const SHELLS: [Shell; 4] =
    [Shell(&["dash"]), Shell(&["bash"]), Shell(&["bash", "--posix"]), Shell(&["busybox", "sh"])];

impl Shell {
    /// Returns the arguments of the hook with this shell instead of `/bin/sh`.
    pub(crate) fn run_by(&self, hook: &[String]) -> Vec<String> {
        let shell = self.0.iter().map(|word| (*word).to_owned());
        shell.chain(hook[1..].iter().cloned()).collect()
    }

    pub(crate) fn name(&self) -> String {
        self.0.join(" ")
    }
}

/// Runs the test with each of the shells, concurrently.
pub(crate) fn in_each_shell(test: impl Fn(&Shell) + Sync) {
    thread::scope(|scope| {
        for shell in &SHELLS {
            assert!(program(shell.0[0]).is_some(), "no {} here", shell.0[0]);
            scope.spawn(|| test(shell));
        }
    });
}
