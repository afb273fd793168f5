//! Integers and base64url in another spelling than their one.

use crate::readers::all;

/// No integers of the protocol, wherever one belongs. Some are JSON, some are not even that.
const NO_INTEGERS: [&str; 24] = [
    "-1",
    "-0",
    "1.0",
    "1.5",
    "0.0",
    "1e0",
    "1E0",
    "1e3",
    "10e-1",
    "9007199254740992",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e400",
    "01",
    "+1",
    "0x1",
    "1_0",
    "\"1\"",
    "null",
    "true",
    "[1]",
    "{}",
    "NaN",
];

#[test]
fn integers_have_one_spelling_for_everyone() {
    let mut members = 0;
    for reader in all() {
        for pointer in reader.integers {
            for bad in NO_INTEGERS {
                let text = reader.replaced(pointer, bad);
                assert!(!(reader.takes)(text.as_bytes()), "{} takes {pointer} {bad}", reader.name);
            }
            members += 1;
        }
    }
    assert_eq!(members, 26, "a reader or a member is missing here");
}

#[test]
fn nothing_is_null_but_what_comes_before_the_first_record() {
    for reader in all() {
        for name in reader.good.as_object().unwrap().keys().filter(|name| *name != "prev") {
            let text = reader.replaced(&format!("/{name}"), "null");
            assert!(!(reader.takes)(text.as_bytes()), "{} takes {text}", reader.name);
        }
    }
}

/// Other spellings of the bytes that `good` is.
fn spoilt(good: &str) -> Vec<String> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut texts = vec![
        format!("{good}="),
        format!("{good}=="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\\n"),
        format!("{}\\r\\n{}", &good[..4], &good[4..]),
        format!("{}.{}", &good[..4], &good[5..]),
        format!("{}+{}", &good[..4], &good[5..]),
        format!("{}/{}", &good[..4], &good[5..]),
        format!("{}ä{}", &good[..4], &good[6..]),
        format!("{}\\u0000{}", &good[..4], &good[5..]),
        "A".to_owned(),
    ];
    // The bits of the last character that belong to no byte: all of their other values.
    let unused = match good.len() % 4 {
        2 => 16,
        3 => 4,
        _ => 1,
    };
    let last = ALPHABET.find(good.chars().last().unwrap()).unwrap();
    for bits in 1..unused {
        let other = ALPHABET.as_bytes()[last / unused * unused + (last + bits) % unused];
        texts.push(format!("{}{}", &good[..good.len() - 1], other as char));
    }
    texts
}

/// Another number of bytes than `good` has.
fn resized(good: &str) -> Vec<String> {
    vec![
        String::new(),
        good[1..].to_owned(),
        format!("{good}A"),
        format!("{good}AAAA"),
        "A".repeat(100),
        "A".repeat(100_000),
    ]
}

#[test]
fn base64url_has_one_spelling_for_everyone() {
    let (mut members, mut texts) = (0, 0);
    for reader in all() {
        for pointer in reader.base64 {
            let good = reader.good.pointer(pointer).unwrap().as_str().unwrap();
            // A request may have any length here. Whether it is one, its reader says.
            let resized = if *pointer == "/request" { Vec::new() } else { resized(good) };
            for bad in spoilt(good).into_iter().chain(resized) {
                let text = reader.replaced(pointer, &format!("\"{bad}\""));
                assert!(!(reader.takes)(text.as_bytes()), "{} takes {pointer} {bad:.100}", reader.name);
                texts += 1;
            }
            for bad in ["1", "[]", "{}", "true"] {
                let text = reader.replaced(pointer, bad);
                assert!(!(reader.takes)(text.as_bytes()), "{} takes {pointer} {bad}", reader.name);
            }
            members += 1;
        }
    }
    assert_eq!(members, 29, "a reader or a member is missing here");
    assert!(texts > 18 * members, "no unused bits are tried");
}
