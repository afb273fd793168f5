//! Waiting between tries, and the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;

/// Waits that double from try to try, up to a limit, each with up to half of it taken off at random.
///
/// ```
/// use std::time::Duration;
/// use subrosa_transport::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// let (first, second) = (backoff.next_delay(), backoff.next_delay());
/// assert!(first <= Duration::from_millis(50) && second <= Duration::from_millis(100));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits from `first` to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// How long to wait now.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.max);
        delay.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Waits.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; the next wait is longer all the same.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }
}

/// The wall clock, in Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 4 * second);
        for full in [1, 2, 4, 4].map(|n| n * second) {
            let delay = backoff.next_delay();
            assert!(delay >= full / 2 && delay <= full, "{delay:?} of {full:?}");
        }
    }
}
