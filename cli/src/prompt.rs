//! Asking for what nobody else is to see. However that ends, the terminal is left as it was.

use std::{fs::File, io::ErrorKind};

use age::secrecy::SecretString;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{
    exit::{Exit, Failure},
    interrupt,
};

/// What is typed on the terminal, without showing it. Ctrl-C and SIGTERM end the question, and are told as such.
pub(crate) fn ask(prompt: String) -> Result<SecretString, Failure> {
    let terminal = Terminal::now();
    let answer = interrupt::unless_told(move || rpassword::prompt_password(prompt)).inspect_err(|_| {
        if let Some(terminal) = terminal {
            terminal.restore();
        }
    })?;
    answer.map(SecretString::from).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => Failure::because(Exit::Interrupted, "interrupted"),
        _ => Failure::usage(format!("cannot ask for the passphrase: {error}")),
    })
}

/// How the terminal was set.
struct Terminal(File, Termios);

impl Terminal {
    fn now() -> Option<Self> {
        let file = File::open("/dev/tty").ok()?;
        let settings = tcgetattr(&file).ok()?;
        Some(Self(file, settings))
    }

    fn restore(&self) {
        // It may be gone.
        let _ = tcsetattr(&self.0, OptionalActions::Now, &self.1);
        // What follows stands in a line of its own.
        anstream::eprintln!();
    }
}
