//! How the launcher starts a worker's container.

use super::{ConfigError, PerJob, file::invalid, values::Size};

/// The least memory that an engine accepts, in bytes.
const MIN_MEMORY: u64 = 6 << 20;
/// The largest id that fits into an archive's header.
const MAX_USER: u32 = 0o7_777_777;

/// How the launcher starts a worker's container.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Docker {
    /// Where the engine listens: `unix://…`, or `tcp://…`; as `DOCKER_HOST` says, if absent.
    pub engine: Option<String>,
    /// The image: its id, a repository's digest, or a name.
    pub image: String,
    /// Whether an image that the engine has not may be pulled.
    pub pull: bool,
    /// What the image is to run, in place of its own command; the image's own if empty.
    pub command: Vec<String>,
    /// The user that it runs as, and the group: never root.
    pub user: u32,
    /// The network that it is attached to.
    pub network: String,
    /// Whether that network may reach further than its own containers.
    pub open_network: bool,
    /// How much memory it may use, in bytes.
    pub memory: u64,
    /// How many processors it may use, in billionths.
    pub nano_cpus: u64,
    /// How many processes and threads it may have.
    pub pids: u32,
    /// What it is told.
    pub per_job: PerJob,
}

/// The same as it stands in the file.
pub(super) struct Wire {
    pub(super) engine: Option<String>,
    pub(super) image: String,
    pub(super) pull: bool,
    pub(super) command: Vec<String>,
    pub(super) user: Option<u32>,
    pub(super) network: String,
    pub(super) open_network: bool,
    pub(super) memory: Option<Size>,
    pub(super) cpus: Option<f64>,
    pub(super) pids: Option<u32>,
    pub(super) per_job: PerJob,
}

impl Wire {
    pub(super) fn check(self, member: impl Fn(&str) -> String) -> Result<Docker, ConfigError> {
        let rule = |name: &str, keeps: bool, rule: &str| match keeps {
            true => Ok(()),
            false => Err(invalid(member(name), rule)),
        };
        let unix_or_tcp = |engine: &String| engine.starts_with("unix://") || engine.starts_with("tcp://");
        rule("engine", self.engine.as_ref().is_none_or(unix_or_tcp), "must begin with unix:// or tcp://")?;
        rule("image", is_image(&self.image), "is no image's id or name")?;
        rule(
            "network",
            is_network(&self.network),
            "is not the name of a network that has been made for workers",
        )?;
        let user = self.user.unwrap_or(65_532);
        rule("user", (1..=MAX_USER).contains(&user), "must be 1 to 2097151: never root")?;
        let memory = self.memory.map_or(512 << 20, |size| size.0);
        rule("memory", memory >= MIN_MEMORY, "must be at least \"6MiB\"")?;
        let cpus = self.cpus.unwrap_or(1.0);
        rule("cpus", (0.01..=1024.0).contains(&cpus), "must be 0.01 to 1024")?;
        let pids = self.pids.unwrap_or(256);
        rule("pids", (1..=1_000_000).contains(&pids), "must be 1 to 1000000")?;
        Ok(Docker {
            engine: self.engine,
            image: self.image,
            pull: self.pull,
            command: self.command,
            user,
            network: self.network,
            open_network: self.open_network,
            memory,
            nano_cpus: nanos(cpus),
            pids,
            per_job: self.per_job,
        })
    }
}

/// Processors in billionths.
fn nanos(cpus: f64) -> u64 {
    std::time::Duration::from_secs_f64(cpus).as_nanos().try_into().unwrap_or(u64::MAX)
}

fn is_image(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 512
        && text.bytes().all(allowed)
        && !text.contains("..")
}

/// The engine's own words for something else than a network of one's own are none.
fn is_network(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 128
        && text.bytes().all(allowed)
        && !["host", "none", "bridge", "default"].contains(&text)
}
