//! What writes the vectors. Nothing in here uses the crates that the vectors check: texts, signatures, keys and
//! envelopes are made from the protocol's document and the primitives.

mod cancels;
mod case;
mod certs;
mod ecdsa;
mod encoding;
mod es256k;
mod forged;
mod forged_heads;
mod forged_options;
pub(crate) mod hpke;
mod job;
mod jobs;
mod jws;
mod launch_signatures;
mod launches;
mod messages;
mod proofs;
mod receipts;
mod records;
mod rules;
mod session;
mod sessions;
mod stored;
mod trusts;
mod undisturbed;

use std::collections::BTreeMap;

/// All files: their paths below the folder of the vectors, and their texts.
pub(crate) fn files() -> BTreeMap<String, String> {
    let all = [
        jobs::cases(),
        launches::cases(),
        launch_signatures::cases(),
        sessions::cases(),
        messages::cases(),
        cancels::cases(),
        forged::cases(),
        forged_heads::cases(),
        forged_options::cases(),
        stored::cases(),
        proofs::cases(),
        receipts::cases(),
        records::cases(),
        trusts::cases(),
        es256k::cases(),
        certs::cases(),
        undisturbed::cases(),
        rules::cases(),
    ];
    let mut files = BTreeMap::new();
    for case in all.into_iter().flatten() {
        let earlier = files.insert(case.path.clone(), case.text());
        assert!(earlier.is_none(), "two cases are called {}", case.path);
    }
    files
}
