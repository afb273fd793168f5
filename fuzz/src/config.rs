//! The launcher's configuration file.

use std::{collections::BTreeSet, time::Duration};

use subrosa_launcher::config::{Backend, Config, ConfigError, PerJob, Stream};

/// Reads a configuration.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let config = Config::from_toml(text);
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::from_toml(text)), "read twice, in two ways");
    match config {
        Ok(config) => keeps_the_rules(&config),
        Err(error) => {
            if let ConfigError::Toml { line, .. } = &error {
                assert!((1..=text.matches('\n').count() + 1).contains(line), "line {line}");
            }
            assert!(!error.to_string().contains('\n'), "an error has one line: {error}");
        }
    }
}

/// The limits that `subrosa-launcher.example.toml` names.
fn keeps_the_rules(config: &Config) {
    let namespace = config.namespace.to_string();
    assert!((1..=32).contains(&namespace.len()));
    assert!(namespace.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')));
    assert!((1..=65_536).contains(&config.max_requests));
    assert!(!config.workers.is_empty(), "no worker");
    let names: BTreeSet<_> = config.workers.iter().map(|worker| &worker.name).collect();
    assert_eq!(names.len(), config.workers.len(), "a name twice");
    for worker in &config.workers {
        if let Backend::Process(process) = &worker.backend {
            assert!(!process.program.as_os_str().is_empty(), "no program");
            assert!(!process.program.to_string_lossy().contains('\0'));
            assert!(!process.args.iter().any(|arg| arg.contains('\0')));
        }
        if let Backend::Docker(docker) = &worker.backend {
            assert!(docker.user > 0, "root");
            assert!(!docker.per_job.nats_url.contains('@'), "a password that everyone would see");
            assert!((6 << 20..1 << 63).contains(&docker.memory));
            assert!((10_000_000..=1_024_000_000_000).contains(&docker.nano_cpus));
            assert!(!docker.command.iter().any(|arg| arg.contains('\0')));
        }
        if let Some(per_job) = worker.backend.per_job() {
            can_be_started(per_job);
        }
    }
    let streams = &config.streams;
    for Stream { replicas, max_age, max_bytes, .. } in [&streams.queue, &streams.records, &streams.results] {
        assert!((1..=5).contains(replicas));
        assert!(max_age.is_none_or(|age| age >= Duration::from_secs(3600)));
        assert!(max_bytes.is_none_or(|bytes| bytes >= 1 << 20 && i64::try_from(bytes).is_ok()));
    }
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let results = streams.results.max_age.expect("results are not kept for ever");
    assert!(streams.records.max_age.is_none_or(|age| age >= results + days(3)));
    let t = &config.timing;
    for (value, least, most) in [
        (t.ack_wait, 5, 3600),
        (t.request, 2, 600),
        (t.probe, 1, 600),
        (t.sweep, 1, 3600),
        (t.queued_age, 1, 86_400),
        (t.open_age, 10, 86_400),
        (t.drain, 0, 86_400),
    ] {
        assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&value));
    }
}

/// What no operating system could start is refused here, and not at the first job.
fn can_be_started(per_job: &PerJob) {
    assert!((1..=4096).contains(&per_job.max_running));
    for (name, value) in &per_job.env {
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
        assert!(!name.starts_with("SUBROSA_"));
    }
    if let Some(prefix) = &per_job.inbox_prefix {
        assert!(prefix == "_INBOX" || prefix.starts_with("_INBOX_"));
    }
}
