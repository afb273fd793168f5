//! Asking an endpoint, for health checks in images that have no shell and no other program.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use thiserror::Error;

/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of an answer, in bytes.
const ANSWER_BYTES: usize = 16 * 1024;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it is alive: `/healthz`.
    Alive,
    /// Whether it takes work: `/readyz`.
    Ready,
}

/// A process that is not well.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Nobody answers there.
    #[error("no answer from {address}: {reason}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What happened.
        reason: io::Error,
    },
    /// It says that it is not.
    #[error("{0}")]
    No(String),
    /// What answers is no such endpoint.
    #[error("what answers at {address} is no health check")]
    Other {
        /// Where.
        address: SocketAddr,
    },
}

/// Asks the endpoint at this address. One that listens on all addresses is asked on the loopback.
///
/// # Errors
///
/// See [`ProbeError`]; after 5 s at the latest.
pub fn probe(address: SocketAddr, question: Question) -> Result<(), ProbeError> {
    let address = reachable(address);
    let answer = ask(address, question).map_err(|reason| ProbeError::Unreachable { address, reason })?;
    let other = || ProbeError::Other { address };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(other)?;
    let mut status = head.split(' ');
    match (status.next(), status.next()) {
        (Some("HTTP/1.1"), Some("200")) => Ok(()),
        (Some("HTTP/1.1"), Some("503")) => Err(ProbeError::No(printable(body))),
        _ => Err(other()),
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn ask(address: SocketAddr, question: Question) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok::<_, io::Error>(left) }
    };
    let path = match question {
        Question::Alive => "/healthz",
        Question::Ready => "/readyz",
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while answer.len() < ANSWER_BYTES {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut piece)? {
            0 => break,
            read => answer.extend(piece.iter().take(read)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Somebody else's text, fit for a terminal and one line.
fn printable(text: &str) -> String {
    let line = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    text.lines().map(line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
