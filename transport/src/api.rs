//! Where JetStream is asked.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The longest prefix and domain, in bytes.
const MAX_BYTES: usize = 256;

/// What the subjects of JetStream's API begin with: `$JS.API`, unless a domain or an import says otherwise.
///
/// ```
/// use subrosa_transport::ApiPrefix;
///
/// assert_eq!(ApiPrefix::default().subject("INFO"), "$JS.API.INFO");
/// assert_eq!(ApiPrefix::domain("hub")?.to_string(), "$JS.hub.API");
/// assert_eq!("jobs.api".parse::<ApiPrefix>()?.subject("INFO"), "jobs.api.INFO");
/// assert!("jobs.*".parse::<ApiPrefix>().is_err());
/// # Ok::<(), subrosa_transport::ApiPrefixError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPrefix(String);

/// A text that no subject can begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApiPrefixError {
    /// Not a prefix.
    #[error("must be tokens with dots between them, without wildcards or spaces, as $JS.API")]
    Prefix,
    /// Not a domain.
    #[error("must be the name of a JetStream domain: one token, without dots, wildcards or spaces")]
    Domain,
}

impl Default for ApiPrefix {
    fn default() -> Self {
        Self("$JS.API".to_owned())
    }
}

impl ApiPrefix {
    /// JetStream in a domain, as a leaf node's clients reach it.
    ///
    /// # Errors
    ///
    /// [`ApiPrefixError::Domain`]
    pub fn domain(name: &str) -> Result<Self, ApiPrefixError> {
        if name.len() > MAX_BYTES || !is_token(name) {
            return Err(ApiPrefixError::Domain);
        }
        Ok(Self(format!("$JS.{name}.API")))
    }

    /// The subject of one of its requests.
    pub fn subject(&self, request: &str) -> String {
        format!("{}.{request}", self.0)
    }
}

impl FromStr for ApiPrefix {
    type Err = ApiPrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_BYTES || !text.split('.').all(is_token) {
            return Err(ApiPrefixError::Prefix);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ApiPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_subjects_may_hold_is_a_prefix() {
        for bad in ["", ".", "$JS.", ".API", "a..b", "a.*", "a.>", "a b", "a\n", "ä", &"a".repeat(257)] {
            assert_eq!(bad.parse::<ApiPrefix>(), Err(ApiPrefixError::Prefix), "{bad:?}");
            assert_eq!(ApiPrefix::domain(bad), Err(ApiPrefixError::Domain), "{bad:?}");
        }
        assert_eq!(ApiPrefix::domain("a.b"), Err(ApiPrefixError::Domain));
    }
}
