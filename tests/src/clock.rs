//! Processes whose clock is an hour off, while the clocks of all others are right.
//!
//! A library that is loaded before all others, libfaketime, answers them in the C library's place when they ask for
//! the time of day. The monotonic clock, which they measure with, is the system's: an hour ahead is no hour later.
//! Programs that ask the system itself do not notice: among them is the nats-server, as others written in Go.

use std::path::{Path, PathBuf};

use subrosa_transport::now_ms;

use crate::{python, skipped::skipped};

/// An hour, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;

/// The program that a process with such a clock begins as. The library is loaded after that: what becomes another
/// program with it, as our guard does, leaves something in `/dev/shm`.
pub const ENV: &str = "env";

/// How a clock differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    /// It is an hour ahead.
    Ahead,
    /// It is an hour behind.
    Behind,
}

impl Off {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ahead, Self::Behind];

    /// What such a clock says now, in Unix milliseconds.
    pub fn now_ms(self) -> u64 {
        match self {
            Self::Ahead => now_ms() + HOUR_MS,
            Self::Behind => now_ms() - HOUR_MS,
        }
    }

    /// Whether a time of the last half hour or so was told by such a clock, not by a right one.
    pub fn has_told(self, at_ms: u64) -> bool {
        at_ms.abs_diff(self.now_ms()) < HOUR_MS / 2
    }
}

/// What makes clocks wrong.
#[derive(Debug)]
pub struct Shift(PathBuf);

impl Shift {
    /// It comes with the packages for Python, made below `target`. None where it is of no use, which is said loudly.
    pub fn load(target: &Path) -> Option<Self> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
            skipped("the library for other clocks is for Linux with glibc on x86-64 only");
            return None;
        }
        let library = python::packaged(target, "libfaketime", "vendor/libfaketime/src/libfaketime.so.1");
        assert!(library.is_file(), "{library:?}");
        Some(Self(library))
    }

    /// What [`ENV`] is to set for the program that it becomes; to be followed by that, and by its arguments.
    pub fn args(&self, off: Off) -> [String; 3] {
        let hour = match off {
            Off::Ahead => "+1h",
            Off::Behind => "-1h",
        };
        [
            format!("LD_PRELOAD={}", self.0.to_str().unwrap()),
            format!("FAKETIME={hour}"),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }
}
