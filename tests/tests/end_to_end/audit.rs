//! A job's history as evidence: taken from the server, judged offline, shown as a page.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use subrosa::local::Example;
use subrosa_client::SigningKey;
use subrosa_protocol::{
    audit::{Message, write_line},
    encoding::b64u,
    id::Sha256Hash,
    identity::{Role, Trust},
    job::{Description, Job},
    launch::LaunchRequest,
    record::{Event, Reason, Record},
    subject::Namespace,
};
use subrosa_tests::{
    lab::{Lab, fresh_key, patiently},
    skipped::skipped,
};
use tempfile::TempDir;

use crate::PROGRAM;

/// What a hostile client might call its job.
const HOSTILE: &str = "</title><script>document.title='owned'</script><img src=x onerror=alert(1)>\
                       \"'&amp;\u{202e}DOOG\u{202c}\u{200b}<!--";

/// How a command ended, and the JSON that it printed.
fn subrosa(args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(PROGRAM).args(args).arg("--json").output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

/// A folder with a trust file and histories.
struct Archive {
    folder: TempDir,
    trust: PathBuf,
}

impl Archive {
    fn new(trust: &Trust) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("trust.json");
        fs::write(&path, trust.to_json()).unwrap();
        Self { folder, trust: path }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Keeps these lines as a history.
    fn keep(&self, name: &str, lines: &[String]) -> PathBuf {
        fs::write(self.path(name), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        self.path(name)
    }

    fn verify(&self, history: &Path, more: &[&str]) -> (Option<i32>, Value) {
        let files = [history.to_str().unwrap(), "--trust", self.trust.to_str().unwrap()];
        subrosa(&[&["audit", "verify"], &files[..], more].concat())
    }

    fn report(&self, history: &Path) -> (Option<i32>, PathBuf) {
        let page = history.with_extension("html");
        let files = [history.to_str().unwrap(), "--trust", self.trust.to_str().unwrap()];
        let html = ["--html", page.to_str().unwrap()];
        let (code, said) = subrosa(&[&["audit", "report"], &files[..], &html].concat());
        assert_eq!(said["html"], page.to_str().unwrap());
        (code, page)
    }
}

#[tokio::test]
async fn a_jobs_history_is_exported_verified_and_shown() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let client = lab.client().await;
    let job = client.job("echo").label("invoice 4711").payload_value(json!({})).launch().await.unwrap();
    let id = *job.id();
    patiently(job.result::<Value>()).await.unwrap();
    lab.history("echo", &id, "closed").await;

    let archive = Archive::new(&lab.local.trust().unwrap());
    let file = archive.path("job.jsonl");
    let prefix = &id.to_string()[..12];
    let export = ["audit", "export", prefix, "--nats", lab.url(), "--out", file.to_str().unwrap()];
    let (code, said) = subrosa(&export);
    assert_eq!((code, &said["messages"], &said["worker"]), (Some(0), &json!(4), &json!("echo")), "{said}");
    let (code, said) = subrosa(&export);
    assert_eq!((code, &said["error"]["code"]), (Some(2), &json!("usage")), "evidence is never overwritten");
    let unknown = ["audit", "export", &"0".repeat(64), "--nats", lab.url()];
    let (code, _) = subrosa(&unknown);
    assert_eq!(code, Some(8));
    lab.stop().await;

    // From here on there is no server any more.
    let (code, said) = archive.verify(&file, &["--job", &id.to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        (&said["good"], &said["finished"], &said["state"]),
        (&json!(true), &json!(true), &json!("closed"))
    );
    assert_eq!((&said["label"], &said["worker"]), (&json!("invoice 4711"), &json!("echo")));
    assert_eq!(said["signers"], json!([said["client"]]));
    let events: Vec<&Value> = said["messages"].as_array().unwrap().iter().map(|row| &row["event"]).collect();
    assert_eq!(events, ["queued", "taken", "running", "closed"]);
    let (code, page) = archive.report(&file);
    assert_eq!(code, Some(0));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("invoice 4711") && page.contains(&id.to_string()), "{page}");

    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    let without_tail = archive.keep("unfinished.jsonl", &lines[..3]);
    let (code, said) = archive.verify(&without_tail, &[]);
    assert_eq!((code, &said["good"], &said["finished"]), (Some(0), &json!(true), &json!(false)), "{said}");
    let gap = archive.keep("gap.jsonl", &[lines[0].clone(), lines[1].clone(), lines[3].clone()]);
    let (code, said) = archive.verify(&gap, &[]);
    assert_eq!((code, &said["error"]["code"], &said["good"]), (Some(1), &json!("failure"), &json!(false)));
    assert_eq!(
        (&said["messages"][2]["verdict"], &said["messages"][2]["fault"]),
        (&json!("BAD"), &json!("missing"))
    );
    assert_eq!(archive.report(&gap).0, Some(1), "a page is written, and says so");
    let (code, _) = archive.verify(&file, &["--job", &"0".repeat(64)]);
    assert_eq!(code, Some(1), "another job was asked for");
    let broken = archive.keep("broken.jsonl", &["no history".to_owned()]);
    let (code, said) = archive.verify(&broken, &[]);
    assert_eq!((code, &said["error"]["code"]), (Some(2), &json!("usage")), "{said}");
    let nobody = Archive::new(&Trust::default());
    assert_eq!(nobody.verify(&file, &[]).0, Some(1), "nobody is trusted");
}

/// A history by real keys, of a job with this label, as lines.
fn history(label: &str, launcher: &SigningKey, worker: &SigningKey) -> Vec<String> {
    let (owner, cosigner) = (fresh_key(), fresh_key());
    let now_ms = 1_800_000_000_000;
    let job = Job::new(Description {
        worker: "echo".parse().unwrap(),
        client: Some(owner.thumbprint()),
        label: Some(label.to_owned()),
        client_key: [9; 32].as_slice().try_into().unwrap(),
        psk_id: None,
        reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
        created_ms: now_ms,
        expires_ms: now_ms + 600_000,
        timeout_ms: 60_000,
        max_attempts: 3,
        cancel: Sha256Hash([0; 32]),
        close: Sha256Hash([0; 32]),
        input: None,
    })
    .unwrap();
    let request = LaunchRequest::new(job.clone(), &[&owner, &cosigner]).unwrap().bytes().to_vec();
    let instance = b64u([5; 16]).parse().unwrap();
    let events = [
        (launcher, 0, Event::Queued { request }),
        (worker, 1, Event::Taken { instance }),
        (worker, 1, Event::Running { instance }),
        (worker, 1, Event::Failed(Reason::new("<b>", label))),
    ];
    let (mut prev, mut lines) = (None, Vec::new());
    for (at_ms, (key, attempt, event)) in (now_ms..).step_by(1234).zip(events) {
        let bytes = Record { job: *job.id(), at_ms, attempt, prev, event }.sign(key);
        prev = Some(Sha256Hash::of(&bytes));
        lines.push(write_line(&Message::new(bytes), None));
    }
    lines
}

/// Chromium's headless view of a page; none if there is no Chromium on this machine.
fn chromium(page: &Path, arguments: &[&str]) -> Option<Output> {
    let profile = TempDir::new().unwrap();
    let mut command = Command::new("chromium");
    command
        // Its sandbox needs rights that containers do not have; the page is our own.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()));
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => Some(output.unwrap()),
    }
}

