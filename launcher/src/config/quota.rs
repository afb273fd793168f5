//! How much one may have going at once, as it stands in the file.

use serde::Deserialize;

use super::{ConfigError, file::invalid};

/// How much one may have going at once; as much as one likes, where it is absent. A job is open from its
/// admission until its result is stored or it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Open jobs, whoever has them.
    pub open: Option<usize>,
    /// Open jobs of one owner.
    pub open_per_client: Option<usize>,
    /// Open jobs without an owner, together.
    pub open_anonymous: Option<usize>,
    /// Open jobs that one key has signed.
    pub open_per_signer: Option<usize>,
    /// Open jobs that nobody has signed, together.
    pub open_unsigned: Option<usize>,
    /// Jobs admitted within a minute that one key has signed; those that nobody has signed, together.
    pub launches_per_minute: Option<usize>,
}

impl Quota {
    /// Whether there is any limit.
    pub(crate) fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// The same as it stands in the file.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wire {
    open: Option<u32>,
    open_per_client: Option<u32>,
    open_anonymous: Option<u32>,
    open_per_signer: Option<u32>,
    open_unsigned: Option<u32>,
    launches_per_minute: Option<u32>,
}

impl Wire {
    pub(super) fn check(self) -> Result<Quota, ConfigError> {
        let most = |member: &str, most: Option<u32>| match most.map(usize::try_from) {
            None => Ok(None),
            Some(Ok(most @ 1..=10_000_000)) => Ok(Some(most)),
            Some(_) => Err(invalid(format!("quota.{member}"), "must be 1 to 10000000")),
        };
        Ok(Quota {
            open: most("open", self.open)?,
            open_per_client: most("open_per_client", self.open_per_client)?,
            open_anonymous: most("open_anonymous", self.open_anonymous)?,
            open_per_signer: most("open_per_signer", self.open_per_signer)?,
            open_unsigned: most("open_unsigned", self.open_unsigned)?,
            launches_per_minute: most("launches_per_minute", self.launches_per_minute)?,
        })
    }
}
