//! The page: verdict, job, timeline, and how to read it.

use subrosa_client::Thumbprint;
use subrosa_protocol::{
    audit::{History, Judged},
    id::Sha256Hash,
    job::Description,
    record::{Event, Record, Times},
};

use super::{super::text::utc, html::Html};

const STYLE: &str = include_str!("style.css");

/// The history as a page that loads nothing, runs nothing, and says the same to everyone.
pub(super) fn page(history: &History) -> String {
    let Verdict { class, word, sentence } = Verdict::of(history);
    let id = history.id.map_or_else(|| "of an unknown job".to_owned(), |id| id.to_string());
    let short: String = id.chars().take(12).collect();
    // Only this very style sheet may be applied, and nothing else loaded or run, whatever stands in the page.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}='; base-uri 'none'; form-action 'none'",
        Sha256Hash::of(STYLE)
    );
    let head = Html::element(
        "head",
        "",
        [
            Html::open("meta", &[("charset", "utf-8")]),
            Html::open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]),
            Html::open("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]),
            Html::open("meta", &[("name", "color-scheme"), ("content", "light dark")]),
            Html::open("meta", &[("name", "referrer"), ("content", "no-referrer")]),
            Html::element("title", "", [Html::text(format!("{word}: history of job {short}"))]),
            Html::style(STYLE),
        ],
    );
    let header = Html::element(
        "header",
        class,
        [
            Html::element("p", "kind", [Html::text("Subrosa · history of a job")]),
            Html::element("h1", "", [Html::text(word)]),
            Html::element("p", "sentence", [Html::text(sentence)]),
            Html::element("p", "id", [Html::text(id)]),
        ],
    );
    let main = Html::element("main", "", [header, the_job(history), the_records(history), explanation()]);
    let body = Html::element("body", "", [main]);
    Html::with("html", &[("lang", "en")], [head, body]).into_page()
}

/// What is said of the whole.
struct Verdict {
    class: &'static str,
    word: &'static str,
    sentence: String,
}

impl Verdict {
    fn of(history: &History) -> Self {
        let count = history.messages.len();
        let state = history.last().map_or("nothing", |record| record.event.name());
        match (history.is_good(), history.is_finished()) {
            (true, true) => Self {
                class: "good",
                word: "GOOD",
                sentence: format!("All {count} records count, and the job has ended: it is “{state}”."),
            },
            (true, false) => Self {
                class: "open",
                word: "GOOD, unfinished",
                sentence: format!(
                    "All {count} records count; the last one is “{state}”. The job had not ended, or its end \
                     was cut off: that cannot be told."
                ),
            },
            (false, _) if count == 0 => {
                Self { class: "bad", word: "BAD", sentence: "The history is empty.".to_owned() }
            }
            (false, _) => Self {
                class: "bad",
                word: "BAD",
                sentence: format!("Of {count} messages, {} BAD.", are(history.bad())),
            },
        }
    }
}

/// What was asked for, by whom.
fn the_job(history: &History) -> Html {
    let Some(job) = &history.job else {
        let text = "The job’s description is not in this history: the record that it begins with is missing or \
                    was altered.";
        return section("The job", [Html::element("p", "", [Html::text(text)])]);
    };
    let job = job.description();
    let mut rows = vec![
        row("Worker", Html::text(&job.worker)),
        row(
            "Label",
            match &job.label {
                Some(label) => Html::foreign(label),
                None => Html::element("span", "faint", [Html::text("none")]),
            },
        ),
        row(
            "Owner",
            match &job.client {
                Some(owner) => key(owner),
                None => Html::text("anonymous"),
            },
        ),
        row("Signed by", signers(history, job)),
        row("Made", time(job.created_ms)),
        row("Expires", time(job.expires_ms)),
        row(
            "Limits",
            Html::text(format!(
                "{} each for up to {} attempt{}",
                span(job.timeout_ms),
                job.max_attempts,
                if job.max_attempts == 1 { "" } else { "s" }
            )),
        ),
    ];
    if job.input.is_some() {
        rows.push(row("Input", Html::text("The signers approved one particular payload.")));
    }
    section("The job", [Html::element("dl", "", rows)])
}

fn signers(history: &History, job: &Description) -> Html {
    let Some(signers) = &history.signers else {
        return Html::element("span", "faint", [Html::text("not known: the launch request does not hold")]);
    };
    if signers.is_empty() {
        return Html::element("span", "faint", [Html::text("nobody")]);
    }
    let items = signers.iter().map(|signer| {
        let is_owner = job.client.as_ref() == Some(signer);
        let owner = is_owner.then(|| Html::element("span", "faint", [Html::text(" the owner")]));
        Html::element("li", "", [Some(key(signer)), owner].into_iter().flatten())
    });
    Html::element("ul", "", items.collect::<Vec<_>>())
}

/// The timeline.
fn the_records(history: &History) -> Html {
    let mut before_ms = None;
    let items = (1..).zip(&history.messages).map(|(number, message)| {
        let at_ms = message.record.as_ref().map(|record| record.at_ms);
        let item = record(number, message, before_ms);
        before_ms = at_ms.filter(|_| message.is_good()).or(before_ms);
        item
    });
    section("What happened", [Html::element("ol", "timeline", items.collect::<Vec<_>>())])
}

