//! Writing HTML so that no text can become markup: text gets in escaped, and no other way.

use super::super::text::{Piece, pieces};

/// A part of a page. There is no making one of a string as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Text of the program's own, or of names and numbers that have only harmless characters.
    pub(super) fn text(text: impl ToString) -> Self {
        let mut html = Self::default();
        html.push_escaped(&text.to_string());
        html
    }

    /// Somebody else's text: kept from what is around it, with everything named that cannot be seen.
    pub(super) fn foreign(text: &str) -> Self {
        let pieces = pieces(text).into_iter().map(|piece| match piece {
            Piece::Plain(plain) => Self::text(plain),
            Piece::Odd(_) => Self::element("span", "odd", [Self::text(piece)]),
        });
        Self::element("bdi", "", pieces)
    }

    /// An element of this class, if one is named.
    pub(super) fn element(
        name: &'static str,
        class: &'static str,
        children: impl IntoIterator<Item = Self>,
    ) -> Self {
        let class = if class.is_empty() { Vec::new() } else { vec![("class", class)] };
        Self::with(name, &class, children)
    }

    /// An element with these attributes.
    pub(super) fn with(
        name: &'static str,
        attributes: &[(&'static str, &str)],
        children: impl IntoIterator<Item = Self>,
    ) -> Self {
        let mut html = Self::open(name, attributes);
        children.into_iter().for_each(|child| html.0.push_str(&child.0));
        html.0.push_str(&format!("</{name}>"));
        html
    }

    /// An element that has no content and no end, such as `meta`.
    pub(super) fn open(name: &'static str, attributes: &[(&'static str, &str)]) -> Self {
        let mut html = Self(format!("<{name}"));
        for (attribute, value) in attributes {
            html.0.push_str(&format!(" {attribute}=\""));
            html.push_escaped(value);
            html.0.push('"');
        }
        html.0.push('>');
        html
    }

    /// A style sheet of the program's own, byte for byte.
    pub(super) fn style(sheet: &'static str) -> Self {
        Self(format!("<style>{sheet}</style>"))
    }

    /// The whole page.
    pub(super) fn into_page(self) -> String {
        format!("<!doctype html>\n{}\n", self.0)
    }

    fn push_escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_wherever_it_stands() {
        let hostile = r#"</title><script>alert("'&")</script>"#;
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(&quot;&#39;&amp;&quot;)&lt;/script&gt;";
        assert_eq!(Html::text(hostile).0, escaped);
        assert_eq!(Html::element("p", "", [Html::text(hostile)]).0, format!("<p>{escaped}</p>"));
        assert_eq!(Html::open("meta", &[("content", hostile)]).0, format!(r#"<meta content="{escaped}">"#));
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        let html = Html::foreign("<\u{202e}b").0;
        assert_eq!(html, r#"<bdi>&lt;<span class="odd">[U+202E]</span>b</bdi>"#);
    }
}
