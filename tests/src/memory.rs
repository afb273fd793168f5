//! The memory of live processes, and whether secrets can be found in it, whole or in pieces.
//!
//! Everything that a process can read is searched: heap, stacks, data, and what is mapped. A secret counts as
//! found if eight bytes of it are, wherever they begin: freed memory is partly written over by the allocator,
//! and by whatever gets it next. The forms are those in which the cryptography of this workspace works with
//! a secret; each would be as good as the secret itself.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use rustix::process::Signal;
use sha2::block_api::compress256;
use subrosa_protocol::encoding::hex;

use crate::{
    eavesdropper::encodings,
    processes::{signal, until},
};

/// A piece of a secret that is found has at least this many bytes.
const PIECE_BYTES: usize = 8;
/// A piece of a text that encodes a secret, at 6 bits for each character or 4.
const TEXT_PIECE_BYTES: usize = 12;
/// A page of memory.
const PAGE_BYTES: usize = 4096;
/// What the probe has XORed each byte with: `subrosa_protocol::exposure::MASK` of its build.
const MASK: u8 = 0xA5;

/// A secret that a probe has told.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret {
    /// What it is.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Secret {
    /// All secrets that are told in this file up to now, each once.
    pub fn told_in(file: &Path) -> Vec<Self> {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut all: Vec<Self> = Vec::new();
        for line in text.lines() {
            let (name, masked) = line.split_once(' ').unwrap();
            let bytes = masked
                .as_bytes()
                .chunks(2)
                .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap() ^ MASK);
            let secret = Self { name: name.to_owned(), bytes: bytes.collect() };
            match all.iter_mut().find(|told| told.bytes == secret.bytes) {
                // A private key is told as random bytes first.
                Some(told) => told.name = secret.name,
                None => all.push(secret),
            }
        }
        all
    }

    /// What to look for: a form's name, and the pieces of which any will do.
    fn pieces(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut pieces = Vec::new();
        let mut add = |form, bytes: &[u8], length, step| {
            pieces.extend(bytes.windows(length).step_by(step).map(|piece| (form, piece.to_vec())));
        };
        for (form, pad) in [("raw", 0), ("inner key", 0x36), ("outer key", 0x5C)] {
            // HMAC's padded keys (RFC 2104, section 2), and raw.
            let bytes: Vec<u8> = self.bytes.iter().map(|byte| byte ^ pad).collect();
            add(form, &bytes, PIECE_BYTES, 1);
            // As SHA-256 reads a block: words whose highest byte comes first.
            for skipped in 0..4 {
                let words: Vec<u8> =
                    bytes[skipped..].chunks_exact(4).flat_map(|word| word.iter().rev().copied()).collect();
                add("hash's words", &words, PIECE_BYTES, 4);
            }
        }
        for (form, text) in encodings(&self.bytes) {
            if form != "raw" && !form.contains("JSON") {
                add(form, &text, TEXT_PIECE_BYTES, 1);
            }
        }
        if let Ok(bytes) = <[u8; 32]>::try_from(self.bytes.as_slice()) {
            add("scalar's digits", &digits(bytes), 2 * PIECE_BYTES, 1);
            add("field's limbs", &limbs(bytes), PIECE_BYTES, PIECE_BYTES);
            for (form, pad) in [("inner state", 0x36), ("outer state", 0x5C)] {
                add(form, &state(bytes, pad), PIECE_BYTES, 4);
            }
        }
        pieces
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, hex(&self.bytes[..4]))
    }
}

/// A scalar as curve25519-dalek multiplies the base point by it: clamped (RFC 7748, section 5), in 64 signed
/// digits of radix 16.
fn digits(mut scalar: [u8; 32]) -> Vec<u8> {
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    let mut digits: Vec<i8> =
        scalar.iter().flat_map(|byte| [byte & 15, byte >> 4]).map(u8::cast_signed).collect();
    for at in 0..63 {
        let carry = (digits[at] + 8) >> 4;
        digits[at] -= carry << 4;
        digits[at + 1] += carry;
    }
    digits.into_iter().map(i8::cast_unsigned).collect()
}

