//! Handlers: what answers the worker's steps. They may be asked again, by a further attempt.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use subrosa_protocol::{
    receipt::SaltedReceipt,
    wire::{Body, BodyError, Content, Erased, ErrorMember, Json, Opened, Raw},
};
use tokio::task::JoinHandle;

use crate::{HandlerError, driver::Taken};

/// What the worker sent with a step, opened: its public parameters, or the result.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// // The result, judged before the job is closed.
/// let judge = |result: subrosa_client::Parameters| async move {
///     if result.json::<u32>()? == 78 { Ok("thanks") } else { Err(subrosa_client::HandlerError::new("wrong")) }
/// };
/// let job = client.job("adds-one").payload_value(77).status(judge).launch().await?;
/// assert_eq!(job.result::<u32>().await?.value, 78);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Parameters {
    opened: Arc<Opened>,
    receipt: Option<Arc<SaltedReceipt>>,
}

impl Parameters {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened, receipt: None }
    }

    /// A result, with the receipt that holds for it.
    pub(crate) fn result(taken: &Taken) -> Self {
        Self { opened: taken.opened.clone(), receipt: Some(taken.receipt.clone()) }
    }

    /// The worker's receipt, where this is a result.
    pub fn receipt(&self) -> Option<&SaltedReceipt> {
        self.receipt.as_deref()
    }

    /// As a value.
    ///
    /// # Errors
    ///
    /// When it is of another type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        self.opened.json()
    }

    /// As the bytes that were sent.
    pub fn bytes(&self) -> &[u8] {
        self.opened.body()
    }
}

type Writer = Box<dyn FnOnce(&mut Vec<u8>) -> Result<(), BodyError> + Send>;

/// An answer that is written straight into the buffer that is sealed.
pub(crate) struct Answer {
    content: Option<Content>,
    write: Writer,
}

impl Answer {
    fn new(body: impl Body + Send + 'static) -> Self {
        Self { content: body.content(), write: Box::new(|out| body.write(out)) }
    }

    pub(crate) fn json(value: impl Serialize + Send + 'static) -> Self {
        Self::new(Json(value))
    }

    pub(crate) fn bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::new(Raw(bytes))
    }
}

impl Body for Answer {
    fn content(&self) -> Option<Content> {
        self.content
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        (self.write)(out)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// An answer as it was sent, or would be, kept for a further attempt. Overwritten when dropped.
pub(crate) struct Kept {
    pub(crate) content: Content,
    pub(crate) body: bytes::Bytes,
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, HandlerError>> + Send>>;
type Fixed = Arc<dyn Fn() -> Answer + Send + Sync>;

/// A handler of any kind.
#[derive(Clone)]
pub(crate) struct Handler {
    run: Arc<dyn Fn(Parameters) -> Answering + Send + Sync>,
    /// The answer, where it is always the same.
    fixed: Option<Fixed>,
}

impl Handler {
    pub(crate) fn new<F, Fut, A>(handler: F, answer: fn(A) -> Answer) -> Self
    where
        F: Fn(Parameters) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, HandlerError>> + Send + 'static,
        A: Send + 'static,
    {
        let run = move |parameters| -> Answering {
            let answering = handler(parameters);
            Box::pin(async move { answering.await.map(answer) })
        };
        Self { run: Arc::new(run), fixed: None }
    }

    /// The same answer each time.
    fn fixed(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let answer: Fixed = Arc::new(answer);
        let again = answer.clone();
        Self { run: Arc::new(move |_| Box::pin(std::future::ready(Ok(again())))), fixed: Some(answer) }
    }

    /// The same value each time.
    pub(crate) fn value(value: impl Serialize + Send + Sync + 'static) -> Self {
        let value = Arc::new(value);
        Self::fixed(move || Answer::json(value.clone()))
    }

    /// The same bytes each time.
    pub(crate) fn raw(bytes: bytes::Bytes) -> Self {
        Self::fixed(move || Answer::bytes(bytes.clone()))
    }

    /// No answer at all.
    pub(crate) fn refusing(error: impl Fn() -> HandlerError + Send + Sync + 'static) -> Self {
        Self { run: Arc::new(move |_| Box::pin(std::future::ready(Err(error())))), fixed: None }
    }

    /// What was kept of an answer.
    pub(crate) fn kept(kept: Kept) -> Self {
        let Kept { content, body } = kept;
        Self::fixed(move || Answer { content: Some(content), ..Answer::bytes(body.clone()) })
    }

    /// What a further attempt has to be told, if that is known without it.
    pub(crate) fn keep(&self) -> Option<Kept> {
        let answer = self.fixed.as_ref()?();
        let content = answer.content?;
        let mut body = Vec::new();
        let written = answer.write(&mut body);
        // Taken first: what was written up to an error is overwritten too.
        let body = bytes::Bytes::from_owner(Erased::new(body));
        written.ok().map(|()| Kept { content, body })
    }

    /// Runs the handler on a task of its own: neither a panic nor a slow handler reaches the job.
    pub(crate) fn start(&self, parameters: Parameters) -> Running {
        let handler = self.run.clone();
        Running(tokio::spawn(async move { handler(parameters).await }))
    }
}

/// What answers the worker's steps.
pub(crate) struct Handlers {
    pub(crate) options: Handler,
    pub(crate) payload: Handler,
    pub(crate) status: Handler,
}

impl Handlers {
    /// Each answers with JSON's null.
    pub(crate) fn none() -> Self {
        let null = || Handler::value(Value::Null);
        Self { options: null(), payload: null(), status: null() }
    }
}

/// A handler at work; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Running(JoinHandle<Result<Answer, HandlerError>>);

impl Running {
    /// Waits for the answer.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn answer(&mut self) -> Result<Answer, ErrorMember> {
        match (&mut self.0).await {
            Ok(answer) => answer.map_err(HandlerError::into_member),
            Err(_) => Err(HandlerError::new("the handler panicked").into_member()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
