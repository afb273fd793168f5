//! Processes of a test's own: what they say, how they end, and whether anything of them stays behind.

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

use crate::lab::{PATIENCE, patiently};

/// A process whose standard output and error are listened to. It is killed when this is dropped.
pub struct Running {
    child: Child,
    out: Option<Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>>,
    err: Option<Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>>,
    said: Vec<String>,
}

/// How a process has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All lines that it has written, to either stream.
    pub said: Vec<String>,
}

impl Ended {
    /// Everything that it has written.
    pub fn text(&self) -> String {
        self.said.join("\n")
    }
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let out: Box<dyn AsyncRead + Send + Unpin> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn AsyncRead + Send + Unpin> = Box::new(child.stderr.take().unwrap());
        let (out, err) = (Some(BufReader::new(out).lines()), Some(BufReader::new(err).lines()));
        Self { child, out, err, said: Vec::new() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until it says something with this text in it.
    pub async fn says(&mut self, text: &str) -> String {
        while let Ok(Some(line)) = timeout(PATIENCE, self.line()).await {
            if line.contains(text) {
                return line;
            }
        }
        panic!("it never said {text:?}, but:\n{}", self.said.join("\n"));
    }

    /// The next line, of either stream; none when both have ended.
    async fn line(&mut self) -> Option<String> {
        loop {
            let (line, ended) = tokio::select! {
                line = next(&mut self.out), if self.out.is_some() => (line, &mut self.out),
                line = next(&mut self.err), if self.err.is_some() => (line, &mut self.err),
                else => return None,
            };
            match line {
                Some(line) => {
                    self.said.push(line.clone());
                    return Some(line);
                }
                None => *ended = None,
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self::signal(self.pid(), signal);
    }

    /// Waits until it has ended.
    pub async fn ends(mut self) -> Ended {
        while patiently(self.line()).await.is_some() {}
        let status = patiently(self.child.wait()).await.unwrap();
        Ended { status, said: self.said }
    }
}

async fn next(lines: &mut Option<Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>>) -> Option<String> {
    match lines {
        Some(lines) => lines.next_line().await.unwrap(),
        None => None,
    }
}

/// Sends a signal to a process that this test, or what it has started, has started.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = interval(Duration::from_millis(10));
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        ticks.tick().await;
    }
}

/// A process as the system sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Whether it has ended, and nobody has asked how.
    pub is_zombie: bool,
    /// Its program's name.
    pub name: String,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses, and may hold some itself.
        let (start, rest) = stat.rsplit_once(") ")?;
        let (_, name) = start.split_once('(')?;
        let mut rest = rest.split(' ');
        let state = rest.next()?;
        let parent = rest.next()?.parse().ok()?;
        Some(Self { pid, parent, is_zombie: matches!(state, "Z" | "X"), name: name.to_owned() })
    }

    /// All processes of this machine.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Self::read).collect()
    }

    /// The children of a process, those included that have ended and were not asked about; but not a launcher's guard
    /// that waits for the next job.
    pub fn children_of(parent: u32) -> Vec<Self> {
        let is_child = |process: &Self| process.parent == parent && !process.is_waiting();
        Self::all().into_iter().filter(is_child).collect()
    }

    fn is_waiting(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.ends_with(format!("\0guard\0{}\0-\0", self.parent).as_bytes())
    }

    /// The processes that run and have this path in their arguments or their environment.
    pub fn that_know(path: &Path) -> Vec<Self> {
        let text = path.as_os_str().as_encoded_bytes();
        let knows = |process: &Self| {
            ["cmdline", "environ"].iter().any(|file| {
                let bytes = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
                bytes.windows(text.len()).any(|window| window == text)
            })
        };
        Self::all().into_iter().filter(|process| !process.is_zombie && knows(process)).collect()
    }

    /// Whether no thread of this process runs: it was stopped or has ended, which takes a busy machine a moment.
    pub fn is_still(pid: u32) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
        threads.filter_map(Result::ok).all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            matches!(state, None | Some('T' | 'Z' | 'X'))
        })
    }

    /// Whether this process runs: a zombie does not.
    pub fn is_running(pid: u32) -> bool {
        Self::read(pid).is_some_and(|process| !process.is_zombie)
    }
}