/// A coordinate as curve25519-dalek calculates with it: five limbs of 51 bits.
fn limbs(coordinate: [u8; 32]) -> Vec<u8> {
    let bits = |from: usize| {
        let bytes = (0..8).map(|at| u64::from(*coordinate.get(from / 8 + at).unwrap_or(&0)) << (8 * at));
        (bytes.sum::<u64>() >> (from % 8)) & ((1 << 51) - 1)
    };
    [0, 51, 102, 153, 204].into_iter().flat_map(|from| bits(from).to_ne_bytes()).collect()
}

/// SHA-256's state after the first block of HMAC under this key: it does for the key.
fn state(key: [u8; 32], pad: u8) -> Vec<u8> {
    let mut state = [
        0x6A09_E667,
        0xBB67_AE85,
        0x3C6E_F372,
        0xA54F_F53A,
        0x510E_527F,
        0x9B05_688C,
        0x1F83_D9AB,
        0x5BE0_CD19,
    ];
    let mut block = [pad; 64];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    compress256(&mut state, &[block]);
    state.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// A piece of a secret that was found.
#[derive(Debug)]
pub struct Finding {
    /// Of which secret.
    pub secret: Secret,
    /// In which form.
    pub form: &'static str,
    /// Where: the region's name, and the address.
    pub place: String,
    /// Where the last piece in one run begins.
    end: u64,
}

/// What follows a piece's first bytes, and what it is a piece of.
type Pieces = Vec<(Vec<u8>, &'static str, Secret)>;

/// What is searched for.
pub struct Search {
    pieces: HashMap<[u8; PIECE_BYTES], Pieces>,
    /// By the first two bytes, whether a piece can begin here: most memory is passed over by this alone.
    begins: Vec<bool>,
}

impl Search {
    /// A search for these.
    pub fn of(secrets: &[Secret]) -> Self {
        let mut search = Self { pieces: HashMap::new(), begins: vec![false; 1 << 16] };
        for secret in secrets {
            for (form, piece) in secret.pieces() {
                search.begins[usize::from(u16::from_ne_bytes([piece[0], piece[1]]))] = true;
                let begin = *piece.first_chunk().unwrap();
                search.pieces.entry(begin).or_default().push((piece, form, secret.clone()));
            }
        }
        search
    }

    /// What of them is in this process, which stands still meanwhile.
    pub async fn in_process(&self, pid: u32) -> Vec<Finding> {
        signal(pid, Signal::STOP);
        until("all threads stand still", || threads(pid).all(|state| state == 'T')).await;
        let findings = self.in_memory(pid);
        signal(pid, Signal::CONT);
        findings
    }

    fn in_memory(&self, pid: u32) -> Vec<Finding> {
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let mut findings = Vec::new();
        for region in fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
            let mut columns = region.split_ascii_whitespace();
            let (range, mode) = (columns.next().unwrap(), columns.next().unwrap());
            let name = columns.nth(3).unwrap_or("anonymous");
            // What comes from a file and cannot be written is the program; the kernel's own cannot be read.
            let is_constant = name.starts_with('/') && !mode.starts_with("rw");
            if !mode.starts_with('r') || is_constant || name.starts_with("[v") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            memory.read_exact_at(&mut bytes, start).unwrap();
            self.in_bytes(&bytes, |at, secret, form| {
                let address = start + u64::try_from(at).unwrap();
                let is_new = |last: &Finding| last.secret != *secret || address - last.end > 1;
                match findings.last_mut() {
                    Some(last) if !is_new(last) => last.end = address,
                    _ => findings.push(Finding {
                        secret: secret.clone(),
                        form,
                        place: format!("{name} at {address:x}"),
                        end: address,
                    }),
                }
            });
        }
        findings
    }

    fn in_bytes(&self, bytes: &[u8], mut found: impl FnMut(usize, &Secret, &'static str)) {
        let last = bytes.len() - PIECE_BYTES;
        for page in (0..bytes.len()).step_by(PAGE_BYTES) {
            let end = (page + PAGE_BYTES).min(bytes.len());
            // Most pages were never touched.
            if bytes[page..end] == [0; PAGE_BYTES][..end - page] {
                continue;
            }
            let mut at = page;
            while at < end && at <= last {
                if self.begins[usize::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]))] {
                    for (piece, form, secret) in
                        self.pieces.get(&bytes[at..at + PIECE_BYTES]).into_iter().flatten()
                    {
                        if bytes[at..].starts_with(piece) {
                            found(at, secret, form);
                        }
                    }
                }
                at += 1;
            }
        }
    }
}

