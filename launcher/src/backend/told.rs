//! What a worker that runs one job is told.

use std::path::Path;

use subrosa_protocol::{id::Attempt, launch::LaunchRequest};
use subrosa_transport::{ApiPrefix, trace};

use super::Started;
use crate::config::PerJob;

/// A file that a worker is told of.
pub(super) struct Told<'a> {
    /// The variable that names it.
    pub(super) variable: &'static str,
    /// What it is called where it is copied to.
    pub(super) name: &'static str,
    /// Where it lies for the launcher.
    pub(super) path: &'a Path,
}

impl Started {
    /// The files that the worker is told of.
    pub(super) fn files(&self) -> Vec<Told<'_>> {
        let PerJob { key_file, trust_file, cert_file, credentials, tls, .. } = &self.per_job;
        let signers = self.policy.as_ref().map(|policy| policy.signers_file.as_path());
        [
            ("SUBROSA_KEY_FILE", "key.jwk", Some(key_file.as_path())),
            ("SUBROSA_TRUST_FILE", "trust.json", Some(trust_file.as_path())),
            ("SUBROSA_CERT_FILE", "key.cert", cert_file.as_deref()),
            ("SUBROSA_SIGNERS_FILE", "signers.json", signers),
            ("SUBROSA_REVOKED_FILE", "revoked.txt", self.office.revoked_file.as_deref()),
            ("SUBROSA_NATS_CREDS", "nats.creds", credentials.as_deref()),
            ("SUBROSA_NATS_CA", "nats-ca.pem", tls.ca.as_deref()),
            ("SUBROSA_NATS_CERT", "nats-cert.pem", tls.cert.as_deref()),
            ("SUBROSA_NATS_KEY", "nats-key.pem", tls.key.as_deref()),
        ]
        .into_iter()
        .filter_map(|(variable, name, path)| Some(Told { variable, name, path: path? }))
        .collect()
    }

    /// The rest of its environment that the launcher sets. Nothing of it is secret.
    pub(super) fn variables(&self, request: &LaunchRequest, attempt: Attempt) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("SUBROSA_NATS_URL", self.per_job.nats_url.clone()),
            ("SUBROSA_NAMESPACE", self.office.namespace.to_string()),
            ("SUBROSA_ATTEMPT", attempt.to_string()),
            // A request that has been parsed is UTF-8, and JSON has no bare control characters.
            ("SUBROSA_JOB", String::from_utf8_lossy(request.bytes()).into_owned()),
        ];
        if let Some(policy) = &self.policy {
            variables.push(("SUBROSA_SIGNERS_NEEDED", policy.needed.to_string()));
            variables.push(("SUBROSA_POLICY_MODE", policy.mode.to_string()));
        }
        let api_prefix = self.office.connection.api_prefix();
        if *api_prefix != ApiPrefix::default() {
            variables.push(("SUBROSA_NATS_API_PREFIX", api_prefix.to_string()));
        }
        if let Some(prefix) = &self.per_job.inbox_prefix {
            variables.push(("SUBROSA_INBOX_PREFIX", prefix.clone()));
        }
        if let Some(context) = trace::current() {
            variables.push(("TRACEPARENT", context.traceparent().to_owned()));
            variables.extend(context.tracestate().map(|state| ("TRACESTATE", state.to_owned())));
        }
        variables
    }
}
