//! Durations and sizes as people write them.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

const DURATION: &str = "a duration is a number and a unit out of ms, s, m, h and d, as \"30s\"";
const SIZE: &str =
    "a size is a number of bytes, or a number and a unit out of KiB, MiB and GiB, as \"512MiB\"";
/// 100 years. NATS counts nanoseconds in 63 bits.
const MAX_SECONDS: u64 = 100 * 365 * 86_400;

/// A duration: a number and a unit, `"30s"`, `"10m"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Humane(pub(super) Duration);

impl Humane {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let duration = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            _ => return None,
        };
        (duration.as_secs() <= MAX_SECONDS).then_some(Self(duration))
    }
}

impl<'de> Deserialize<'de> for Humane {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).ok_or_else(|| D::Error::custom(DURATION))
    }
}

/// A number of bytes, or a text such as `"512MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let shift = match unit {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        number.checked_mul(1 << shift).and_then(Self::positive)
    }

    /// NATS counts bytes in 63 bits, and 0 means no limit there.
    fn positive(bytes: u64) -> Option<Self> {
        (bytes > 0 && i64::try_from(bytes).is_ok()).then_some(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size")
            }

            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).ok().and_then(Size::positive).ok_or_else(|| E::custom(SIZE))
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Size, E> {
                Size::positive(bytes).ok_or_else(|| E::custom(SIZE))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::custom(SIZE))
            }
        }

        from.deserialize_any(Visitor)
    }
}

/// A number of at most 15 digits, and what follows it.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    if digits > 15 {
        return None;
    }
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let second = Duration::from_secs(1);
        for (text, duration) in [
            ("250ms", second / 4),
            ("30s", 30 * second),
            ("10 m", 600 * second),
            ("2h", 7200 * second),
            ("7d", 604_800 * second),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(Humane::parse(text), Some(Humane(duration)), "{text}");
        }
        for bad in ["", "s", "30", "-1s", "1.5s", "1w", "1s2", "9999999999999999s", "999999999999d", "٣s"] {
            assert_eq!(Humane::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(Size::parse("512MiB"), Some(Size(512 << 20)));
        assert_eq!(Size::parse("1 GiB"), Some(Size(1 << 30)));
        for bad in ["", "0MiB", "1MB", "1", "-1KiB", "999999999999999GiB"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }
}
