//! What cancels a job: a handle to it, and the token.

use std::{fmt, str::FromStr};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::{
    encoding::{DecodeError, b64u, b64u_array},
    secret::Secret,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Cancels a job, from wherever its result is not waited for.
///
/// The worker is told, sealed; if the job has not ended 10 s later, or no worker has taken it, a launcher is. A
/// job that is still queued never starts.
///
/// ```
/// # use subrosa_client::JobError;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// let job = client.job("adds-one").payload(|_| std::future::pending::<Result<u32, _>>()).launch().await?;
/// let canceller = job.canceller();
/// tokio::spawn(async move { canceller.cancel() });
/// assert!(matches!(job.result::<u32>().await, Err(JobError::Cancelled { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Canceller(pub(crate) CancellationToken);

impl Canceller {
    /// Cancels the job; nothing happens if it is over. How it has ended then says
    /// [`Job::result`](crate::Job::result).
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// A job's cancel token: whoever has it can cancel the job, by
/// [`Launchers::cancel`](crate::Launchers::cancel). Overwritten when dropped.
///
/// ```
/// use subrosa_client::CancelToken;
///
/// let token = CancelToken::random();
/// assert_eq!(token.reveal().len(), 43);
/// assert!(token.reveal().parse::<CancelToken>().is_ok());
/// assert_eq!(format!("{token:?}"), "CancelToken");
/// assert!("short".parse::<CancelToken>().is_err());
/// ```
pub struct CancelToken(pub(crate) Secret<32>);

impl CancelToken {
    /// A new one, for [`JobBuilder::cancel_token`](crate::JobBuilder::cancel_token).
    pub fn random() -> Self {
        Self(Secret::random(&mut UnwrapErr(SysRng)))
    }

    /// The token as text, base64url.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(b64u(self.0.expose()))
    }

    pub(crate) fn copy(secret: &Secret<32>) -> Self {
        Self(Secret::take(&mut secret.expose().to_owned()))
    }
}

impl FromStr for CancelToken {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        b64u_array(text).map(|mut bytes| Self(Secret::take(&mut bytes)))
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelToken")
    }
}