fn record(number: usize, message: &Judged, before_ms: Option<u64>) -> Html {
    let (class, word) = if message.is_good() { ("good", "GOOD") } else { ("bad", "BAD") };
    let name = message.record.as_ref().map_or("not a record", |record| record.event.name());
    let attempt = message.record.as_ref().filter(|record| record.attempt > 0);
    let attempt = attempt
        .map(|record| Html::element("span", "faint", [Html::text(format!(" attempt {}", record.attempt))]));
    let heading = [
        Html::element("span", "number", [Html::text(number)]),
        Html::element("span", "event", [Html::text(name)]),
    ];
    let badge = Html::element("span", "badge", [Html::text(word)]);
    let mut parts = vec![Html::element("h3", "", heading.into_iter().chain(attempt).chain([badge]))];
    if let Some(fault) = &message.fault {
        parts.push(Html::element("p", "fault", [Html::foreign(&fault.to_string())]));
    }
    let mut rows = Vec::new();
    if let Some(record) = &message.record {
        rows.push(row("When", when(record, before_ms)));
    }
    if let Some(signer) = &message.signer {
        let role = message.role.map_or("nobody who is trusted here: ", |role| match role.as_str() {
            "launcher" => "a launcher, ",
            _ => "a worker, ",
        });
        rows.push(row("By", Html::element("span", "", [Html::text(role), key(signer)])));
    }
    rows.extend(message.authority.iter().map(|authority| row("Certified", key(authority))));
    rows.extend(message.record.as_ref().map(details).unwrap_or_default());
    rows.push(row("Hash", Html::element("code", "", [Html::text(message.hash)])));
    parts.push(Html::element("dl", "", rows));
    Html::element("li", class, parts)
}

fn when(record: &Record, before_ms: Option<u64>) -> Html {
    let later = before_ms.and_then(|before_ms| record.at_ms.checked_sub(before_ms));
    let later = later.map(|ms| Html::element("span", "faint", [Html::text(format!(" after {}", span(ms)))]));
    Html::element("span", "", [Some(time(record.at_ms)), later].into_iter().flatten())
}

/// What a record says beside the rest.
fn details(record: &Record) -> Vec<Html> {
    match &record.event {
        Event::Queued { request } => vec![row("Request", Html::text(format!("{} bytes", request.len())))],
        Event::Taken { instance } | Event::Running { instance } => {
            vec![row("Process", Html::element("code", "", [Html::text(instance)]))]
        }
        Event::Finished => Vec::new(),
        Event::Closed { times, .. } => steps(times).into_iter().collect(),
        Event::Failed(reason) | Event::Expired(reason) | Event::Cancelled { reason, .. } => {
            let text = (!reason.text.is_empty()).then(|| row("Reason", Html::foreign(&reason.text)));
            [row("Code", Html::foreign(&reason.code))].into_iter().chain(text).collect()
        }
    }
}

/// How long each step of the attempt took.
fn steps(times: &Times) -> Option<Html> {
    let steps = [
        ("options", times.taken_ms, times.options_ms),
        ("payload", times.options_ms, times.payload_ms),
        ("function", times.payload_ms, times.done_ms),
        ("delivery", times.done_ms, times.closed_ms),
    ];
    let took = steps
        .into_iter()
        .filter_map(|(name, from, to)| Some(format!("{name} {}", span(to?.get().checked_sub(from?.get())?))));
    let took: Vec<String> = took.collect();
    (!took.is_empty()).then(|| row("Steps", Html::text(took.join(", "))))
}

fn explanation() -> Html {
    let paragraphs = [
        "GOOD means: the record is signed by a key that the trust file names for this, it stands where it says, \
         and the protocol allows it there. BAD is everything else; what is BAD does not count.",
        "Signatures prove who wrote what, and the order of it. Times are those of the writers’ clocks. What the \
         job was given and what came of it is sealed, and not in its history. Whether the end of a history was \
         cut off cannot be told.",
        "This page is a picture of a verdict, not the evidence: that is the exported file, which “subrosa audit \
         verify” judges again.",
    ];
    section("How to read this", paragraphs.map(|text| Html::element("p", "", [Html::text(text)])))
}

fn section(title: &str, children: impl IntoIterator<Item = Html>) -> Html {
    Html::element("section", "", [Html::element("h2", "", [Html::text(title)])].into_iter().chain(children))
}

fn row(name: &str, value: Html) -> Html {
    Html::element("div", "", [Html::element("dt", "", [Html::text(name)]), Html::element("dd", "", [value])])
}

fn key(thumbprint: &Thumbprint) -> Html {
    Html::element("code", "", [Html::text(thumbprint)])
}

fn time(at_ms: u64) -> Html {
    Html::element("time", "", [Html::text(utc(at_ms))])
}

fn are(number: usize) -> String {
    if number == 1 { "1 is".to_owned() } else { format!("{number} are") }
}

/// A length of time, in the unit that suits it.
fn span(ms: u64) -> String {
    let (s, m) = (ms / 1000, ms / 60_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 if ms.is_multiple_of(1000) => format!("{s} s"),
        1_000..120_000 => format!("{s}.{} s", ms % 1000 / 100),
        120_000..7_200_000 => format!("{m} min {} s", s % 60),
        _ => format!("{} h {} min", m / 60, m % 60),
    }
}
