//! The version of a server, as `nats-server --version` prints it.

use std::fmt;
use std::str::FromStr;

/// A version of nats-server; versions are ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    /// Last, and `false < true`: a release candidate comes before its release.
    released: bool,
}

impl Version {
    /// A released version.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, released: true }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.released { "" } else { " (not released)" };
        write!(f, "{}.{}.{}{suffix}", self.major, self.minor, self.patch)
    }
}

/// A text that holds no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version of the form 2.12.8")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    /// Takes `2.12.8`, `v2.12.8` and `nats-server: v2.12.8`; what follows a `+` says nothing about age.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let word = text.split_whitespace().last().ok_or(NoVersion)?;
        let word = word.strip_prefix('v').unwrap_or(word);
        let word = word.split_once('+').map_or(word, |(version, _build)| version);
        let (numbers, released) = match word.split_once('-') {
            Some((numbers, _prerelease)) => (numbers, false),
            None => (word, true),
        };
        let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().map_err(|_| NoVersion));
        let mut next = || numbers.next().unwrap_or(Err(NoVersion));
        let version = Self { major: next()?, minor: next()?, patch: next()?, released };
        if numbers.next().is_some() { Err(NoVersion) } else { Ok(version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn what_servers_print_is_understood() {
        assert_eq!(version("nats-server: v2.12.8\n"), Version::new(2, 12, 8));
        assert_eq!(version("2.12.8"), Version::new(2, 12, 8));
        assert_eq!(version("v2.12.8+build.7"), Version::new(2, 12, 8));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "nats-server", "v2.12", "v2.12.8.1", "v2.12.x", "2.-1.0", "4294967296.0.0", "v2..8"]
        {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let in_order =
            ["2.9.30", "2.12.7", "2.12.8-RC.1", "2.12.8", "2.12.10", "2.14.0-RC.2", "2.14.0", "10.0.0"];
        assert!(in_order.map(version).is_sorted_by(|a, b| a < b));
    }
}
