//! What is turned away, counted: everyone may send what is bad, as much as they like, and a log line for each
//! would let them fill a disk.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

/// The first is logged at once; what follows within this time, in one line at its end.
const EVERY: Duration = Duration::from_secs(10);

/// Counts, by reason. Clones share them. Each one that is counted is logged in exactly one line, as a number.
#[derive(Clone, Debug)]
pub struct Tally(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    what: &'static str,
    every: Duration,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Not logged yet.
    fresh: BTreeMap<&'static str, u64>,
    all: BTreeMap<&'static str, u64>,
    total: u64,
    /// What comes now is logged later, together.
    is_waiting: bool,
}

impl Tally {
    /// Counts `what` is turned away: `deliveries refused`, say.
    pub fn new(what: &'static str) -> Self {
        Self::every(EVERY, what)
    }

    fn every(every: Duration, what: &'static str) -> Self {
        Self(Arc::new(Shared { what, every, counts: Mutex::default() }))
    }

    /// Counts one. Has to be called on a runtime.
    pub fn count(&self, reason: &'static str) {
        let mut counts = self.0.lock();
        *counts.fresh.entry(reason).or_default() += 1;
        *counts.all.entry(reason).or_default() += 1;
        counts.total += 1;
        if !counts.is_waiting {
            counts.is_waiting = true;
            self.0.log(counts);
            tokio::spawn(self.clone().log_the_rest());
        }
    }

    /// How many of each so far.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().all.clone()
    }

    /// Logs what is not logged yet: to be called when the process ends.
    pub fn log(&self) {
        self.0.log(self.0.lock());
    }

    /// Logs what follows, until a time passes without any.
    async fn log_the_rest(self) {
        loop {
            sleep(self.0.every).await;
            let mut counts = self.0.lock();
            if counts.fresh.is_empty() {
                counts.is_waiting = false;
                return;
            }
            self.0.log(counts);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, mut counts: MutexGuard<'_, Counts>) {
        let fresh = std::mem::take(&mut counts.fresh);
        let total = counts.total;
        drop(counts);
        if !fresh.is_empty() {
            let count: u64 = fresh.values().sum();
            tracing::warn!(count, total, reasons = %Reasons(&fresh), "{}", self.what);
        }
    }
}

/// How many of each.
struct Reasons<'a>(&'a BTreeMap<&'static str, u64>);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (reason, count)) in self.0.iter().enumerate() {
            write!(f, "{}{reason}: {count}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    /// What is logged in the meantime.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(|line| line.split("things refused ").nth(1).unwrap().to_owned()).collect()
        }
    }

    /// Until something was logged.
    async fn logged(log: &Log) -> Vec<String> {
        loop {
            let lines = log.lines();
            if !lines.is_empty() {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn each_one_is_in_one_line() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let _logging = tracing::subscriber::set_default(subscriber.finish());
        let tally = Tally::every(Duration::from_millis(1), "things refused");
        tally.count("bad");
        assert_eq!(log.lines(), ["count=1 total=1 reasons=bad: 1"], "the first is told at once");
        for _ in 0..20_000 {
            tally.count("bad");
            tally.count("worse");
        }
        assert_eq!(log.lines(), [""; 0]);
        assert_eq!(logged(&log).await, ["count=40000 total=40001 reasons=bad: 20000, worse: 20000"]);
        // It is quiet for so long that the next one is a first one again.
        while tally.0.lock().is_waiting {
            tokio::task::yield_now().await;
        }
        tally.count("worse");
        assert_eq!(log.lines(), ["count=1 total=40002 reasons=worse: 1"]);
        tally.count("bad");
        tally.log();
        assert_eq!(log.lines(), ["count=1 total=40003 reasons=bad: 1"], "at the end nothing is left");
        tally.log();
        assert_eq!(log.lines(), [""; 0]);
        assert_eq!(tally.counts(), BTreeMap::from([("bad", 20_002), ("worse", 20_001)]));
    }
}
