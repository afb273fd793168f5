use subrosa_protocol::identity::{Role, SigningKey, Trust, file as keys};

use super::*;

/// A configuration with these further lines.
fn with(more: &str) -> String {
    format!(
        "key_file = \"k\"\ntrust_file = \"t\"\n[[worker]]\nname = \"echo\"\nbackend = \"resident\"\n{more}"
    )
}

fn refusal(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

#[test]
fn the_example_is_good_and_says_the_defaults() {
    let config = Config::from_toml(EXAMPLE).unwrap();
    // What is commented out is the default: written out, it changes nothing but what has none.
    let written: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(member) if member.contains(" = ") && !member.contains('`') => format!("{member}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let written = Config::from_toml(&written).unwrap();
    assert_eq!(written.timing, config.timing);
    assert_eq!(written.namespace, config.namespace);
    assert_eq!(written.max_requests, config.max_requests);
    assert_eq!(written.streams.results.max_age, config.streams.results.max_age);
    assert_eq!(config.nats.inbox_prefix, None);
    assert_eq!(written.nats.inbox_prefix.as_deref(), Some("_INBOX_launcher"));
    let Backend::Process(process) = &config.workers[1].backend else { panic!("it is a process") };
    assert_eq!((process.program.to_str(), process.per_job.max_running), (Some("create-proof"), 4));
    let [given, written] = [&config, &written].map(|config| match &config.workers[2].backend {
        Backend::Docker(docker) => Docker { engine: None, ..(**docker).clone() },
        _ => panic!("it is a container"),
    });
    assert_eq!(format!("{given:?}"), format!("{written:?}"));
    assert_eq!(
        (given.user, given.memory, given.nano_cpus, given.pids),
        (65_532, 512 << 20, 1_000_000_000, 256)
    );
}

#[test]
fn errors_name_the_line() {
    assert!(refusal("key_file = ").starts_with("line 1: "));
    let text = with("[timing]\n\nack_wait = \"1 fortnight\"\n");
    assert_eq!(
        refusal(&text),
        "line 8: a duration is a number and a unit out of ms, s, m, h and d, as \"30s\""
    );
    let text = with("[timing]\nhurry = true\n");
    let refused = refusal(&text);
    assert!(refused.starts_with("line 7: unknown field `hurry`, expected one of `ack_wait`"), "{refused}");
    assert!(
        refusal(&with("[[worker]]\nname = \"Echo\"\nbackend = \"resident\""))
            .starts_with("line 7: a worker's name")
    );
    assert!(
        refusal(&with("[[worker]]\nname = \"x\"\nbackend = \"moon\""))
            .starts_with("line 8: unknown variant `moon`")
    );
    assert!(refusal("trust_file = \"t\"").contains("missing field `key_file`"));
}

#[test]
fn a_policy_is_enforced_unless_it_says_otherwise() {
    let policy = |more: &str| Config::from_toml(&with(more)).unwrap().workers[0].policy.clone();
    assert_eq!(policy(""), None);
    let inline = policy("policy = { signers_file = \"s\", needed = 2 }").unwrap();
    assert_eq!((inline.needed, inline.mode), (2, Mode::Enforce));
    let table = policy("[worker.policy]\nsigners_file = \"s\"\nneeded = 2\nmode = \"warn\"").unwrap();
    assert_eq!((table.needed, table.mode), (2, Mode::Warn));
    for (more, said) in [
        ("policy = { signers_file = \"s\" }", "missing field `needed`"),
        ("policy = { needed = 1 }", "missing field `signers_file`"),
        ("policy = { signers_file = \"s\", needed = -1 }", "line 6: "),
        ("policy = { signers_file = \"s\", needed = 1, mode = \"loud\" }", "unknown variant `loud`"),
        ("policy = { signers_file = \"s\", needed = 1, mood = \"warn\" }", "unknown field `mood`"),
    ] {
        assert!(refusal(&with(more)).contains(said), "{}", refusal(&with(more)));
    }
}

#[test]
fn the_files_of_policies_and_revocations_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let text = "revoked_file = \"revoked\"\n".to_owned()
        + &with("policy = { signers_file = \"signers.json\", needed = 2 }");
    std::fs::write(at("launcher.toml"), text).unwrap();
    let config = Config::from_file(at("launcher.toml")).unwrap();
    assert_eq!(config.revoked_file, Some(at("revoked")));
    let own = SigningKey::generate(&mut rand::rng());
    keys::create(&config.key_file, &own).unwrap();
    let trust = Trust::default().with_key(own.public(), Role::Launcher, None);
    std::fs::write(&config.trust_file, trust.to_json()).unwrap();
    let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    let signers = |keys: &[&SigningKey]| {
        let keys: Vec<_> = keys.iter().map(|key| key.public().to_jwk()).collect();
        serde_json::json!({ "keys": keys }).to_string()
    };
    let refused = || config.keys().unwrap_err().to_string();

    assert!(refused().contains("cannot read the revocation file"), "{}", refused());
    write("revoked", "nobody");
    assert!(refused().contains("revoked: line 1"), "{}", refused());
    write("revoked", "# nobody\n");
    assert!(refused().contains("cannot read the signers file"), "{}", refused());
    write("signers.json", &signers(&[&own, &own]));
    assert!(refused().contains("signers.json: 2 of 1 signers cannot be asked for"), "{}", refused());
    let other = SigningKey::generate(&mut rand::rng());
    write("signers.json", &signers(&[&own, &other]));
    let keys = config.keys().unwrap();
    assert_eq!(keys.policies[&config.workers[0].name].get().to_string(), "2 of 2");

    write("revoked", &own.thumbprint().to_string());
    assert!(
        refused().contains("does not trust the key in") && refused().contains("is revoked"),
        "{}",
        refused()
    );
}

#[test]
fn rules_name_the_member() {
    for (more, member) in [
        ("[[worker]]\nname = \"echo\"\nbackend = \"resident\"", "`worker.name` stands twice: echo"),
        ("[[worker]]\nname = \"x\"\nbackend = \"process\"", "`worker.command of x` is missing"),
        (
            "[[worker]]\nname = \"x\"\nbackend = \"process\"\ncommand = []\nkey_file = \"k\"\ntrust_file = \"t\"",
            "`worker.command of x` names no program",
        ),
        (
            "[[worker]]\nname = \"x\"\nbackend = \"process\"\ncommand = [\"\", \"x\"]",
            "`worker.command of x` names no program",
        ),
        (
            "[[worker]]\nname = \"x\"\nbackend = \"process\"\ncommand = [\"x\", \"\\u0000\"]",
            "`worker.command of x` has a text that no command line can hold",
        ),
        (
            "[[worker]]\nname = \"x\"\nbackend = \"process\"\ncommand = [\"x\"]\nkey_file = \"k\"",
            "`worker.trust_file of x` is missing",
        ),
        (
            "[[worker]]\nname = \"x\"\nbackend = \"resident\"\ncommand = [\"x\"]",
            "`worker.command of x` is for",
        ),
        ("[nats]\ninbox_prefix = \"subrosa\"", "`nats.inbox_prefix` must be _INBOX"),
        ("[streams.queue]\nreplicas = 6", "`streams.queue.replicas` must be 1 to 5"),
        ("[streams.records]\nmax_age = \"8d\"", "`streams.records.max_age` must be at least 3 days more"),
        ("[streams.records]\nmax_bytes = 1", "`streams.records.max_bytes` must be at least \"1MiB\""),
        ("[streams.queue.placement]\ntags = []", "`streams.queue.placement` must name a `cluster`, or"),
        ("[streams.queue.placement]\ncluster = \"a b\"", "`streams.queue.placement` must name"),
        ("[nats]\ntls_key = \"k\"", "`nats.tls_cert` needs the other of"),
        ("[nats]\ndomain = \"a.b\"", "`nats.domain` must be the name of a JetStream domain"),
        ("[nats]\napi_prefix = \"a.*\"", "`nats.api_prefix` must be tokens"),
        ("[nats]\ndomain = \"a\"\napi_prefix = \"a\"", "`nats.domain` and `nats.api_prefix` exclude"),
        ("[quota]\nopen_per_signer = 0", "`quota.open_per_signer` must be 1 to 10000000"),
        ("[timing]\nack_wait = \"1s\"", "`timing.ack_wait` must be \"5s\" to \"3600s\""),
        (
            "[[worker]]\nname = \"x\"\nbackend = \"process\"\ncommand = [\"x\"]\nkey_file = \"k\"\n\
             trust_file = \"t\"\nenv = { SUBROSA_JOB = \"x\" }",
            "`worker.env of x` must not set SUBROSA_JOB",
        ),
        ("policy = { signers_file = \"s\", needed = 0 }", "`worker.policy.needed of echo` must be 1 to 16"),
        ("policy = { signers_file = \"s\", needed = 17 }", "`worker.policy.needed of echo` must be 1 to 16"),
    ] {
        let refused = refusal(&with(more));
        assert!(refused.starts_with(member), "{refused}");
    }
    assert!(refusal("key_file = \"k\"\ntrust_file = \"t\"").starts_with("`worker` names no worker"));
}

#[test]
fn health_checks_are_off_unless_an_address_is_given() {
    let health = |more: &str| Config::from_toml(&with(more)).unwrap().health;
    let off = health("");
    assert_eq!((off.listen, off.sample), (None, Duration::from_secs(10)));
    assert_eq!(health("[health]\n"), off);
    let on = health("[health]\nlisten = \"[::1]:0\"\nsample = \"100ms\"\n");
    assert_eq!((on.listen, on.sample), (Some("[::1]:0".parse().unwrap()), Duration::from_millis(100)));
    assert_eq!(health("[health]\nsample = \"1h\"\n").sample, Duration::from_secs(3600));
    for (more, said) in [
        ("listen = \"localhost:9090\"", "`health.listen` must be an address and a port"),
        ("listen = \"127.0.0.1\"", "`health.listen` must be an address and a port"),
        ("listen = \"127.0.0.1:65536\"", "`health.listen` must be an address and a port"),
        ("listen = \"\"", "`health.listen` must be an address and a port"),
        ("sample = \"99ms\"", "`health.sample` must be \"100ms\" to \"1h\""),
        ("sample = \"3601s\"", "`health.sample` must be \"100ms\" to \"1h\""),
    ] {
        let refused = refusal(&with(&format!("[health]\n{more}\n")));
        assert!(refused.starts_with(said), "{more}: {refused}");
    }
    for (more, said) in
        [("listen = 9090", "line 7: invalid type"), ("port = 9090", "line 7: unknown field `port`")]
    {
        let refused = refusal(&with(&format!("[health]\n{more}\n")));
        assert!(refused.starts_with(said), "{more}: {refused}");
    }
}

#[test]
fn relative_paths_begin_at_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("launcher.toml");
    std::fs::write(&path, EXAMPLE).unwrap();
    let config = Config::from_file(&path).unwrap();
    assert_eq!(config.key_file, directory.path().join("launcher.jwk"));
    let Backend::Process(process) = &config.workers[1].backend else { panic!("it is a process") };
    assert_eq!(process.program, Path::new("create-proof"), "looked for on PATH");
    assert_eq!(process.per_job.trust_file, directory.path().join("trust.json"));
    let missing = config.keys().unwrap_err().to_string();
    assert!(missing.contains("launcher.jwk"), "{missing}");
}

