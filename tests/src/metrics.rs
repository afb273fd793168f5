//! Health checks and metrics, asked for as an operator's tools do.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::{
    lab::{PATIENCE, patiently},
    processes::Running,
};

/// A process's endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint(pub SocketAddr);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, in lower case.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// Each series, with its labels as they stand, and its value.
#[derive(Clone, Debug, Default)]
pub struct Numbers(BTreeMap<String, f64>);

impl Endpoint {
    /// Where this process says that it answers health checks.
    pub async fn of(process: &mut Running) -> Self {
        let line = process.says("answering health checks").await;
        let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        Self(address.parse().unwrap())
    }

    /// Sends these bytes on a connection of their own, and reads what comes back until it is closed.
    pub async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = patiently(TcpStream::connect(self.0)).await.unwrap();
        // It may be answered, and closed, before all has arrived.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = patiently(stream.read_to_end(&mut answer)).await;
        String::from_utf8(answer).unwrap()
    }

    /// Asks with this method for this path.
    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        let answer = self.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Asks until it is ready, or is not for this reason.
    pub async fn until(&self, status: u16, reason: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask("GET", "/readyz").await;
            if answer.status == status && answer.body.contains(reason) {
                return;
            }
            assert!(Instant::now() < deadline, "never {status} {reason:?}, but {answer:?}");
        }
    }

    /// Its numbers. All of them have to be well-formed.
    pub async fn numbers(&self) -> Numbers {
        let answer = self.ask("GET", "/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
        Numbers::parse(&answer.body)
    }

    /// Its numbers, once they are so.
    pub async fn numbers_once(&self, what: &str, are: impl Fn(&Numbers) -> bool) -> Numbers {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let numbers = self.numbers().await;
            if are(&numbers) {
                return numbers;
            }
            assert!(Instant::now() < deadline, "never: {what}: {numbers:#?}");
        }
    }
}

impl Numbers {
    /// Reads the text format of OpenMetrics.
    fn parse(text: &str) -> Self {
        let mut types = BTreeMap::new();
        let mut numbers = BTreeMap::new();
        let text = text.strip_suffix("# EOF\n").expect("it ends with its end");
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (kind, rest) = comment.split_once(' ').unwrap();
                let (name, what) = rest.split_once(' ').unwrap();
                match kind {
                    "TYPE" => {
                        assert_eq!(types.insert(name.to_owned(), what.to_owned()), None, "{name} twice")
                    }
                    "HELP" => assert!(what.ends_with('.'), "{line}"),
                    "UNIT" => assert!(name.ends_with(what), "{line}"),
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(name.starts_with("subrosa_"), "{line}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            let base = ["_total", "_bucket", "_sum", "_count", "_info"];
            let base = base.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(types.contains_key(base) || types.contains_key(name), "{line} has no type");
            let value = value.parse().unwrap();
            assert_eq!(numbers.insert(series.to_owned(), value), None, "{series} stands twice");
        }
        Self(numbers)
    }

    /// The sum of the series of this name that have all of these labels, written as `label="value"`. 0 if there
    /// are none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.of(name)
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, n)| n)
            .sum()
    }

    /// Whether there is any series of this name.
    pub fn has(&self, name: &str) -> bool {
        self.of(name).next().is_some()
    }

    /// The names of all series, without their labels.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.keys().map(|series| series.split('{').next().unwrap()).collect();
        names.dedup();
        names
    }

    /// Everything between quotes: the labels' values.
    pub fn label_values(&self) -> impl Iterator<Item = &str> {
        self.0.keys().flat_map(|series| series.split('"').skip(1).step_by(2))
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let named = move |series: &str| {
            series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        self.0
            .iter()
            .filter(move |(series, _)| named(series))
            .map(|(series, number)| (series.as_str(), *number))
    }
}
