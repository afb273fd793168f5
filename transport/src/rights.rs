//! Whether this user may do what its role has to: found out at the start, and not by the first job.

use bytes::Bytes;
use subrosa_protocol::{
    id::{Instance, JobId, WorkerName},
    subject::{Control, ENDED, Namespace},
    wire::Kind,
};
use tokio::time::Instant;

use crate::{Connection, History, HistoryError, Queue, QueueError, RequestError, Results};

/// A stream of another name, which no stream of ours has.
const ANOTHER_STREAM: &str = "none";

/// No client listens under this token: they are random, or given to one.
const NO_CLIENT: &str = "0000000000000000";

/// No job has this id: there is none without bytes.
fn no_job() -> JobId {
    JobId::of(b"")
}

impl Connection {
    /// Checks that messages may be published to a subject of a stream. The one that is published here expects
    /// another stream: what the server lets through, the stream refuses.
    async fn may_publish(&self, subject: &str, deadline: Instant) -> Result<(), RequestError> {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Expected-Stream", ANOTHER_STREAM);
        self.request_until(subject, Some(headers), Bytes::new(), deadline).await.map(drop)
    }

    /// Checks that messages may be published to these subjects. Empty ones are, so nobody must mind them.
    ///
    /// # Errors
    ///
    /// [`RequestError::Denied`] with the subject, and a server that does not answer.
    pub async fn may_send(&self, subjects: &[&str]) -> Result<(), RequestError> {
        let mut denials = self.denials();
        for subject in subjects {
            self.publish(subject, None, Bytes::new()).await?;
        }
        self.judged(&mut denials, subjects).await
    }

    /// Checks that a worker's steps and events may be sent to clients, and that their jobs have ended.
    ///
    /// # Errors
    ///
    /// As for [`Connection::may_send`].
    pub async fn may_serve_clients(&self, namespace: &Namespace) -> Result<(), RequestError> {
        let kinds = [Kind::Options, Kind::Ready, Kind::Done, Kind::Event];
        self.may_tell_clients(namespace, kinds.into_iter().filter_map(Kind::token).chain([ENDED])).await
    }

    /// Checks that clients may be told that their jobs have ended.
    ///
    /// # Errors
    ///
    /// As for [`Connection::may_send`].
    pub async fn may_tell_ends(&self, namespace: &Namespace) -> Result<(), RequestError> {
        self.may_tell_clients(namespace, [ENDED]).await
    }

    async fn may_tell_clients(
        &self,
        namespace: &Namespace,
        kinds: impl IntoIterator<Item = &str>,
    ) -> Result<(), RequestError> {
        let Ok(reply) = namespace.reply(NO_CLIENT) else { return Ok(()) };
        let subjects: Vec<String> = kinds.into_iter().map(|kind| reply.subject(&no_job(), kind)).collect();
        self.may_send(&subjects.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Checks that processes of this worker may be asked or told this.
    ///
    /// # Errors
    ///
    /// As for [`Connection::may_send`].
    pub async fn may_control(
        &self,
        namespace: &Namespace,
        worker: &WorkerName,
        control: Control,
    ) -> Result<(), RequestError> {
        // Nobody's, as it is made up.
        let instance = Instance::random(&mut rand::rng());
        self.may_send(&[&namespace.control(worker, &instance, &no_job(), control)]).await
    }

    /// Checks that jobs of this worker may be taken out of the queue.
    ///
    /// # Errors
    ///
    /// As for [`Queue::remove`].
    pub async fn may_remove(
        &self,
        namespace: &Namespace,
        worker: &WorkerName,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        Queue::remove(self, namespace, worker, &no_job(), deadline).await
    }

    /// Checks that jobs of this worker may be queued.
    ///
    /// # Errors
    ///
    /// [`RequestError::Denied`], and a stream that does not answer.
    pub async fn may_queue(
        &self,
        namespace: &Namespace,
        worker: &WorkerName,
        deadline: Instant,
    ) -> Result<(), RequestError> {
        self.may_publish(&namespace.queue(worker, &no_job()), deadline).await
    }
}

impl History {
    /// Checks that histories of this worker's jobs may be read and written.
    ///
    /// # Errors
    ///
    /// [`RequestError::Denied`] with the subject, and a stream that does not answer.
    pub async fn may_record(&self, worker: &WorkerName, deadline: Instant) -> Result<(), HistoryError> {
        self.last(worker, &no_job(), deadline).await?;
        let subject = self.namespace.record(worker, &no_job());
        Ok(self.connection.may_publish(&subject, deadline).await?)
    }

    /// Checks that jobs may be looked for, as a launcher has to.
    ///
    /// # Errors
    ///
    /// As for [`History::may_record`].
    pub async fn may_find(&self, deadline: Instant) -> Result<(), HistoryError> {
        self.find(&no_job(), deadline).await.map(drop)
    }
}

impl Results {
    /// Checks that results of this worker's jobs may be stored.
    ///
    /// # Errors
    ///
    /// [`RequestError::Denied`] with the subject, and a stream that does not answer.
    pub async fn may_store(&self, worker: &WorkerName, deadline: Instant) -> Result<(), RequestError> {
        let subject = self.namespace.result(worker, &no_job(), 1, 0);
        self.connection.may_publish(&subject, deadline).await
    }

    /// Checks that stored results may be read and removed, as a launcher has to.
    ///
    /// # Errors
    ///
    /// As for [`History::may_record`].
    pub async fn may_keep(&self, worker: &WorkerName, deadline: Instant) -> Result<(), HistoryError> {
        self.read((worker, &no_job()), 1, 0, deadline).await?;
        self.remove(worker, &no_job(), deadline).await
    }
}
