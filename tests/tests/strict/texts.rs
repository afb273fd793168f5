//! JSON that two readers could understand in two ways, or that costs more than it should.

use serde_json::Value;

use crate::readers::{Reader, all};

const MAX_DEPTH: usize = 16;

/// The good text with a member in front.
fn and(good: &str, member: &str) -> Vec<u8> {
    good.replacen('{', &format!("{{{member},"), 1).into_bytes()
}

fn nested(depth: usize) -> String {
    ["[".repeat(depth), "]".repeat(depth)].concat()
}

/// The first member as it is written, and its name with an escape in it.
fn first(good: &Value) -> (String, String) {
    let (name, value) = good.as_object().unwrap().iter().next().unwrap();
    let escaped = format!("\\u{:04x}{}", name.chars().next().unwrap() as u32, &name[1..]);
    (format!("{name:?}:{value}"), escaped)
}

/// Texts that nobody may take.
fn hostile(good: &Value) -> Vec<Vec<u8>> {
    let text = good.to_string();
    let (member, escaped) = first(good);
    let (_, value) = member.split_once(':').unwrap();
    let mut texts = Vec::new();
    for more in [
        // A member twice, also where nobody looks, and in two spellings.
        &member,
        &format!("\"{escaped}\":{value}"),
        r#""zz":1,"zz":1"#,
        r#""zz":{"a":1,"a":1}"#,
        r#""zz":[[{"a":1,"\u0061":1}]]"#,
        // Surrogates without their other half, and in the wrong order.
        r#""zz":"\ud800""#,
        r#""zz":"\udfff""#,
        r#""zz":["\ud800x"]"#,
        r#""zz":"\udc00\ud800""#,
        r#""\ud800":1"#,
        // One level too deep; and much.
        &format!("\"zz\":{}", nested(MAX_DEPTH)),
        &format!("\"zz\":{}", nested(500)),
        r#""zz":[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]"#,
        // No JSON, in one member.
        r#""zz":01"#,
        r#""zz":+1"#,
        r#""zz":.5"#,
        r#""zz":1."#,
        r#""zz":0x1"#,
        r#""zz":1e999"#,
        r#""zz":NaN"#,
        r#""zz":undefined"#,
        r#""zz":'a'"#,
        r#""zz":"\x41""#,
        "\"zz\":\"\n\"",
        "\"zz\":\"\0\"",
        "/* why */ \"zz\":1",
        "zz:1",
        ",\"zz\":1",
    ] {
        texts.push(and(&text, more));
    }
    // Not UTF-8: a lone byte, a surrogate, and a NUL in two bytes.
    for bytes in [&b"\xFF"[..], b"\xED\xA0\x80", b"\xC0\x80"] {
        texts.push([br#"{"zz":""#, bytes, br#"","#, &text.as_bytes()[1..]].concat());
    }
    // Something around it.
    for after in ["{}", "x", "\0", ",", "]", "\u{FEFF}", "\u{A0}"] {
        texts.push(format!("{text}{after}").into_bytes());
    }
    for before in ["\u{FEFF}", "[", ",", "\0"] {
        texts.push(format!("{before}{text}").into_bytes());
    }
    texts.push(text.replace('}', ",}").into_bytes());
    texts.push(text.trim_end_matches('}').as_bytes().to_vec());
    // Something else in its place: of an object, its values.
    let values: Vec<&Value> = good.as_object().unwrap().values().collect();
    texts.push(serde_json::to_vec(&values).unwrap());
    texts.push(format!("[{text}]").into_bytes());
    texts.push(serde_json::to_vec(&text).unwrap());
    for other in ["", " ", "null", "[]", "0", "\"\"", "true"] {
        texts.push(other.as_bytes().to_vec());
    }
    texts
}

/// The same object in other words, and with more that does not matter.
fn harmless(reader: &Reader) -> Vec<Vec<u8>> {
    let text = reader.good.to_string();
    let (member, escaped) = first(&reader.good);
    let (name, _) = member.split_once(':').unwrap();
    let mut texts = vec![
        format!(" \t\r\n{text}\n\n").into_bytes(),
        text.replacen(name, &format!("\"{escaped}\""), 1).into_bytes(),
        serde_json::to_vec_pretty(&reader.good).unwrap(),
    ];
    if reader.ignores {
        for more in [
            r#""zz":null"#,
            r#""zz":[-1,1.5,1e300,123456789012345678901234567890,true,""]"#,
            r#""zz":"\ud83d\ude00 \u0000 \/""#,
            r#""zz":{"a":{"a":1},"b":{"a":1},"A":1,"":1}"#,
            &format!("\"zz\":{}", nested(MAX_DEPTH - 1)),
        ] {
            texts.push(and(&text, more));
        }
    }
    texts
}

#[test]
fn hostile_json_is_refused_by_everyone() {
    for reader in all() {
        for text in hostile(&reader.good) {
            let shown = String::from_utf8_lossy(&text);
            assert!(!(reader.takes)(&text), "{} takes {shown}", reader.name);
        }
    }
}

#[test]
fn harmless_json_is_taken_by_everyone() {
    for reader in all() {
        for text in harmless(&reader) {
            let shown = String::from_utf8_lossy(&text);
            assert!((reader.takes)(&text), "{} refuses {shown}", reader.name);
        }
    }
}
