//! The services on NATS: launch, status, cancel, close, result and workers.

use std::sync::Arc;

use async_nats::{
    HeaderMap,
    service::{self, Request, ServiceExt as _, endpoint::Endpoint},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use subrosa_protocol::{
    id::{JobId, Sha256Hash},
    json::{self, Int},
    refusal::Code,
    subject::{Service, may_answer},
};
use subrosa_transport::trace::{self, TARGET, TraceContext};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    error::{Error, Trouble},
    office::{Office, Shared},
    refused::{Failed, Refused},
};

/// The service's name, and its queue group: of several launchers one gets a request.
const NAME: &str = "subrosa-launcher";
/// The largest request but for a launch, in bytes.
const MAX_ASK_BYTES: usize = 4096;

/// What can be asked.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Launch,
    Other(Service),
}

impl Ask {
    fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Other(service) => service.token(),
        }
    }
}

/// Asks for a job.
#[derive(Deserialize)]
struct ByJob {
    job: JobId,
}

/// Asks for a job and shows a token.
#[derive(Deserialize)]
struct ByToken {
    job: JobId,
    token: Sha256Hash,
}

/// Asks for what is stored of a job.
#[derive(Deserialize)]
struct ByNumber {
    job: JobId,
    token: Sha256Hash,
    from: Int,
}

/// The services, offered.
pub(crate) struct Services {
    service: service::Service,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Services {
    /// Offers the services.
    pub(crate) async fn start(office: &Shared, max_requests: usize) -> Result<Self, Error> {
        let failed = |error: async_nats::Error| Error::Service(error.to_string());
        let mut denials = office.connection.denials();
        let mut subjects = Vec::new();
        let service = office
            .connection
            .client()?
            .service_builder()
            .description("Admits sealed jobs, and keeps their history")
            .queue_group(NAME)
            .start(NAME, env!("CARGO_PKG_VERSION"))
            .await
            .map_err(failed)?;
        let services = Self { service, stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let slots = Arc::new(Semaphore::new(max_requests));
        let others = [Service::Status, Service::Cancel, Service::Close, Service::Result, Service::Workers];
        for ask in [Ask::Launch].into_iter().chain(others.map(Ask::Other)) {
            let subject = match ask {
                Ask::Launch => office.namespace.launch_any(),
                Ask::Other(service) => office.namespace.service(service),
            };
            let builder = services.service.endpoint_builder().name(ask.name()).queue_group(NAME);
            let endpoint = builder.add(&subject).await.map_err(failed)?;
            subjects.push(subject);
            let (office, slots) = (office.clone(), slots.clone());
            let (stop, tasks) = (services.stop.clone(), services.tasks.clone());
            services.tasks.spawn(serve(office, ask, endpoint, slots, stop, tasks));
        }
        let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
        office.connection.judged(&mut denials, &subjects).await?;
        Ok(services)
    }

    /// Takes no more requests, and answers those that it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "the service was not stopped");
        }
    }
}

async fn serve(
    office: Shared,
    ask: Ask,
    mut endpoint: Endpoint,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let request = tokio::select! {
            request = endpoint.next() => request,
            () = stop.cancelled() => break,
        };
        let Some(request) = request else { return };
        // Whoever answers elsewhere becomes somebody's deputy.
        let reply = request.message.reply.as_ref();
        if !reply.is_some_and(|reply| may_answer(reply)) {
            continue;
        }
        match slots.clone().try_acquire_owned() {
            Ok(slot) => {
                let office = office.clone();
                tasks.spawn(async move {
                    let working = office.numbers.request(ask.name());
                    let came = TraceContext::read(request.message.headers.as_ref());
                    let span = tracing::debug_span!(target: TARGET, "request", otel.name = ask.name());
                    let answer = trace::within(came, span, answer(&office, ask, &request)).await;
                    respond(&office, ask, &request, answer).await;
                    drop(working);
                    drop(slot);
                });
            }
            Err(_) => {
                let refused = Refused::new(Code::Overloaded, "too many requests at once: try again later");
                respond(&office, ask, &request, Err(refused.into())).await;
            }
        }
    }
    if let Err(error) = endpoint.stop().await {
        tracing::debug!(%error, "an endpoint was not stopped");
    }
}

async fn answer(office: &Shared, ask: Ask, request: &Request) -> Result<Bytes, Failed> {
    let message = &request.message;
    match ask {
        Ask::Launch => Ok(body(&office.launch(&message.subject, &message.payload).await?)),
        Ask::Other(Service::Status) => {
            let ByJob { job } = read(&message.payload)?;
            Ok(body(&office.status(&job).await?))
        }
        Ask::Other(Service::Cancel) => {
            let ByToken { job, token } = read(&message.payload)?;
            Ok(body(&office.cancel(&job, &token).await?))
        }
        Ask::Other(Service::Close) => {
            let ByToken { job, token } = read(&message.payload)?;
            Ok(body(&office.close(&job, &token).await?))
        }
        Ask::Other(Service::Result) => {
            let ByNumber { job, token, from } = read(&message.payload)?;
            office.stored(&job, &token, from.get()).await
        }
        Ask::Other(Service::Workers) => Ok(office.workers_answer()),
    }
}

fn body(answer: &impl Serialize) -> Bytes {
    json::to_vec(answer).into()
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Refused> {
    if payload.len() > MAX_ASK_BYTES {
        let message = format!("the request has {} bytes, at most {MAX_ASK_BYTES} are allowed", payload.len());
        return Err(Refused::new(Code::TooLarge, message));
    }
    json::parse(payload).map_err(|error| Refused::new(Code::BadRequest, format!("the request {error}")))
}

/// Answers; but what may go better next time is not answered, so that it is asked again.
async fn respond(office: &Office, ask: Ask, request: &Request, answer: Result<Bytes, Failed>) {
    let refused = match answer {
        Ok(body) => return sent(request.respond(Ok(body)).await),
        Err(Failed::Refused(refused)) => refused,
        Err(Failed::Trouble(trouble)) if trouble.is_passing() => {
            office.numbers.unanswered();
            return tracing::warn!(ask = ask.name(), %trouble, "a request is left unanswered");
        }
        Err(Failed::Trouble(trouble)) => {
            tracing::error!(ask = ask.name(), %trouble, "a request cannot be answered");
            Refused::new(Code::Overloaded, overloaded(&trouble))
        }
    };
    office.refused_requests.count(refused.code.word());
    let mut headers = HeaderMap::new();
    headers.insert("Subrosa-Error", refused.to_json());
    let error = service::error::Error {
        status: refused.code.word().to_owned(),
        code: usize::from(refused.code.number()),
    };
    sent(request.respond_with_headers(Err(error), headers).await);
}

fn overloaded(trouble: &Trouble) -> String {
    match trouble {
        Trouble::History(subrosa_transport::HistoryError::Full) => {
            "the store of the jobs' histories is full".to_owned()
        }
        Trouble::Untrusted(_) => "no record of this launcher counts: its log says why".to_owned(),
        _ => "the launcher cannot use its store: its log says why".to_owned(),
    }
}

fn sent(outcome: Result<(), async_nats::PublishError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "an answer was not sent");
    }
}
