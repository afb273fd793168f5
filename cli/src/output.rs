//! What commands print: text for people, JSON for scripts.

use std::{
    fmt,
    io::{self, Write as _},
};

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use subrosa_transport::now_ms;

use crate::exit::{Exit, Failure};

/// A day, in seconds.
pub(crate) const DAY_S: u64 = 86_400;

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints a line.
///
/// # Errors
///
/// Whoever reads may be gone, as `head` is when it has enough. (The macros of the standard library panic then.)
pub(crate) fn line(text: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(anstream::stdout(), "{text}")
}

/// Prints a JSON document, or one line of several.
///
/// # Errors
///
/// As for [`line`].
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(value)?)
}

/// Says on standard error why a command failed; with `--json` also as JSON on standard output.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    let Failure { exit, error, report } = failure;
    // Whoever told it to end knows, unless there is more to say; and what was printed by then may be a line of
    // several.
    if as_json && !(matches!(exit, Exit::Interrupted | Exit::Terminated) && report.is_null()) {
        error_as_json(*exit, &format!("{error:#}"), report);
    }
    eprintln!("{BAD}error:{BAD:#} {error:#}");
}

/// Prints an error, with the members of `report` beside it.
pub(crate) fn error_as_json(exit: Exit, message: &str, report: &serde_json::Value) {
    let mut object = report.as_object().cloned().unwrap_or_default();
    let said = serde_json::json!({ "code": exit.word(), "message": message });
    object.insert("error".to_owned(), said);
    // There is nobody to tell, if this fails.
    let _ = json(&object);
}

/// Prints rows in columns, below their names.
///
/// # Errors
///
/// As for [`line`].
pub(crate) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(names.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let padded = |cells: [&str; N]| {
        let padded = cells.into_iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(at)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(format_args!("{FAINT}{}{FAINT:#}", padded(names)))?;
    rows.iter().try_for_each(|row| line(format_args!("{}", padded(row.each_ref().map(String::as_str)))))
}

/// Somebody else's text, fit for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A time in Unix milliseconds, in this machine's time zone.
pub(crate) fn time(at_ms: u64) -> String {
    i64::try_from(at_ms)
        .ok()
        .and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok())
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_else(|| "?".to_owned())
}

/// A time for people, and exactly.
pub(crate) fn moment(at_ms: u64) -> String {
    let exact = i64::try_from(at_ms).ok().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    let exact = exact.map_or_else(|| "?".to_owned(), |at| at.to_string());
    let now = now_ms();
    let near = match at_ms.checked_sub(now) {
        Some(ahead) => format!("in {}", span(ahead)),
        None => format!("{} ago", span(now - at_ms)),
    };
    format!("{} ({exact}, {near})", time(at_ms))
}

/// A time span for people: exact to a second, or to a day from two days on.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    if seconds >= 2 * DAY_S {
        return format!("{} days", (seconds + DAY_S / 2) / DAY_S);
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if parts.is_empty() { format!("{ms} ms") } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        assert_eq!(span(600_000), "10 min");
        assert_eq!(span(86_400_000), "24 h");
        assert_eq!(span(3_661_000), "1 h 1 min 1 s");
        assert_eq!(span(10), "10 ms");
        assert_eq!(span(2 * 86_400_000 - 1), "47 h 59 min 59 s");
        assert_eq!(span(90 * 86_400_000 - 1), "90 days");
    }
}
