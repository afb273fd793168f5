//! Small rules: how long a plaintext is padded to, and where an answer may go.

use serde_json::json;

use super::{case::Case, session::padded};

pub(crate) fn cases() -> Vec<Case> {
    let lengths = [
        27, 255, 256, 257, 272, 273, 511, 512, 513, 1000, 1024, 1025, 4095, 4097, 65_535, 65_536, 65_537,
        100_000, 1_000_000,
    ];
    let lengths = lengths.map(|length| json!([length, padded(length)]));
    let good = ["_INBOX.a", "_INBOX.a.b", "_INBOX_alice.x", "_INBOX_.x", "_INBOX.~!"];
    let bad = [
        "",
        "_INBOX",
        "_INBOXES.a",
        "_inbox.a",
        "subrosa.v1.launch.echo",
        "$JS.ACK.x",
        "x._INBOX.a",
        "_INBOX.*",
        "_INBOX.>",
        "_INBOX.a*",
        "_INBOX..a",
        "_INBOX.a.",
        "_INBOX.a b",
        "_INBOX.a\u{7f}",
        "_INBOX.\u{e4}",
    ];
    let long = |length: usize| format!("_INBOX.{}", "a".repeat(length - 7));
    let good: Vec<_> = good.map(str::to_owned).into_iter().chain([long(255)]).collect();
    let bad: Vec<_> = bad.map(str::to_owned).into_iter().chain([long(256)]).collect();
    vec![
        Case::ok("padding", "lengths", "Pairs of a plaintext's length and what it is padded to, in bytes.")
            .with("lengths", lengths.to_vec()),
        Case::ok("inbox", "subjects", "Reply subjects that are answered, and that are not.")
            .with("answered", good)
            .with("not_answered", bad),
    ]
}
