//! A gate on the way of a worker's function: a test knows that the function runs, and where, and says when
//! it goes on. So nothing has to be timed.

use serde_json::Value;
use subrosa_worker::{Done, Failure, Job, Launched};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::lab::patiently;

/// The worker whose function waits at a gate.
pub const WORKER: &str = "gated";

/// What the function is told.
const GO_ON: u8 = 1;
const FAIL: u8 = 0;
const PANIC: u8 = 2;
const HANG: u8 = 3;

/// Where functions wait.
pub struct Gate(TcpListener);

/// A function that waits.
pub struct Visitor {
    /// The process that it runs in.
    pub pid: u32,
    stream: TcpStream,
}

impl Gate {
    /// A gate of one's own.
    pub async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The payload that sends a function here.
    pub fn payload(&self) -> Value {
        self.0.local_addr().unwrap().to_string().into()
    }

    /// The next function that comes.
    pub async fn arrival(&self) -> Visitor {
        let (mut stream, _) = patiently(self.0.accept()).await.unwrap();
        let pid = patiently(stream.read_u32()).await.unwrap();
        Visitor { pid, stream }
    }

    /// Whether nobody waits to be let in.
    pub async fn is_deserted(&self) -> bool {
        // Whoever has knocked before this guest is let in before it.
        let guest = TcpStream::connect(self.0.local_addr().unwrap()).await.unwrap();
        let (_, first) = patiently(self.0.accept()).await.unwrap();
        first == guest.local_addr().unwrap()
    }
}

impl Visitor {
    /// Lets the function finish; its result is its attempt.
    pub async fn go_on(mut self) {
        self.stream.write_u8(GO_ON).await.unwrap();
    }

    /// Lets the function fail.
    pub async fn fail(mut self) {
        self.stream.write_u8(FAIL).await.unwrap();
    }

    /// Lets the function panic.
    pub async fn panic(mut self) {
        self.stream.write_u8(PANIC).await.unwrap();
    }

    /// Lets the function go on for ever without yielding to anything else.
    pub async fn hang(mut self) {
        self.stream.write_u8(HANG).await.unwrap();
    }

    /// Waits until the function is gone without having been let go on.
    pub async fn is_gone(mut self) {
        // The end of the stream, or a reset.
        let read = patiently(self.stream.read_u8()).await;
        assert!(read.is_err(), "it has said something");
    }
}

/// The function. Its result is the attempt that it ran in.
pub async fn pass(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (gate, job) = job.ready::<String>(&()).await?;
    let mut stream = TcpStream::connect(gate).await?;
    stream.write_u32(std::process::id()).await?;
    let attempt = job.attempt();
    match stream.read_u8().await? {
        GO_ON => job.done(&attempt).await,
        PANIC => panic!("it was told to"),
        HANG => loop {
            std::thread::park();
        },
        _ => Err(Failure::new("it was sent away")),
    }
}
