//! A worker that proves that a secret number lies between 0 and 100, without showing the number.
//!
//! The client's options name what the proof is to be bound to, its payload is the number. It gets a
//! commitment to the number (32 bytes) and a proof (449 bytes), which anyone can [`verify`] and nobody can
//! turn back into the number.
//!
//! # Why it holds
//!
//! The commitment is `C = value·H + blinding·G`, where nobody knows how `G` and `H` relate. It hides the value
//! perfectly, and its maker can open it in one way only. The proof says: *I can open `C` and `D` to numbers of
//! eight bits*, where `D = 100·H − C` is what the verifier computes itself. Were these numbers `v` and `w`,
//! then `C + D = 100·H` makes `v + w = 100` in the group's order. Both are at most 255, so nothing wraps, and
//! the sum is 100 among the integers. As `w` is not negative, `v` is at most 100.
//!
//! The label, the largest value and this program's name go into the transcript that all challenges come from:
//! a proof holds for its label only.
//!
//! # What it does not do
//!
//! The proof says nothing about where the number comes from. And the library's prover takes a time that
//! depends on the number, a little: do not let strangers measure it on a secret that matters.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use serde::{Deserialize, Serialize};
use subrosa_telemetry::Telemetry;
use subrosa_worker::{Done, Failure, Job, Launched};
use tari_bulletproofs_plus::{
    Transcript,
    commitment_opening::CommitmentOpening,
    errors::ProofError,
    generators::pedersen_gens::ExtensionDegree,
    range_parameters::RangeParameters,
    range_proof::VerifyAction,
    range_statement::RangeStatement,
    range_witness::RangeWitness,
    ristretto::{RistrettoRangeProof, create_pedersen_gens_with_extension_degree},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// The largest value that can be proven.
pub const MAX_VALUE: u8 = 100;

/// Both numbers of a proof have at most this many bits.
const BITS: usize = 8;

/// The size of a proof, in bytes.
const PROOF_BYTES: usize = 449;

/// Serves [`run`] as the worker `create-proof`, as the environment says; with the argument `health`, asks whether
/// such a worker is well.
///
/// # Errors
///
/// Why the process cannot go on; a job that fails does not end it.
#[tokio::main]
pub async fn main() -> Result<(), subrosa_worker::Error> {
    if std::env::args().nth(1).as_deref() == Some("health") {
        return subrosa_worker::health();
    }
    let _telemetry = Telemetry::start("create-proof");
    subrosa_worker::serve("create-proof", run).await
}

/// Runs one job.
///
/// # Errors
///
/// Those of [`prove`] and of the job's steps; the client is told, sealed.
pub async fn run(job: Job<Launched>) -> Result<Done, Failure> {
    let (options, job) = job.options::<Options>(&Version { worker: env!("CARGO_PKG_VERSION") }).await?;
    let (payload, job) = job.ready::<Payload>(&()).await?;
    // Arithmetic does not wait: on a thread of its own it does not keep other jobs waiting either.
    let work = move || (prove(options, payload, |fraction| job.progress(fraction, "proving")), job);
    let (proof, job) = tokio::task::spawn_blocking(work).await?;
    let proof = proof.map_err(|error| match error {
        ProveError::OutOfRange => Failure::bad_input(error),
        other => Failure::new(other),
    })?;
    job.done(&proof).await
}

/// What the worker says of itself, before the client sends anything.
#[derive(Debug, Serialize)]
pub struct Version {
    /// The worker's version.
    pub worker: &'static str,
}

/// The client's options.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// What the proof is bound to.
    pub label: String,
}

/// The client's payload. It is secret: there is no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Payload {
    /// The number.
    pub value: i64,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The commitment to the value: 32 bytes as base64url.
    pub commitment: String,
    /// The proof: 449 bytes as base64url.
    pub proof: String,
    /// What the proof is bound to.
    pub label: String,
}

/// Why there is no proof. Nothing of the value is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// There is nothing true to prove.
    #[error("the value is not between 0 and {MAX_VALUE}")]
    OutOfRange,
    /// The library refused its input.
    #[error("the proof cannot be made: {reason}")]
    Library {
        /// Why.
        reason: ProofError,
    },
    /// The proof was made, and is wrong. The client would have refused it.
    #[error("the proof came out wrong: {reason}")]
    Wrong {
        /// Why.
        reason: VerifyError,
    },
}

/// Why a proof was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The proof names another label than the expected one.
    #[error("the proof is bound to another label")]
    Label,
    /// A member is not what it should be.
    #[error("the member `{member}` of the proof is not {expected}")]
    Malformed {
        /// The member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The proof does not hold for this commitment and this label.
    #[error("the proof does not hold")]
    Invalid,
}

