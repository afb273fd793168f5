//! What the server says of a delivery, in the subject that acknowledges it.

/// What the server says of a delivery. It is a hint: the count begins anew when the server or the consumer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How often the message has been delivered, this time included.
    pub times: u64,
    /// When it was stored in the queue, in Unix milliseconds by the server's clock.
    pub stored_ms: u64,
}

impl Told {
    /// Reads `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<sequence>.<nanoseconds>.<pending>`, or the longer form
    /// with a domain and an account before the stream. None if it is neither.
    pub(crate) fn read(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.split('.').collect();
        let at = match (tokens.as_slice(), tokens.len()) {
            (["$JS", "ACK", ..], 9) => 4,
            (["$JS", "ACK", ..], 11 | 12) => 6,
            _ => return None,
        };
        let number = |at: usize| tokens.get(at)?.parse::<u64>().ok();
        Some(Self { times: number(at)?, stored_ms: number(at + 3)? / 1_000_000 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let read = Some(Told { times: 3, stored_ms: 1_700_000_000_123 });
        assert_eq!(Told::read("$JS.ACK.QUEUE.echo.3.17.18.1700000000123456789.0"), read);
        assert_eq!(Told::read("$JS.ACK._.hash.QUEUE.echo.3.17.18.1700000000123456789.0"), read);
        assert_eq!(Told::read("$JS.ACK.hub.hash.QUEUE.echo.3.17.18.1700000000123456789.0.random"), read);
        for other in [
            "",
            "$JS.ACK",
            "_INBOX.x",
            "$JS.ACK.QUEUE.echo.3.17.18.1700000000123456789",
            "$JS.ACK.QUEUE.echo.-3.17.18.1700000000123456789.0",
            "$JS.ACK.QUEUE.echo.3.17.18.99999999999999999999999.0",
        ] {
            assert_eq!(Told::read(other), None, "{other}");
        }
    }
}
