//! What a peer, or whoever carries the messages, may do to a job.

use crate::Odd;

/// One thing that somebody does to a job, by name.
///
/// Under the first kind, by whoever carries the messages, a job still comes to the right result: what was
/// made or changed on the way is dropped. Under the others, by the peer, it ends in an error with a type,
/// unless the function or the handlers can make sense of what they are given.
///
/// ```
/// # use subrosa_testing::{Attack, Odd, client, run, values};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let worker = || values("version 1", 77);
/// let run = run(worker()).attack(Attack::Replayed).await;
/// run.withstood().unwrap();
/// assert_eq!(run.result::<u32>().unwrap(), 77);
/// assert!(run.reached() > 0);
///
/// let client = client(worker()).attack(Attack::Result(Odd::Text)).await;
/// let result = client.job("any").launch().await.unwrap().result::<u32>().await;
/// client.withstood(&result).unwrap();
/// assert!(result.is_err());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attack {
    /// Before each sealed message come copies of it with one bit changed, in the header and all over the rest.
    Flipped,
    /// Before each sealed message come beginnings of it, and it with a byte more.
    Truncated,
    /// Each sealed message comes three times.
    Repeated,
    /// Before each sealed message come all that were sent before it, of all kinds.
    Replayed,
    /// Each sealed message comes first on the subjects of the other kinds.
    Crossed,
    /// Each sealed message gets lost the first time.
    Lost,
    /// Before each sealed message come others of its length, that somebody without the keys has made: with
    /// its header, and with other kinds, attempts, numbers and keys in it.
    Forged,
    /// Before the worker's first message comes one of somebody else, rightly made and signed, for this and
    /// for further attempts.
    Impostor,
    /// Before each message to a peer comes what is no message at all, and the server's statuses.
    Junk,
    /// Before each sealed message comes one as large as the server takes.
    Oversized,
    /// Each step comes first with other reply subjects: none, a service's, somebody else's.
    Misdirected,
    /// With each step come signs that the job has ended, to both sides, that nobody who may has signed.
    FalseEnd,
    /// The client sends other options.
    Options(Odd),
    /// The client sends another payload.
    Payload(Odd),
    /// The client sends bytes that are not JSON in place of the payload.
    PayloadOfBytes,
    /// The client answers with an error in place of its options.
    OptionsRefused,
    /// The client answers with an error in place of the payload.
    PayloadRefused,
    /// The client is gone, and has cancelled the job, when the worker is ready.
    ClientGone,
    /// The worker sends other parameters with its first step.
    Parameters(Odd),
    /// The worker sends another body with its second step.
    Ready(Odd),
    /// The worker sends another result.
    Result(Odd),
    /// The worker answers with an error in place of being ready.
    ReadyRefused,
    /// The worker answers with an error in place of the result.
    ResultRefused,
    /// The worker signs with a key that the client does not trust.
    UntrustedWorker,
    /// The worker is lost when it has asked for the payload; another one makes the next attempt.
    WorkerLost,
}

/// By whoever carries the messages.
const CARRIED: [Attack; 12] = [
    Attack::Flipped,
    Attack::Truncated,
    Attack::Repeated,
    Attack::Replayed,
    Attack::Crossed,
    Attack::Lost,
    Attack::Forged,
    Attack::Impostor,
    Attack::Junk,
    Attack::Oversized,
    Attack::Misdirected,
    Attack::FalseEnd,
];

impl Attack {
    /// All that a worker's function may meet.
    pub fn on_worker() -> impl Iterator<Item = Self> {
        let bodies = Odd::ALL.into_iter().flat_map(|odd| [Self::Options(odd), Self::Payload(odd)]);
        let others = [Self::PayloadOfBytes, Self::OptionsRefused, Self::PayloadRefused, Self::ClientGone];
        CARRIED.into_iter().chain(bodies).chain(others)
    }

    /// All that a client's handlers may meet.
    pub fn on_client() -> impl Iterator<Item = Self> {
        let bodies = [Self::Parameters, Self::Ready, Self::Result];
        let bodies = bodies.into_iter().flat_map(|body| Odd::ALL.map(body));
        let others = [Self::ReadyRefused, Self::ResultRefused, Self::UntrustedWorker, Self::WorkerLost];
        CARRIED.into_iter().chain(bodies).chain(others)
    }

    /// Whether it is by whoever carries the messages.
    pub fn is_carried(self) -> bool {
        CARRIED.contains(&self)
    }

    /// Whether the peer does nothing wrong: then the job still comes to the right result.
    pub fn leaves_peers_honest(self) -> bool {
        self.is_carried() || self == Self::WorkerLost
    }
}
