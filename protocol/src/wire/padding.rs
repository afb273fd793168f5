//! Padmé: lengths leak at most O(log log n) bits, for at most 12 % more bytes
//! (Nikitin et al., *Reducing Metadata Leakage from Encrypted Files and Communication with PURBs*,
//! section 4).

/// Nothing is padded to less than this, in bytes.
const MIN_BYTES: usize = 256;

/// The length that a plaintext of `length` bytes is padded to.
pub(crate) fn padded(length: usize) -> usize {
    let length = length.max(MIN_BYTES);
    let exponent = length.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - mantissa_bits)) - 1;
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lengths() {
        for (length, expected) in [
            (0, 256),
            (255, 256),
            (256, 256),
            (257, 272),
            (1000, 1024),
            (1025, 1088),
            (65_535, 65_536),
            (65_536, 65_536),
            (65_537, 67_584),
            (1_000_000, 1_015_808),
        ] {
            assert_eq!(padded(length), expected, "{length}");
        }
    }

    #[test]
    fn it_never_shortens_and_costs_at_most_12_percent() {
        for length in 256..100_000 {
            let padded = padded(length);
            assert!(padded >= length && padded * 100 <= length * 112, "{length}");
            assert_eq!(super::padded(padded), padded, "{length}");
        }
    }
}
