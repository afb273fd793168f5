//! Whom the client of a job believes.

use std::path::PathBuf;

use subrosa_client::{Client, Connect, Trust, identity::ImageDigest};

use crate::{
    exit::{Exit, Failure},
    nats::Nats,
};

/// Which workers are trusted.
#[derive(Debug, clap::Args)]
pub(crate) struct Whom {
    /// The trust file: the workers' public keys, or those of authorities that certify them
    #[arg(
        long,
        value_name = "FILE",
        env = "SUBROSA_TRUST_FILE",
        required_unless_present = "danger_trust_any_worker"
    )]
    trust: Option<PathBuf>,
    /// A file with the thumbprints of keys that count no more, one a line; looked at once a second
    #[arg(long, value_name = "FILE", env = "SUBROSA_REVOKED_FILE")]
    revoked: Option<PathBuf>,
    /// Trust a worker only with a certificate for this image, as sha256:DIGEST
    #[arg(long, value_name = "DIGEST", requires = "trust")]
    image: Option<ImageDigest>,
    /// Show the payload to whoever answers, for experiments: the broker can answer too
    #[arg(long, conflicts_with = "trust")]
    danger_trust_any_worker: bool,
}

impl Whom {
    /// The option that says so, as a command line has it.
    pub(crate) fn as_option(&self) -> String {
        match &self.trust {
            Some(trust) => format!("--trust {}", trust.display()),
            None => "--danger-trust-any-worker".to_owned(),
        }
    }

    /// What the files say.
    pub(crate) fn trust(&self) -> Result<Trust, Failure> {
        let Some(trust) = &self.trust else { return Ok(Trust::danger_trust_any_worker()) };
        let trust = Trust::from_file(trust).map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(match &self.image {
            Some(image) => trust.with_image(image.clone()),
            None => trust,
        })
    }

    /// A client that believes them.
    pub(crate) fn connect(&self, nats: &Nats, trust: Trust) -> Connect {
        let mut connect = Client::connect(&nats.url)
            .trust(trust)
            .inbox_prefix(&nats.inbox_prefix)
            .namespace(nats.namespace.clone())
            .tls(nats.tls())
            .connect_timeout(nats.patience());
        if let Some(revoked) = &self.revoked {
            connect = connect.revoked_file(revoked);
        }
        if let Some(creds) = &nats.creds {
            connect = connect.credentials(creds);
        }
        connect
    }
}
