//! The function under test, watched.

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use serde::Serialize;
use serde_json::Value;
use subrosa_worker::{Done, Failure, Function, Job, Launched};

/// A function, and what it said when it panicked.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) function: Function,
    panicked: Arc<Mutex<Option<String>>>,
}

impl Watched {
    pub(crate) fn new<F, Fut>(function: F) -> Self
    where
        F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
    {
        let panicked: Arc<Mutex<Option<String>>> = Arc::default();
        let (function, said) = (Arc::new(function), panicked.clone());
        let function: Function = Arc::new(move |job| {
            let (function, said) = (function.clone(), said.clone());
            Box::pin(async move {
                // Called in here: it may panic before its first await.
                let run = AssertUnwindSafe(async { function(job).await });
                run.catch_unwind().await.unwrap_or_else(|panic| {
                    *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(text(&*panic));
                    resume_unwind(panic)
                })
            })
        });
        Self { function, panicked }
    }

    /// What it said when it panicked, if it did.
    pub(crate) fn panicked(&self) -> Option<String> {
        self.panicked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send>>;

/// A worker made of values: it says `parameters`, takes any options and payload, and returns `result`.
///
/// ```
/// # use serde_json::{Value, json};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let client = subrosa_testing::client(subrosa_testing::values(json!({ "version": 2 }), json!(78))).await;
/// let job = client.job("adds-one").payload_value(77).launch().await.unwrap();
/// assert_eq!(job.result::<u32>().await.unwrap().value, 78);
/// # }
/// ```
pub fn values(
    parameters: impl Serialize,
    result: impl Serialize,
) -> impl Fn(Job<Launched>) -> Running + Send + Sync + 'static {
    let (parameters, result) = (to_value(parameters), to_value(result));
    move |job| {
        let (parameters, result) = (parameters.clone(), result.clone());
        Box::pin(async move {
            let (_, job) = job.options::<Value>(&parameters).await?;
            let (_, job) = job.ready::<Value>(&()).await?;
            job.done(&result).await
        })
    }
}

/// A test's value as JSON.
#[expect(clippy::expect_used, reason = "a test that cannot go on says so")]
pub(crate) fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("the value has a JSON form")
}
