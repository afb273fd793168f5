//! A place on a process's way to the server where it is stopped at a message of the test's choice. So a test
//! knows, without timing anything, what a process has said before it is killed, and what it says afterwards.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::lab::patiently;

/// Passes on what a process and the server say to each other.
pub struct Checkpoint {
    url: String,
    watch: Arc<Watch>,
    stopped: mpsc::UnboundedReceiver<Stopped>,
    /// Ends with this.
    _connections: JoinSet<()>,
}

/// A message that was not passed on yet; nor is anything that its process says after it.
#[derive(Debug)]
pub struct Stopped {
    /// Where it would have gone.
    pub subject: String,
    pass: oneshot::Sender<()>,
}

/// What is looked out for, and what has passed.
struct Watch {
    stop_at: Mutex<Option<String>>,
    passed: watch::Sender<Vec<String>>,
    /// Whether there is a way at all.
    open: watch::Sender<bool>,
    stopped: mpsc::UnboundedSender<Stopped>,
}

impl Checkpoint {
    /// A checkpoint in front of the server at this URL.
    pub async fn before(server: &str) -> Self {
        let server = server.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (sender, stopped) = mpsc::unbounded_channel();
        let watch = Arc::new(Watch {
            stop_at: Mutex::default(),
            passed: watch::Sender::default(),
            open: watch::Sender::new(true),
            stopped: sender,
        });
        let mut connections = JoinSet::new();
        let watching = watch.clone();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((process, _)) = listener.accept().await {
                if !*watching.open.borrow() {
                    continue;
                }
                // A server that is down is for the process to notice.
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                open.spawn(serve(process, server, watching.clone()));
            }
        });
        Self { url, watch, stopped, _connections: connections }
    }

    /// Where the process is to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the next message to a subject that fits this one, which may have wildcards, and then no other.
    pub fn stop_at(&self, pattern: &str) {
        *self.watch.stop_at.lock().unwrap() = Some(pattern.to_owned());
    }

    /// Cuts every connection, and lets nobody through until [`Checkpoint::open`].
    pub fn close(&self) {
        self.watch.open.send_replace(false);
    }

    /// Lets processes through again.
    pub fn open(&self) {
        self.watch.open.send_replace(true);
    }

    /// Waits until that message comes.
    pub async fn stopped(&mut self) -> Stopped {
        patiently(self.stopped.recv()).await.unwrap()
    }

    /// The subjects of all messages that have passed so far.
    pub fn passed(&self) -> Vec<String> {
        self.watch.passed.borrow().clone()
    }

    /// Waits until a message to a subject that fits this one has passed, after so many others.
    pub async fn passes(&self, after: usize, pattern: &str) -> String {
        let mut passed = self.watch.passed.subscribe();
        let found = |all: &[String]| all.iter().skip(after).find(|subject| fits(subject, pattern)).cloned();
        let passed = patiently(passed.wait_for(|subjects| found(subjects).is_some())).await.unwrap();
        found(&passed).unwrap()
    }
}

/// Whether a subject fits one with wildcards for single tokens or the rest.
pub fn fits(subject: &str, pattern: &str) -> bool {
    let (mut tokens, mut wanted) = (subject.split('.'), pattern.split('.'));
    loop {
        match (tokens.next(), wanted.next()) {
            (Some(_), Some(">")) | (None, None) => return true,
            (Some(_), Some("*")) => {}
            (Some(token), Some(wanted)) if token == wanted => {}
            _ => return false,
        }
    }
}

impl Stopped {
    /// Lets it pass. Without this, the process's connection is cut when this is dropped.
    pub fn pass(self) {
        // The process may be gone.
        let _ = self.pass.send(());
    }
}

impl Watch {
    /// Waits, if a message to this subject is to be stopped; false if it must not pass.
    async fn may_pass(&self, subject: &str) -> bool {
        let stops = {
            let mut stop_at = self.stop_at.lock().unwrap();
            stop_at.take_if(|pattern| fits(subject, pattern)).is_some()
        };
        if stops {
            let (pass, passes) = oneshot::channel();
            let _ = self.stopped.send(Stopped { subject: subject.to_owned(), pass });
            if passes.await.is_err() {
                return false;
            }
        }
        self.passed.send_modify(|passed| passed.push(subject.to_owned()));
        true
    }
}

/// One connection, until either side closes it.
async fn serve(process: TcpStream, server: TcpStream, watch: Arc<Watch>) {
    let (from_process, mut to_process) = process.into_split();
    let (mut from_server, to_server) = server.into_split();
    let mut open = watch.open.subscribe();
    tokio::select! {
        _ = async { open.wait_for(|open| !open).await.is_ok() } => {}
        _ = copy(&mut from_server, &mut to_process) => {}
        _ = pass_on(BufReader::new(from_process), to_server, &watch) => {}
    }
}

/// Passes on what a process says, frame by frame.
async fn pass_on(
    mut process: BufReader<OwnedReadHalf>,
    mut server: OwnedWriteHalf,
    watch: &Watch,
) -> io::Result<()> {
    loop {
        let mut frame = Vec::new();
        if process.read_until(b'\n', &mut frame).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&frame).into_owned();
        let mut words = line.split_ascii_whitespace();
        if let Some("PUB" | "HPUB") = words.next() {
            let (Some(subject), Some(Ok(bytes))) = (words.next(), words.next_back().map(str::parse::<u64>))
            else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            // The message is followed by a line's end.
            (&mut process).take(bytes + 2).read_to_end(&mut frame).await?;
            if !watch.may_pass(subject).await {
                return Ok(());
            }
        }
        server.write_all(&frame).await?;
    }
}
