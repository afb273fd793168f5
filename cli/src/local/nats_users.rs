//! The users of a NATS server: the keys of those that do not exist yet are made, and all are named in a file that
//! `deploy/accounts.conf` includes.

use std::{
    fmt::Write as _,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nkeys::KeyPair;
use subrosa_protocol::id::WorkerName;
use zeroize::Zeroizing;

use super::keys::{named, replace};

/// Which users there are to be.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NatsUsers {
    /// A NATS user's name and the file of its nkey's seed
    #[arg(long = "nats-user", value_name = "NAME=FILE", value_parser = named, requires = "list")]
    users: Vec<(WorkerName, PathBuf)>,
    /// The file that takes the users' public nkeys
    #[arg(long = "nats-users", value_name = "FILE")]
    list: Option<PathBuf>,
}

impl NatsUsers {
    /// Makes the keys that are missing, and lists the public ones.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let Some(list) = &self.list else { return Ok(()) };
        let mut text =
            "# The users' public nkeys. The server reads them at its start and on SIGHUP.\n".to_owned();
        for (name, path) in &self.users {
            let key = key(path).with_context(|| path.display().to_string())?;
            let variable = name.as_str().to_ascii_uppercase().replace('-', "_");
            writeln!(text, "NKEY_{variable}: \"{}\"", key.public_key())?;
        }
        if fs::read_to_string(list).is_ok_and(|before| before == text) {
            return Ok(());
        }
        replace(list, &text, 0o644).with_context(|| format!("{} cannot be written", list.display()))
    }
}

/// The key whose seed is in this file, which is made if it does not exist.
fn key(path: &Path) -> anyhow::Result<KeyPair> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(seed) => Ok(KeyPair::from_seed(seed.trim())?),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = KeyPair::new_user();
            replace(path, &Zeroizing::new(key.seed()? + "\n"), 0o600)?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_run_keeps_the_keys_and_a_new_user_is_listed_too() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let user = |name: &str| named(&format!("{name}={}", at(name).display())).unwrap();
        let mut args = NatsUsers { users: vec![user("launcher")], list: Some(at("users.conf")) };
        args.run().unwrap();
        let first = fs::read_to_string(at("users.conf")).unwrap();
        assert_eq!(fs::metadata(at("launcher")).unwrap().permissions().mode() & 0o777, 0o600);
        let seed = fs::read_to_string(at("launcher")).unwrap();
        assert!(!first.contains(seed.trim()));
        args.users.push(user("worker-echo"));
        args.run().unwrap();
        assert_eq!(fs::read_to_string(at("launcher")).unwrap(), seed);
        let second = fs::read_to_string(at("users.conf")).unwrap();
        let added = second.strip_prefix(&first).unwrap();
        assert!(added.starts_with("NKEY_WORKER_ECHO: \"U"), "{added}");
        fs::write(at("launcher"), "none").unwrap();
        assert!(args.run().is_err());
    }
}
