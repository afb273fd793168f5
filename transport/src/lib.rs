//! How client, worker and launcher use NATS.
//!
//! They share this crate so that a subtle thing is done in one place: a request that notices a denied
//! subject instead of timing out, an inbox that takes many answers, an append that knows whether it won,
//! a delivery that is acknowledged in the right words. Nothing in here knows what is sealed.

mod absence;
mod api;
mod connect;
mod connection;
mod credentials;
mod denied;
mod events;
mod files;
mod history;
mod inbox;
mod jetstream;
mod length;
mod link;
mod live;
mod position;
mod probe;
mod queue;
mod records;
mod results;
mod retry;
mod rights;
mod tally;
mod told;
pub mod trace;

/// The headers of messages.
pub use async_nats::HeaderMap;

pub use self::{
    absence::{Absences, Found},
    api::{ApiPrefix, ApiPrefixError},
    connect::{Connect, ConnectError},
    connection::{Asked, Connection, Message, RequestError},
    denied::Denials,
    files::{Tls, check_files},
    history::{Commit, History, HistoryError, Stored},
    inbox::Inbox,
    length::Length,
    link::{Link, Pending, Subscription},
    live::{Live, LiveTrust},
    position::Position,
    probe::{Alive, is_alive, probe},
    queue::{Acker, Delivery, Enqueued, Queue, QueueError},
    records::{Following, Passing, Records},
    results::Results,
    retry::{Backoff, now_ms},
    tally::Tally,
    told::Told,
};
