//! The files on this machine: a signing key, and whom to trust.

use subrosa_client::{Trust, identity::file};

use super::{Args, Check};

/// Looks at the files that are named.
pub(super) fn checks(args: &Args) -> (Vec<Check>, Option<Trust>) {
    let key = match &args.key {
        None => Check::skipped("key", "none is named (--key): jobs are anonymous"),
        Some(path) => match file::load(path) {
            Ok(key) => Check::good("key", format!("{}: {}", path.display(), key.thumbprint())),
            Err(error) => Check::bad(
                "key",
                error.to_string(),
                "make one with `subrosa key new FILE`, or name another with --key",
            ),
        },
    };
    let (trust, loaded) = match &args.trust {
        None => (
            Check::warn(
                "trust",
                "no trust file is named: no worker is trusted",
                "name one with --trust: a JWK Set with the workers' public keys, as `subrosa key show` prints them",
            ),
            None,
        ),
        Some(path) => match Trust::from_file(path) {
            Ok(trust) => (Check::good("trust", path.display().to_string()), Some(trust)),
            Err(error) => {
                (Check::bad("trust", error.to_string(), "a trust file is a JWK Set: {\"keys\": [...]}"), None)
            }
        },
    };
    (vec![key, trust], loaded)
}