#[test]
fn a_hostile_label_stays_text_in_a_browser() {
    let (launcher, worker) = (fresh_key(), fresh_key());
    let trust = Trust::default().with_key(launcher.public(), Role::Launcher, None).with_key(
        worker.public(),
        Role::Worker,
        None,
    );
    let archive = Archive::new(&trust);
    let history = archive.keep("hostile.jsonl", &history(HOSTILE, &launcher, &worker));
    let (code, page) = archive.report(&history);
    assert_eq!(code, Some(0));
    let source = fs::read_to_string(&page).unwrap();
    assert!(!source.contains("<script") && !source.contains("<img") && !source.contains('\u{202e}'));

    let Some(seen) = chromium(&page, &["--dump-dom"]) else {
        skipped("there is no `chromium` on this machine; the page was not seen in a browser");
        return;
    };
    let (dom, log) = (String::from_utf8(seen.stdout).unwrap(), String::from_utf8_lossy(&seen.stderr));
    assert!(seen.status.success(), "{log}");
    assert!(!log.contains("Refused to") && !log.contains("Content Security Policy"), "its own style: {log}");
    for element in ["<script", "<img", "<b>", "<!--", "owned'</title>"] {
        assert!(!dom.contains(element), "{element} in {dom}");
    }
    for text in ["&lt;/title&gt;&lt;script&gt;", "[U+202E]", "[U+200B]", "&amp;amp;", "&lt;b&gt;"] {
        assert!(dom.contains(text), "no {text} in {dom}");
    }
    assert!(dom.contains("<title>GOOD: history of job "), "{dom}");
    assert_eq!(dom.matches(r#"<li class="good">"#).count(), 4, "{dom}");
    for event in ["queued", "taken", "running", "failed"] {
        assert!(dom.contains(&format!(r#"<span class="event">{event}</span>"#)), "no {event} in {dom}");
    }
    for key in [&launcher, &worker] {
        assert!(dom.contains(&key.thumbprint().to_string()));
    }
}