fn threads(pid: u32) -> impl Iterator<Item = char> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    })
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::id::Sha256Hash;

    use super::*;

    fn secret() -> Secret {
        Secret { name: "secret".to_owned(), bytes: (1..=32).map(|n: u8| n.wrapping_mul(151)).collect() }
    }

    fn key() -> [u8; 32] {
        secret().bytes.try_into().unwrap()
    }

    #[test]
    fn each_piece_is_found_wherever_it_lies_and_nothing_else() {
        let search = Search::of(&[secret()]);
        let found_in = |bytes: &[u8]| {
            let mut found = Vec::new();
            search.in_bytes(bytes, |at, _, form| found.push((at, form)));
            found
        };
        for (form, piece) in secret().pieces() {
            for at in [0, 5, PAGE_BYTES - 3, 3 * PAGE_BYTES - piece.len()] {
                let mut memory = vec![0; 3 * PAGE_BYTES];
                memory[at..at + piece.len()].copy_from_slice(&piece);
                assert!(found_in(&memory).contains(&(at, form)), "{form} at {at}");
                memory[at + PIECE_BYTES / 2] ^= 1;
                assert!(!found_in(&memory).contains(&(at, form)), "{form} at {at}, spoilt");
            }
        }
    }

    #[test]
    fn digits_are_worth_the_clamped_scalar() {
        let mut value = [0_u8; 32];
        let mut carry = 0;
        for (byte, pair) in value.iter_mut().zip(digits(key()).chunks(2)) {
            let [low, high] = [pair[0], pair[1]].map(|digit| i32::from(digit.cast_signed()));
            assert!((-8..=8).contains(&low) && (-8..=8).contains(&high));
            let sum = low + 16 * high + carry;
            *byte = u8::try_from(sum.rem_euclid(256)).unwrap();
            carry = sum.div_euclid(256);
        }
        let mut clamped = key();
        clamped[0] &= 248;
        clamped[31] = clamped[31] & 127 | 64;
        assert_eq!((value, carry), (clamped, 0));
    }

    #[test]
    fn limbs_are_worth_the_coordinate() {
        let limbs = limbs(key());
        let limbs = limbs.as_chunks().0.iter().map(|limb| u64::from_ne_bytes(*limb));
        let bits = limbs.flat_map(|limb| (0..51).map(move |bit| limb >> bit & 1 == 1));
        for (at, bit) in bits.enumerate() {
            assert_eq!(bit, key()[at / 8] >> (at % 8) & 1 == 1, "bit {at}");
        }
    }

    #[test]
    fn states_are_half_way_to_the_hash() {
        let block: Vec<u8> = key().into_iter().chain([0; 32]).map(|byte| byte ^ 0x36).collect();
        let state = state(key(), 0x36);
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(state.as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        // The padding of a message of 512 bits.
        let mut padding = [0; 64];
        (padding[0], padding[62]) = (0x80, 2);
        compress256(&mut words, &[padding]);
        assert_eq!(words.map(u32::to_be_bytes).as_flattened(), Sha256Hash::of(block).0);
    }
}