/// Proves that the payload's value lies between 0 and [`MAX_VALUE`]. `progress` is called with what fraction
/// is done.
///
/// # Errors
///
/// [`ProveError::OutOfRange`] for any other value.
pub fn prove(options: Options, payload: Payload, progress: impl Fn(f64)) -> Result<Proof, ProveError> {
    progress(0.0);
    let value = u8::try_from(payload.value).ok().filter(|value| *value <= MAX_VALUE);
    let value = value.ok_or(ProveError::OutOfRange)?;
    let Options { label } = options;
    let (commitment, proof) = commit_and_prove(value, &label, &progress)?;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let proof = Proof { commitment: encode(commitment.as_bytes()), proof: encode(&proof.to_bytes()), label };
    progress(0.8);
    verify(&proof, &proof.label).map_err(|reason| ProveError::Wrong { reason })?;
    progress(1.0);
    Ok(proof)
}

/// Commits to `value` with a fresh blinding, and proves. The witness overwrites itself when dropped.
fn commit_and_prove(
    value: u8,
    label: &str,
    progress: impl Fn(f64),
) -> Result<(CompressedRistretto, RistrettoRangeProof), ProofError> {
    let parameters = parameters()?;
    progress(0.2);
    let blinding = Zeroizing::new(Scalar::random(&mut rand::rng()));
    let commitment = parameters.pc_gens().commit(&Scalar::from(value), &[*blinding])?;
    let witness = RangeWitness::init(vec![
        CommitmentOpening::new(u64::from(value), vec![*blinding]),
        CommitmentOpening::new(u64::from(MAX_VALUE.saturating_sub(value)), vec![-*blinding]),
    ])?;
    let statement = statement(parameters, commitment)?;
    progress(0.3);
    let proof = RistrettoRangeProof::prove(&mut transcript(label), &statement, &witness)?;
    Ok((commitment.compress(), proof))
}

/// Verifies that `proof` was made for `expected_label`, by somebody who knew a value between 0 and
/// [`MAX_VALUE`] in its commitment.
///
/// # Errors
///
/// [`VerifyError`] says what is wrong.
pub fn verify(proof: &Proof, expected_label: &str) -> Result<(), VerifyError> {
    if proof.label != expected_label {
        return Err(VerifyError::Label);
    }
    let malformed = |member, expected| move || VerifyError::Malformed { member, expected };
    let commitment = decode::<32>(&proof.commitment)
        .and_then(|bytes| CompressedRistretto(bytes).decompress())
        .ok_or_else(malformed("commitment", "a point of Ristretto as base64url"))?;
    let range_proof = decode::<PROOF_BYTES>(&proof.proof)
        .and_then(|bytes| RistrettoRangeProof::from_bytes(&bytes).ok())
        .ok_or_else(malformed("proof", "a range proof of 449 bytes as base64url"))?;
    let verified = parameters().and_then(|parameters| {
        let statements = [statement(parameters, commitment)?];
        let transcripts = &mut [transcript(expected_label)];
        RistrettoRangeProof::verify_batch(transcripts, &statements, &[range_proof], VerifyAction::VerifyOnly)
    });
    verified.map(drop).map_err(|_| VerifyError::Invalid)
}

/// What prover and verifier agree on beforehand.
fn parameters() -> Result<RangeParameters<RistrettoPoint>, ProofError> {
    let bases = create_pedersen_gens_with_extension_degree(ExtensionDegree::DefaultPedersen);
    RangeParameters::init(BITS, 2, bases)
}

/// What is proven: `C` and `100·H − C` are commitments to numbers of [`BITS`] bits.
fn statement(
    parameters: RangeParameters<RistrettoPoint>,
    commitment: RistrettoPoint,
) -> Result<RangeStatement<RistrettoPoint>, ProofError> {
    let rest = parameters.h_base() * Scalar::from(MAX_VALUE) - commitment;
    RangeStatement::init(parameters, vec![commitment, rest], vec![None, None], None)
}

/// What the challenges come from, before the statement and the proof are added to it.
fn transcript(label: &str) -> Transcript {
    let mut transcript = Transcript::new(b"subrosa example create-proof 1");
    transcript.append_u64(b"largest value", u64::from(MAX_VALUE));
    transcript.append_message(b"label", label.as_bytes());
    transcript
}

/// Exactly `N` bytes, in base64url's one spelling without padding.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (written == N).then_some(bytes)
}

impl From<ProofError> for ProveError {
    fn from(reason: ProofError) -> Self {
        Self::Library { reason }
    }
}
