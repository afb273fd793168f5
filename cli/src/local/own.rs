//! Workers of one's own beside the examples: the launcher's configuration file, with what a local deployment
//! fills in left out.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use subrosa_protocol::id::{NameError, WorkerName};
use thiserror::Error;
use toml::{Table, Value};

/// Settings that the deployment makes itself.
const ITS_OWN: [&str; 4] = ["nats", "namespace", "key_file", "trust_file"];

/// What a file adds to a deployment.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Settings of the launcher, as they stand in its file.
    pub(super) settings: Table,
    /// The workers.
    pub(super) workers: Vec<Worker>,
}

/// A worker of one's own.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) name: WorkerName,
    /// Its signing key; one is made if it is not named, or does not exist.
    pub(super) key_file: Option<PathBuf>,
    /// The program that serves it, resident; without one, somebody else runs it.
    pub(super) program: Option<Program>,
    /// What the launcher is told of it.
    pub(super) entry: Table,
}

/// A program that is run as a resident worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
}

/// A file that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OwnError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML.
    #[error("{path}: {error}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        error: Box<toml::de::Error>,
    },
    /// A setting that does not belong here.
    #[error("{path}: `{setting}` is set by the local deployment itself: leave it out")]
    ItsOwn {
        /// The file.
        path: PathBuf,
        /// The setting.
        setting: &'static str,
    },
    /// A worker that is not described as it should be.
    #[error("{path}: worker {number}: {reason}")]
    Worker {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Own {
    /// Reads a file. Relative paths of key files are relative to it; commands are run where this program
    /// runs.
    ///
    /// # Errors
    ///
    /// See [`OwnError`]. What is the launcher's to judge, it judges later.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, OwnError> {
        let path = path.as_ref().to_owned();
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| OwnError::Read { path: path.clone(), error })?;
        let mut settings: Table =
            text.parse().map_err(|error| OwnError::Toml { path: path.clone(), error: Box::new(error) })?;
        if let Some(setting) = ITS_OWN.into_iter().find(|setting| settings.contains_key(*setting)) {
            return Err(OwnError::ItsOwn { path, setting });
        }
        let entries = match settings.remove("worker") {
            None => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                let reason = "write [[worker]], with two brackets".to_owned();
                return Err(OwnError::Worker { path, number: 1, reason });
            }
        };
        let beside = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut workers = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let failed = |reason| OwnError::Worker { path: path.clone(), number: index + 1, reason };
            workers.push(Worker::read(entry, &beside).map_err(failed)?);
        }
        if let Some(Value::String(revoked)) = settings.get_mut("revoked_file") {
            let absolute = std::path::absolute(beside.join(&*revoked));
            let absolute = absolute.map_err(|error| OwnError::Read { path: path.clone(), error })?;
            *revoked = absolute.to_string_lossy().into_owned();
            for program in workers.iter_mut().filter_map(|worker: &mut Worker| worker.program.as_mut()) {
                program.env.insert("SUBROSA_REVOKED_FILE".to_owned(), revoked.clone());
            }
        }
        Ok(Self { settings, workers })
    }
}

impl Worker {
    fn read(entry: Value, beside: &Path) -> Result<Self, String> {
        let Value::Table(mut entry) = entry else {
            return Err("write [[worker]] and its settings".to_owned());
        };
        let name = entry.get("name").and_then(Value::as_str).ok_or("`name` is missing")?;
        let name: WorkerName = name.parse().map_err(|error: NameError| error.to_string())?;
        let absolute = |path: &str| -> Result<PathBuf, String> {
            let absolute = std::path::absolute(beside.join(path));
            absolute.map_err(|error| format!("{path:?} is no path: {error}"))
        };
        let policy = match entry.get_mut("policy").and_then(Value::as_table_mut) {
            Some(policy) => policy_environment(policy, absolute)?,
            None => BTreeMap::new(),
        };
        let key_file = entry.get("key_file").and_then(Value::as_str).map(absolute).transpose()?;
        let backend = entry.entry("backend").or_insert_with(|| "resident".into()).as_str();
        let mut program = None;
        if backend == Some("resident") {
            entry.remove("key_file");
            let env = entry.remove("env").map(Value::try_into).transpose();
            let env = env.map_err(|_| "`env` is a table of texts")?;
            if let Some(command) = entry.remove("command") {
                let command: Vec<String> =
                    command.try_into().map_err(|_| "`command` is an array of texts")?;
                if command.is_empty() {
                    return Err("`command` names no program".to_owned());
                }
                let mut env: BTreeMap<String, String> = env.unwrap_or_default();
                env.extend(policy);
                program = Some(Program { command, env });
            }
        }
        Ok(Self { name, key_file, program, entry })
    }
}

