use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn value(text: &str) -> Result<Value, JsonError> {
    parse(text.as_bytes())
}

fn nested(depth: usize, open: &str, inner: &str, close: &str) -> String {
    [open.repeat(depth).as_str(), inner, close.repeat(depth).as_str()].concat()
}

#[test]
fn duplicates_are_refused_at_every_depth() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":{},"a":2}"#,
        r#"{"x":[{"y":{"a":null,"a":null}}]}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"a":2}"#,
    ] {
        assert_eq!(value(text), Err(JsonError::Duplicate { member: "a".to_owned() }), "{text}");
    }
    assert!(value(r#"{"a":{"a":{"a":1}},"b":{"a":2},"A":3,"":4}"#).is_ok());
}

#[test]
fn members_that_nobody_reads_are_checked_too() {
    #[derive(Debug, Deserialize)]
    struct Known {
        a: Int,
    }

    assert_eq!(parse::<Known>(br#"{"a":1,"more":{"b":[true,null,"",-1,1.5]}}"#).unwrap().a.get(), 1);
    for text in [
        r#"{"a":1,"more":{"b":1,"b":2}}"#.to_owned(),
        r#"{"a":1,"more":"\ud800"}"#.to_owned(),
        format!(r#"{{"a":1,"more":{}}}"#, nested(MAX_DEPTH, "[", "", "]")),
    ] {
        assert!(parse::<Known>(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn lone_surrogates_are_refused() {
    for text in [
        r#""\ud800""#,
        r#""\udfff""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\ud800\ud800""#,
        r#""\udc00\ud800""#,
        r#"{"\ud800":1}"#,
        r#"[["\udbff"]]"#,
    ] {
        assert!(matches!(value(text), Err(JsonError::NotJson { .. })), "{text}");
    }
    assert_eq!(value(r#""\ud83d\ude00""#), Ok(Value::from("😀")));
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for bytes in [b"\"\xFF\"".as_slice(), b"\"\xED\xA0\x80\"", b"\"\xC0\x80\"", b"\xEF\xBB\xBF1", b"\xFF"] {
        assert!(matches!(parse::<Value>(bytes), Err(JsonError::NotJson { .. })), "{bytes:?}");
    }
}

#[test]
fn depth_is_limited() {
    assert!(value("0").is_ok());
    for (open, inner, close) in [("[", "1", "]"), (r#"{"a":"#, "1", "}"), ("[", "{}", "]")] {
        let deepest = if inner == "{}" { MAX_DEPTH - 1 } else { MAX_DEPTH };
        assert!(value(&nested(deepest, open, inner, close)).is_ok(), "{open}");
        assert_eq!(value(&nested(deepest + 1, open, inner, close)), Err(JsonError::TooDeep), "{open}");
    }
    assert_eq!(value(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
}

#[test]
fn nothing_may_follow() {
    for text in ["{}{}", "1 2", "{} x", "null,", "[1,]", "", " ", "nul", "{\"a\":1", "'a'", "{}\0"] {
        assert!(matches!(value(text), Err(JsonError::NotJson { .. })), "{text}");
    }
    assert!(value(" {\n\t} \r\n").is_ok());
}

#[test]
fn integers_have_no_fraction_and_no_exponent() {
    let int = |text: &str| parse::<Int>(text.as_bytes()).map(Int::get);
    assert_eq!(int("0"), Ok(0));
    assert_eq!(int("9007199254740991"), Ok((1 << 53) - 1));
    for text in [
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "-0",
        "1.0",
        "1e3",
        "1E0",
        "0.5",
        "\"1\"",
        "null",
        "true",
        "[1]",
    ] {
        let error = int(text).unwrap_err().to_string();
        assert!(
            error.contains("expected an integer from 0 to 2^53-1 without fraction or exponent"),
            "{error}"
        );
    }
    for text in ["01", "+1", "1.", "0x1", "1e999"] {
        assert!(matches!(int(text), Err(JsonError::NotJson { .. })), "{text}");
    }
}

#[test]
fn integers_are_written_as_they_are_read() {
    assert_eq!(Int::try_from(Int::MAX.get()), Ok(Int::MAX));
    assert_eq!(Int::try_from(1_u64 << 53), Err(IntError));
    assert_eq!(to_vec(&[Int::from(7), Int::MAX]), b"[7,9007199254740991]");
    assert_eq!(format!("{} {:?}", Int::from(7), Int::from(7)), "7 Int(7)");
}

#[test]
fn missing_members_are_named() {
    #[derive(Debug, Deserialize)]
    struct Two {
        _a: Int,
        #[serde(deserialize_with = "nullable")]
        b: Option<Int>,
    }

    let error = |text: &str| parse::<Two>(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error(r#"{"b":1}"#), "has no member `_a`");
    assert_eq!(error(r#"{"_a":1}"#), "has no member `b`");
    assert_eq!(parse::<Two>(br#"{"_a":1,"b":null}"#).unwrap().b, None);
}

#[test]
fn structs_are_objects() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        a: Int,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Newtype(Inner);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Variants {
        Unit,
        Newtype(Inner),
        Tuple(Int, Inner),
        Struct { a: Int },
    }

    type Members = std::collections::BTreeMap<String, Inner>;

    fn accepts<T: for<'de> Deserialize<'de>>(text: &str) -> bool {
        let lenient = serde_json::from_str::<T>(text).is_ok();
        let strict = parse::<T>(text.as_bytes()).is_ok();
        // The arrays are what serde_json alone would take.
        assert!(lenient, "{text}");
        strict
    }

    let (object, array) = (r#"{"a":1}"#, "[1]");
    assert_eq!(parse::<Inner>(object.as_bytes()), Ok(Inner { a: Int::from(1) }));
    for (inner, expected) in [(object, true), (array, false)] {
        assert_eq!(accepts::<Inner>(inner), expected);
        assert_eq!(accepts::<Newtype>(inner), expected);
        assert_eq!(accepts::<Option<Inner>>(inner), expected);
        assert_eq!(accepts::<Vec<Inner>>(&format!("[{inner}]")), expected);
        assert_eq!(accepts::<(Int, Inner)>(&format!("[1,{inner}]")), expected);
        assert_eq!(accepts::<Members>(&format!(r#"{{"x":{inner}}}"#)), expected);
        assert_eq!(accepts::<Variants>(&format!(r#"{{"newtype":{inner}}}"#)), expected);
        assert_eq!(accepts::<Variants>(&format!(r#"{{"tuple":[1,{inner}]}}"#)), expected);
        assert_eq!(accepts::<Variants>(&format!(r#"{{"struct":{inner}}}"#)), expected);
    }
    assert!(accepts::<Variants>("\"unit\"") && accepts::<Option<Inner>>("null"));
}

/// What is sealed or private must not come to light in a log.
#[test]
fn errors_do_not_repeat_values() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct All {
        _number: Option<u8>,
        _word: Option<Word>,
        _tuple: Option<(u8, u8)>,
        _address: Option<std::net::IpAddr>,
        _hash: Option<crate::id::Sha256Hash>,
        _name: Option<crate::id::WorkerName>,
        _character: Option<char>,
    }

    for (text, expected) in [
        (r#"{"_number":"hunter2"}"#, "does not fit: expected u8 at line 1 column 20"),
        (r#"{"_word":"hunter2"}"#, "does not fit: expected `one` or `two` at line 1 column 18"),
        (r#"{"_number":"hunter2, expected hunter2"}"#, "does not fit: expected u8 at line 1 column 38"),
        (r#"{"_number":"hunter2\", expected u8"}"#, ""),
        (r#"{"_word":"`hunter2`, expected `"}"#, ""),
        (r#"{"_tuple":["hunter2",1]}"#, ""),
        (r#"{"_address":"hunter2"}"#, ""),
        (r#"{"_hash":"hunter2"}"#, ""),
        (r#"{"_name":"missing field `hunter2`"}"#, ""),
        (r#"{"_character":"hunter2"}"#, ""),
        (r#"{"hunter2":1}"#, ""),
        (r#"{"_number":hunter2}"#, "is not JSON: expected value at line 1 column 12"),
        ("\"hunter2", "is not JSON: EOF while parsing a string at line 1 column 8"),
        ("\"hunter2\u{1}\"", ""),
        ("\"hunter2\"", ""),
    ] {
        let error = parse::<All>(text.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error}");
        assert!(expected.is_empty() || error.to_string() == expected, "{text}: {error}");
    }
    let _ = (Word::One, Word::Two);
}

#[test]
fn a_duplicate_name_is_shortened_and_escaped() {
    let long = format!(r#"{{"\n{0}":1,"\n{0}":2}}"#, "x".repeat(1000));
    let Err(JsonError::Duplicate { member }) = value(&long) else { panic!("not refused") };
    assert_eq!(member, format!("\\n{}", "x".repeat(MAX_NAME_CHARS - 1)));
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_agrees_with_serde_json_on_good_documents(document in document()) {
        let text = serde_json::to_vec_pretty(&document).unwrap();
        prop_assert_eq!(parse::<Value>(&text).unwrap(), serde_json::from_slice::<Value>(&text).unwrap());
    }

    #[test]
    fn what_it_takes_serde_json_takes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = parse::<Value>(&bytes) {
            prop_assert_eq!(value, serde_json::from_slice::<Value>(&bytes).unwrap());
        }
    }

    #[test]
    fn nothing_json_like_makes_it_panic(text in r#"([\[\]{}:,"\\ud8c0-9aeE.+-]|true|null|"a":){0,40}"#) {
        if let Ok(read) = value(&text) {
            prop_assert_eq!(read, serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn damage_does_not_make_it_panic(document in document(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut text = serde_json::to_vec(&document).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = parse::<Value>(&text);
    }
}
