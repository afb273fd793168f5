//! Somebody else's text, and times, for people who are to believe what they see.

use jiff::Timestamp;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Looks like what it is.
    Plain(&'a str),
    /// Cannot be seen, or changes how what is around it looks.
    Odd(char),
}

/// The text in pieces, so that nothing in it hides.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for part in text.split_inclusive(is_odd) {
        let odd = part.chars().next_back().filter(|c| is_odd(*c));
        let plain = odd.map_or(part, |odd| part.strip_suffix(odd).unwrap_or(part));
        pieces.extend((!plain.is_empty()).then_some(Piece::Plain(plain)));
        pieces.extend(odd.map(Piece::Odd));
    }
    pieces
}

/// The text for a terminal: what is odd is named.
pub(super) fn visible(text: &str) -> String {
    pieces(text).iter().map(Piece::to_string).collect()
}

impl std::fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Odd(c) => write!(f, "[U+{:04X}]", u32::from(*c)),
        }
    }
}

/// Control characters, those that change the direction of what is around them, and those that nobody sees.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A time in Unix milliseconds, the same for every reader.
pub(super) fn utc(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_named() {
        assert_eq!(visible("plain, ä and 日本"), "plain, ä and 日本");
        assert_eq!(visible("a\u{202e}b\u{200b}\n"), "a[U+202E]b[U+200B][U+000A]");
        assert_eq!(visible("\u{1b}[31m"), "[U+001B][31m");
        assert_eq!(pieces("\u{2066}x"), [Piece::Odd('\u{2066}'), Piece::Plain("x")]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn times_are_universal() {
        assert_eq!(utc(1_800_000_000_000), "2027-01-15 08:00:00 UTC");
        assert_eq!(utc(u64::MAX), "?");
    }
}