/// What a worker is told of its policy, so that it checks it too; and the launcher, where the signers file lies.
fn policy_environment(
    policy: &mut Table,
    absolute: impl Fn(&str) -> Result<PathBuf, String>,
) -> Result<BTreeMap<String, String>, String> {
    if let Some(Value::String(path)) = policy.get_mut("signers_file") {
        *path = absolute(path)?.to_string_lossy().into_owned();
    }
    let variables = [
        ("signers_file", "SUBROSA_SIGNERS_FILE"),
        ("needed", "SUBROSA_SIGNERS_NEEDED"),
        ("mode", "SUBROSA_POLICY_MODE"),
    ];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let told = |(member, variable): (&str, &str)| Some((variable.to_owned(), text(policy.get(member)?)));
    Ok(variables.into_iter().filter_map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Own, OwnError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Own::from_file(file.path())
    }

    #[test]
    fn a_resident_workers_program_is_run_here_and_not_told_to_the_launcher() {
        let own = read(
            r#"
            max_requests = 9
            [[worker]]
            name = "mine"
            command = ["./mine", "--fast"]
            env = { RUST_LOG = "debug" }
            [[worker]]
            name = "started"
            backend = "process"
            command = ["./started"]
            key_file = "/keys/started.jwk"
            "#,
        )
        .unwrap();
        assert_eq!(own.settings["max_requests"].as_integer(), Some(9));
        let [mine, started] = own.workers.as_slice() else { panic!("two workers") };
        assert_eq!(mine.entry.keys().collect::<Vec<_>>(), ["backend", "name"]);
        assert_eq!(mine.entry["backend"].as_str(), Some("resident"));
        let program = mine.program.as_ref().unwrap();
        assert_eq!((program.command.len(), program.env["RUST_LOG"].as_str()), (2, "debug"));
        assert_eq!(started.program, None);
        assert_eq!(started.entry["command"].as_array().unwrap().len(), 1);
        assert_eq!(started.key_file.as_deref(), Some(Path::new("/keys/started.jwk")));
    }

    #[test]
    fn a_policy_is_told_to_launcher_and_worker() {
        let own = read(
            r#"
            revoked_file = "revoked"
            [[worker]]
            name = "mine"
            command = ["./mine"]
            policy = { signers_file = "signers.json", needed = 2 }
            "#,
        )
        .unwrap();
        let [mine] = own.workers.as_slice() else { panic!("one worker") };
        let env = &mine.program.as_ref().unwrap().env;
        let signers = mine.entry["policy"]["signers_file"].as_str().unwrap();
        assert!(Path::new(signers).is_absolute() && signers.ends_with("signers.json"), "{signers}");
        assert_eq!(env["SUBROSA_SIGNERS_FILE"], signers);
        assert_eq!(env["SUBROSA_SIGNERS_NEEDED"], "2");
        assert_eq!(env.get("SUBROSA_POLICY_MODE"), None);
        let revoked = own.settings["revoked_file"].as_str().unwrap();
        assert!(Path::new(revoked).is_absolute() && revoked.ends_with("revoked"), "{revoked}");
        assert_eq!(env["SUBROSA_REVOKED_FILE"], revoked);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("trust_file = 'x'", "`trust_file` is set by"),
            ("worker = 3", "two brackets"),
            ("[[worker]]\nbackend = 'resident'", "worker 1: `name` is missing"),
            ("[[worker]]\nname = 'A B'", "worker 1: "),
            ("[[worker]]\nname = 'a'\ncommand = []", "names no program"),
            ("[[worker]", "1"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