#[test]
fn a_file_that_is_refused_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("launcher.toml");
    assert!(Config::from_file(&path).unwrap_err().to_string().contains("cannot read the configuration file"));
    std::fs::write(&path, with("[nats]\nurls = 1")).unwrap();
    let refused = Config::from_file(&path).unwrap_err().to_string();
    assert!(refused.contains("launcher.toml: line 7: unknown field `urls`"), "{refused}");
}

#[test]
fn a_configuration_has_at_most_1_mib() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("launcher.toml");
    let filled = |bytes: usize| with("#") + &"#".repeat(bytes - with("#").len());
    std::fs::write(&path, filled(MAX_CONFIG_BYTES)).unwrap();
    Config::from_file(&path).unwrap();
    std::fs::write(&path, filled(MAX_CONFIG_BYTES + 1)).unwrap();
    let refused = Config::from_file(&path).unwrap_err();
    let ConfigError::InFile { reason, .. } = refused else { panic!("{refused}") };
    assert!(matches!(*reason, ConfigError::TooLarge), "{reason}");
    // No more of it is read than that.
    let refused = Config::from_file("/dev/zero").unwrap_err();
    assert!(matches!(refused, ConfigError::InFile { .. }), "{refused}");
}

#[test]
fn keys_have_to_fit_together() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("launcher.toml"), EXAMPLE.replace("[\"create-proof\"]", "[\"bin/create-proof\"]"))
        .unwrap();
    let config = Config::from_file(at("launcher.toml")).unwrap();
    let (launcher, worker) = (SigningKey::generate(&mut rand::rng()), SigningKey::generate(&mut rand::rng()));
    keys::create(&config.key_file, &launcher).unwrap();
    keys::create(at("create-proof.jwk"), &worker).unwrap();
    let trusting = |keys: &[(&SigningKey, Role)]| {
        let add = |trust: Trust, (key, role): &(&SigningKey, Role)| {
            trust.with_key(key.public().clone(), *role, None)
        };
        let trust = keys.iter().fold(Trust::default(), add);
        std::fs::write(at("trust.json"), trust.to_json()).unwrap();
    };

    trusting(&[(&worker, Role::Worker)]);
    let refused = config.keys().unwrap_err();
    assert!(matches!(refused, ConfigError::Untrusted { .. }), "{refused}");
    trusting(&[(&launcher, Role::Launcher)]);
    let refused = config.keys().unwrap_err().to_string();
    assert!(refused.contains("`worker.command of create-proof` names the file"), "{refused}");
    std::fs::create_dir(at("bin")).unwrap();
    std::fs::write(at("bin/create-proof"), "").unwrap();
    let refused = config.keys().unwrap_err().to_string();
    assert!(
        refused.contains("does not trust the key in") && refused.contains("create-proof.jwk"),
        "{refused}"
    );
    trusting(&[(&launcher, Role::Launcher), (&worker, Role::Worker)]);
    config.keys().unwrap();
}

