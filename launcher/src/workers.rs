//! The workers that may be launched: for information, never a source of trust.

use serde::Serialize;
use serde_json::Value;
use subrosa_protocol::{
    id::WorkerName,
    identity::{Role, Trust},
};

use crate::{config::Worker, office::Office};

/// The answer of the service `workers`.
#[derive(Debug, Serialize)]
pub(crate) struct Workers {
    workers: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize)]
struct Entry {
    worker: WorkerName,
    backend: &'static str,
    /// Who may launch it.
    policy: &'static str,
    /// The public keys that may serve it.
    keys: Vec<Value>,
}

impl Office {
    /// The workers, by name.
    pub(crate) fn workers(&self) -> Workers {
        let keys = worker_keys(&self.trust);
        let entry = |worker: &Worker| Entry {
            worker: worker.name.clone(),
            backend: worker.backend.name(),
            policy: "anyone",
            keys: keys.iter().filter_map(|key| key.for_worker(&worker.name)).collect(),
        };
        let mut workers: Vec<Entry> = self.workers.values().map(entry).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Workers { workers }
    }
}

/// A worker's key as it stands in a trust file.
struct WorkerKey {
    jwk: Value,
    names: Option<Vec<Value>>,
}

impl WorkerKey {
    fn for_worker(&self, name: &WorkerName) -> Option<Value> {
        let fits = self.names.as_ref().is_none_or(|names| names.iter().any(|known| known == name.as_str()));
        fits.then(|| self.jwk.clone())
    }
}

/// The workers' keys in a trust file.
fn worker_keys(trust: &Trust) -> Vec<WorkerKey> {
    let set: Value = serde_json::from_str(&trust.to_json()).unwrap_or_default();
    let keys = set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    keys.into_iter()
        .filter(|key| key.get("role").is_none_or(|role| role == Role::Worker.as_str()))
        .map(|mut jwk| {
            let names = jwk.as_object_mut().and_then(|members| {
                members.remove("role");
                members.remove("workers")
            });
            WorkerKey { jwk, names: names.and_then(|names| names.as_array().cloned()) }
        })
        .collect()
}
