//! A guard that is started before there is anything to run, and waits for it: to start a program takes as long as
//! much of what a job's beginning needs, and the guard is one more.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        process::CommandExt as _,
    },
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Child, time::timeout};

use super::Guard;

/// In place of the program: the guard reads on its standard input what to become.
pub(super) const TOLD: &str = "-";

/// How long it may take to read.
const LISTENS: Duration = Duration::from_secs(5);

/// Starts programs through a guard that waits, where one does.
#[derive(Debug)]
pub(crate) struct Waiting {
    guard: Guard,
    one: Mutex<Option<Child>>,
}

impl Waiting {
    pub(crate) fn new(guard: Guard) -> Self {
        Self { guard, one: Mutex::new(None) }
    }

    /// Has a guard wait, if none does. That it cannot be started shows when it is needed.
    pub(crate) fn prepare(&self) {
        let mut one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        if !one.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            *one = self.start().ok();
        }
    }

    /// Runs a program with these arguments and nothing but this environment, as [`Guard::command`] does. It has
    /// nothing to read.
    pub(crate) async fn spawn(&self, program: &Program) -> io::Result<Child> {
        let message = program.encode()?;
        let one = self.one.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Somebody may have killed it, or it stands still. Its end of the pipe tells neither for sure: what another
        // thread is starting just now may have a copy of it for a moment.
        if let Some(mut child) = one
            && matches!(child.try_wait(), Ok(None))
            && let Ok(Ok(child)) = timeout(LISTENS, tell(child, &message)).await
        {
            return Ok(child);
        }
        timeout(LISTENS, tell(self.start()?, &message))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The process that waits.
    #[cfg(test)]
    pub(super) fn pid(&self) -> Option<u32> {
        self.one.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Child::id)
    }

    fn start(&self) -> io::Result<Child> {
        self.guard.command(TOLD).env_clear().stdin(Stdio::piped()).spawn()
    }
}

async fn tell(mut child: Child, message: &[u8]) -> io::Result<Child> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(message).await?;
    }
    Ok(child)
}

/// A program to run. What its environment holds is nobody's business.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Program {
    pub(crate) path: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Program {
    /// How many arguments and variables there are, so that nothing is taken that was cut; the program, the arguments, and
    /// the environment as `NAME=VALUE`. Each with a zero byte behind it.
    fn encode(&self) -> io::Result<Vec<u8>> {
        let count = |length: usize| OsString::from(length.to_string());
        let counts = [count(self.args.len()), count(self.env.len())];
        let env = self.env.iter().map(|(name, value)| {
            let mut variable = name.clone();
            variable.push("=");
            variable.push(value);
            variable
        });
        let program = [self.path.clone()].into_iter().chain(self.args.iter().cloned());
        let words = counts.into_iter().chain(program).chain(env);
        let mut message = Vec::new();
        for word in words {
            if word.as_bytes().contains(&0) {
                return Err(malformed());
            }
            message.extend_from_slice(word.as_bytes());
            message.push(0);
        }
        Ok(message)
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let mut words = message.strip_suffix(&[0])?.split(|byte| *byte == 0).map(OsStr::from_bytes);
        let mut count = || words.next()?.to_str()?.parse::<usize>().ok();
        let (arguments, variables) = (count()?, count()?);
        let path = words.next()?.to_owned();
        let args: Vec<_> = words.by_ref().take(arguments).map(OsStr::to_owned).collect();
        let env = words.map(|variable| {
            let bytes = variable.as_bytes();
            let equals = bytes.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (bytes.get(..equals)?, bytes.get(equals + 1..)?);
            Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
        });
        let env = env.collect::<Option<Vec<_>>>()?;
        (args.len() == arguments && env.len() == variables).then_some(Self { path, args, env })
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a program's name, arguments or environment hold a zero byte")
}

/// Waits for what to become. Returns only on failure; ends quietly, if nobody wants anything any more.
pub(super) fn wait() -> io::Error {
    let mut message = Vec::new();
    if let Err(error) = io::stdin().lock().read_to_end(&mut message) {
        return error;
    }
    if message.is_empty() {
        std::process::exit(0);
    }
    let Some(Program { path, args, env }) = Program::decode(&message) else { return malformed() };
    let mut command = std::process::Command::new(&path);
    let error = command.args(args).env_clear().envs(env).stdin(Stdio::null()).exec();
    super::cannot_run(&path, &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_was_meant() {
        let word = OsString::from;
        let program = Program {
            path: word("worker"),
            args: vec![word(""), word("A=B"), OsString::from_vec(vec![0xff])],
            env: vec![(word("PATH"), word("/bin=x")), (word("EMPTY"), word(""))],
        };
        let message = program.encode().unwrap();
        assert_eq!(Program::decode(&message).unwrap(), program);
        for length in 0..message.len() {
            assert_eq!(Program::decode(&message[..length]), None, "{length}");
        }
        let none = Program { path: word("worker"), args: vec![], env: vec![] };
        assert_eq!(Program::decode(&none.encode().unwrap()).unwrap(), none);
        for bad in ["", " ", "0 0 ", "x 0 w ", "1 0 w ", "0 1 w A ", "0 0 w A= ", "0 0 w"] {
            assert_eq!(Program::decode(bad.replace(' ', "\0").as_bytes()), None, "{bad:?}");
        }
        let zero = Program { args: vec![word("a\0b")], ..none };
        assert!(zero.encode().is_err());
    }
}
