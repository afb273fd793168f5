//! Asking for what nobody else is to see. However that ends, the terminal is left as it was.

use std::{fs::File, io::ErrorKind, thread};

use age::secrecy::SecretString;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use crate::{
    exit::{Exit, Failure},
    interrupt,
};

/// What is typed on the terminal, without showing it. Ctrl-C and SIGTERM end the question, and are told as such.
pub(crate) fn ask(prompt: String) -> Result<SecretString, Failure> {
    // From now on signals do not end this process before the terminal is put in order. Whoever calls may be in a
    // runtime already.
    let asked = thread::spawn(|| interrupt::block_on(answered(prompt))).join();
    asked.unwrap_or_else(|_| Err(Failure::usage("cannot ask for the passphrase")))
}

async fn answered(prompt: String) -> Result<SecretString, Failure> {
    let told = interrupt::until_told()?;
    let terminal = Terminal::now();
    let (typed, answer) = oneshot::channel();
    // It is left behind where it waits for a key: this program ends then.
    thread::spawn(move || typed.send(rpassword::prompt_password(prompt)));
    let answer = tokio::select! {
        Ok(answer) = answer => answer,
        told = told => {
            if let Some(terminal) = terminal {
                terminal.restore();
            }
            return Err(told);
        }
    };
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
