//! The workers that may be launched: for information, never a source of trust.

use serde::Serialize;
use serde_json::Value;
use subrosa_protocol::{
    id::WorkerName,
    identity::{PublicKey, Role, Trust},
    json,
    policy::Policy,
};

use crate::config::Worker;

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
    policy: String,
    /// The public keys that may serve it.
    keys: Vec<Value>,
}

impl Workers {
    /// These workers, by name, with their policies and the keys in this trust file that are not revoked.
    pub(crate) fn new<'a>(
        workers: impl IntoIterator<Item = &'a Worker>,
        trust: &Trust,
        policy: impl Fn(&WorkerName) -> Policy,
    ) -> Self {
        let keys = worker_keys(trust);
        let entry = |worker: &Worker| Entry {
            worker: worker.name.clone(),
            backend: worker.backend.name(),
            policy: policy(&worker.name).to_string(),
            keys: keys.iter().filter_map(|key| key.for_worker(&worker.name)).collect(),
        };
        let mut workers: Vec<Entry> = workers.into_iter().map(entry).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Self { workers }
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

/// The workers' keys in a trust file that are not revoked.
fn worker_keys(trust: &Trust) -> Vec<WorkerKey> {
    let set: Value = serde_json::from_str(&trust.to_json()).unwrap_or_default();
    let keys = set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    keys.into_iter()
        .filter(|key| key.get("role").is_none_or(|role| role == Role::Worker.as_str()))
        .filter(|jwk| {
            let key = PublicKey::from_jwk(&json::to_vec(jwk));
            key.is_ok_and(|key| !trust.is_revoked(&key.thumbprint()))
        })
        .map(|mut jwk| {
            let names = jwk.as_object_mut().and_then(|members| {
                members.remove("role");
                members.remove("workers")
            });
            WorkerKey { jwk, names: names.and_then(|names| names.as_array().cloned()) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subrosa_protocol::{identity::SigningKey, secret::Secret};

    use super::*;
    use crate::config::Config;

    #[test]
    fn each_worker_is_listed_with_the_keys_that_are_good_for_it() {
        let config = Config::from_toml(
            r#"
            key_file = "k"
            trust_file = "t"
            worker = [{ name = "b", backend = "resident" }, { name = "a", backend = "resident" }]
            "#,
        )
        .unwrap();
        let key = |seed: u8| SigningKey::from_seed(&Secret::take(&mut [seed; 32])).public().clone();
        let for_a = Some(vec!["a".parse().unwrap()]);
        let trust = Trust::default()
            .with_key(key(1), Role::Worker, None)
            .with_key(key(2), Role::Worker, for_a)
            .with_key(key(3), Role::Launcher, None);
        let policy = |name: &WorkerName| match name.as_str() {
            "a" => Policy::at_least(1, [key(1), key(2)].map(|key| key.thumbprint())).unwrap(),
            _ => Policy::anyone(),
        };
        let listed = serde_json::to_value(Workers::new(&config.workers, &trust, policy)).unwrap();
        let keys = |at: usize| listed["workers"][at]["keys"].as_array().unwrap();
        assert_eq!(listed["workers"][0]["worker"], "a");
        assert_eq!((keys(0).len(), keys(1).len()), (2, 1));
        let plain = serde_json::to_value(key(1).to_jwk()).unwrap();
        assert_eq!(*keys(1), [plain]);
        assert_eq!(listed["workers"][1]["backend"], json!("resident"));
        assert_eq!(listed["workers"][0]["policy"], json!("1 of 2"));
        assert_eq!(listed["workers"][1]["policy"], json!("anyone"));

        let trust = trust.with_revoked([key(1).thumbprint()].into_iter().collect());
        let listed = serde_json::to_value(Workers::new(&config.workers, &trust, policy)).unwrap();
        assert_eq!(listed["workers"][0]["keys"].as_array().unwrap().len(), 1);
        assert_eq!(listed["workers"][1]["keys"], json!([]));
    }
}