#[test]
fn rules_of_containers_name_the_member() {
    let docker = |more: &str| {
        let given = "name = \"boxed\"\nbackend = \"docker\"\nkey_file = \"k\"\ntrust_file = \"t\"";
        let others = [
            ("image", "image = \"echo\""),
            ("network", "network = \"jobs\""),
            ("nats_url", "nats_url = \"nats://nats\""),
        ];
        let member = more.split([' ', '-']).next().unwrap();
        let others: Vec<&str> =
            others.iter().filter(|(name, _)| *name != member).map(|(_, line)| *line).collect();
        let more = more.strip_suffix("-").map_or(more, |_| "");
        with(&format!("[[worker]]\n{given}\n{}\n{more}\n", others.join("\n")))
    };
    Config::from_toml(&docker("pids = 1")).unwrap();
    for more in [
        "image-",
        "image = \"../images\"",
        "image = \"-x\"",
        "network-",
        "network = \"host\"",
        "network = \"bridge\"",
        "network = \"container:nats\"",
        "nats_url-",
        "nats_url = \"nats://worker:password@nats\"",
        "user = 0",
        "user = 2097152",
        "memory = \"5MiB\"",
        "cpus = 0.0",
        "cpus = nan",
        "pids = 0",
        "engine = \"https://engine\"",
        "max_running = 0",
    ] {
        let refused = refusal(&docker(more));
        let member = more.split([' ', '-']).next().unwrap();
        assert!(refused.starts_with(&format!("`worker.{member} of boxed` ")), "{more}: {refused}");
    }
    let refused = refusal(&with("image = \"echo\""));
    assert!(refused.starts_with("`worker.image of echo` is for the other backends"), "{refused}");
}

#[test]
fn no_password_gets_into_a_workers_environment() {
    let process = "[[worker]]\nname = \"x\"\nbackend = \"process\"\ncommand = [\"x\"]\nkey_file = \"k\"\n\
                   trust_file = \"t\"\n";
    let launchers = "nats = { url = \"nats://launcher:s3cr3t@nats\" }";
    let refused = refusal(&format!("{launchers}\n{}", with(process)));
    assert!(refused.starts_with("`worker.nats_url of x` must not hold a user"), "{refused}");
    let refused = refusal(&with(&format!("{process}nats_url = \"nats://x:s3cr3t@nats\"")));
    assert!(refused.starts_with("`worker.nats_url of x` must not hold a user"), "{refused}");
    let config = format!("{launchers}\n{}", with(&format!("{process}nats_url = \"nats://nats\"")));
    let shown = format!("{:?}", Config::from_toml(&config).unwrap());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
