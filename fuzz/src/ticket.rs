//! A ticket, as a client that comes back reads it.
//!
//! The input is the ticket's text. What is taken is written again, and is the same ticket then.

use subrosa_client::Ticket;

use crate::world::namespace;

/// Reads a ticket.
pub fn check(input: &[u8]) {
    let Ok(ticket) = Ticket::from_bytes(input, &namespace()) else { return };
    assert!((1..=10).contains(&ticket.attempt()));
    assert!((16..=64).contains(&ticket.reply_token().len()));
    let text = ticket.to_bytes();
    let again = Ticket::from_bytes(&text, &namespace()).map(|ticket| (*ticket.job(), ticket.to_bytes()));
    assert_eq!(again.ok(), Some((*ticket.job(), text)), "what was written is read in another way");
}
