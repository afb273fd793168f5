use ::hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, PskBundle, Serializable as _};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use serde::Deserialize;

use super::*;
use crate::encoding::{hex, hex_array};

/// The RFC's own cases for this ciphersuite.
mod rfc9180 {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case, reason = "the names are the RFC's")]
    struct Case {
        mode: u8,
        kem_id: u16,
        kdf_id: u16,
        aead_id: u16,
        info: String,
        skEm: String,
        pkEm: String,
        skRm: String,
        pkRm: String,
        psk: Option<String>,
        psk_id: Option<String>,
        enc: String,
        shared_secret: String,
        key_schedule_context: String,
        secret: String,
        key: String,
        base_nonce: String,
        exporter_secret: String,
        exports: Vec<Export>,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case, reason = "the names are the RFC's")]
    struct Export {
        exporter_context: String,
        L: usize,
        exported_value: String,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str::<File>(include_str!("rfc9180.json")).unwrap().cases
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn key_pair(secret: &str) -> KeyPair {
        KeyPair::from_secret(Secret::take(&mut hex_array(secret).unwrap()))
    }

    impl Case {
        fn psk(&self) -> Option<Psk> {
            let (id, key) = (self.psk_id.as_ref()?, self.psk.as_ref()?);
            Some(Psk::new(&bytes(id), &bytes(key)).unwrap())
        }

        fn check_exports(&self, exporter: &Exporter) {
            assert_eq!(hex(exporter.secret.expose()), self.exporter_secret);
            for export in &self.exports {
                assert_eq!(export.L, 32);
                let value = exporter.export::<32>(&[&bytes(&export.exporter_context)]);
                assert_eq!(hex(value.expose()), export.exported_value);
            }
        }
    }

    #[test]
    fn both_modes_are_there_with_three_exports_each() {
        let cases = cases();
        assert_eq!(cases.iter().map(|case| case.mode).collect::<Vec<_>>(), [0, 1]);
        for case in cases {
            assert_eq!((case.kem_id, case.kdf_id, case.aead_id), (0x0020, 0x0001, 0x0003));
            assert_eq!((case.exports.len(), case.psk().is_some()), (3, case.mode == 1));
        }
    }

    #[test]
    fn kem() {
        for case in cases() {
            let ephemeral = key_pair(&case.skEm);
            let recipient = RecipientKey::from(key_pair(&case.skRm));
            assert_eq!(hex(recipient.public().as_bytes()), case.pkRm);

            let (sent, enc) = kem::encapsulate(ephemeral, recipient.public()).unwrap();
            assert_eq!(hex(enc.as_bytes()), case.enc);
            assert_eq!(hex(enc.worker_key()), case.pkEm);
            assert_eq!(hex(sent.expose()), case.shared_secret);

            let received = kem::decapsulate(&recipient, &enc).unwrap();
            assert_eq!(hex(received.expose()), case.shared_secret);
        }
    }

    #[test]
    fn schedule() {
        for case in cases() {
            let shared_secret = Secret::take(&mut hex_array(&case.shared_secret).unwrap());
            let psk = case.psk();
            let mode = psk.as_ref().map_or(Mode::Base, Mode::Psk);
            assert_eq!(mode.number(), case.mode);

            let schedule = Schedule::new(case.kem_id, &shared_secret, &bytes(&case.info), mode);
            assert_eq!(hex(schedule.concatenated_context()), case.key_schedule_context);
            assert_eq!(hex(schedule.secret()), case.secret);
            assert_eq!(hex(schedule.key().expose()), case.key);
            assert_eq!(hex(schedule.base_nonce().expose()), case.base_nonce);
            case.check_exports(&schedule.exporter());
        }
    }

    #[test]
    fn setup_and_export() {
        for case in cases() {
            let recipient = RecipientKey::from(key_pair(&case.skRm));
            let info = bytes(&case.info);
            let psk = case.psk();
            let mode = psk.as_ref().map_or(Mode::Base, Mode::Psk);

            let ephemeral = key_pair(&case.skEm);
            let (enc, sender) = setup_sender_with(ephemeral, recipient.public(), &info, mode).unwrap();
            assert_eq!(hex(enc.as_bytes()), case.enc);
            case.check_exports(&sender);
            case.check_exports(&setup_recipient(&recipient, &enc, &info, mode).unwrap());
        }
    }
}

/// Another implementation, against which both ends are tried.
mod other {
    use super::*;

    pub(super) type Kem = ::hpke::kem::X25519HkdfSha256;
    type PublicKey = <Kem as ::hpke::Kem>::PublicKey;
    type PrivateKey = <Kem as ::hpke::Kem>::PrivateKey;
    type EncappedKey = <Kem as ::hpke::Kem>::EncappedKey;

    fn bundle<'a>(psk: &Option<(&'a [u8], &'a [u8])>) -> Option<PskBundle<'a>> {
        psk.map(|(id, key)| PskBundle::new(key, id).unwrap())
    }

    pub(super) fn key_pair(seed: &[u8]) -> (PrivateKey, KemPublicKey) {
        let (secret, public) = Kem::derive_keypair(seed);
        (secret, public.to_bytes().as_slice().try_into().unwrap())
    }

    /// Sends, and exports `L` bytes.
    pub(super) fn send<const L: usize>(
        rng: &mut StdRng,
        recipient: &KemPublicKey,
        info: &[u8],
        psk: Option<(&[u8], &[u8])>,
        context: &[u8],
    ) -> (Enc, [u8; L]) {
        let recipient = PublicKey::from_bytes(recipient.as_bytes()).unwrap();
        let mode = bundle(&psk).map_or(OpModeS::Base, OpModeS::Psk);
        let (enc, sender) =
            ::hpke::setup_sender_with_rng::<::hpke::aead::ChaCha20Poly1305, ::hpke::kdf::HkdfSha256, Kem>(
                &mode, &recipient, info, rng,
            )
            .unwrap();
        let mut exported = [0; L];
        sender.export(context, &mut exported).unwrap();
        (enc.to_bytes().as_slice().try_into().unwrap(), exported)
    }

    /// Receives, and exports `L` bytes.
    pub(super) fn receive<const L: usize>(
        key: &PrivateKey,
        enc: &Enc,
        info: &[u8],
        psk: Option<(&[u8], &[u8])>,
        context: &[u8],
    ) -> [u8; L] {
        let enc = EncappedKey::from_bytes(enc.as_bytes()).unwrap();
        let mode = bundle(&psk).map_or(OpModeR::Base, OpModeR::Psk);
        let recipient =
            ::hpke::setup_receiver::<::hpke::aead::ChaCha20Poly1305, ::hpke::kdf::HkdfSha256, Kem>(
                &mode, key, &enc, info,
            )
            .unwrap();
        let mut exported = [0; L];
        recipient.export(context, &mut exported).unwrap();
        exported
    }
}

fn bytes(lengths: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), lengths)
}

fn psks() -> impl Strategy<Value = Option<(Vec<u8>, Vec<u8>)>> {
    proptest::option::of((bytes(1..=256), bytes(32..=200)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn another_implementation_agrees(
        seed: u64, info in bytes(0..=100), psk in psks(), head in bytes(0..=40), tail in bytes(0..=100),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let named = psk.as_ref().map(|(id, key)| (id.as_slice(), key.as_slice()));
        let psk = named.map(|(id, key)| Psk::new(id, key).unwrap());
        let mode = psk.as_ref().map_or(Mode::Base, Mode::Psk);
        let context = [head.as_slice(), &tail].concat();

        let (their_key, their_public) = other::key_pair(&seed.to_be_bytes().repeat(4));
        let (enc, exporter) = setup_sender(&mut rng, &their_public, &info, mode).unwrap();
        assert_eq!(
            exporter.export::<44>(&[&head, &tail]).expose(),
            &other::receive::<44>(&their_key, &enc, &info, named, &context)
        );
        assert_eq!(
            exporter.export::<8160>(&[&context]).expose(),
            &other::receive::<8160>(&their_key, &enc, &info, named, &context)
        );

        let our_key = RecipientKey::generate(&mut rng);
        let (enc, exported) = other::send::<100>(&mut rng, our_key.public(), &info, named, &context);
        let exporter = setup_recipient(&our_key, &enc, &info, mode).unwrap();
        assert_eq!(exporter.export::<100>(&[&head, &[], &tail]).expose(), &exported);
    }

    #[test]
    fn whatever_differs_gives_other_exports(seed: u64, info in bytes(0..=64), other_info in bytes(0..=64)) {
        prop_assume!(info != other_info);
        let mut rng = StdRng::seed_from_u64(seed);
        let key = RecipientKey::generate(&mut rng);
        let [psk, other_key, other_id] = [(b"a", [1; 32]), (b"a", [2; 32]), (b"b", [1; 32])]
            .map(|(id, key)| Psk::new(id, &key).unwrap());
        let (enc, sender) = setup_sender(&mut rng, key.public(), &info, Mode::Psk(&psk)).unwrap();
        let sent = sender.export::<32>(&[b"context"]);

        let same = setup_recipient(&key, &enc, &info, Mode::Psk(&psk)).unwrap();
        assert_eq!(same.export::<32>(&[b"context"]).expose(), sent.expose());
        assert_ne!(same.export::<32>(&[b"other"]).expose(), sent.expose());
        assert_ne!(&same.export::<33>(&[b"context"]).expose()[..32], sent.expose());

        for (info, mode) in [
            (&other_info, Mode::Psk(&psk)),
            (&info, Mode::Psk(&other_key)),
            (&info, Mode::Psk(&other_id)),
            (&info, Mode::Base),
        ] {
            let differs = setup_recipient(&key, &enc, info, mode).unwrap();
            assert_ne!(differs.export::<32>(&[b"context"]).expose(), sent.expose());
        }
        let stranger = RecipientKey::generate(&mut rng);
        let differs = setup_recipient(&stranger, &enc, &info, Mode::Psk(&psk)).unwrap();
        assert_ne!(differs.export::<32>(&[b"context"]).expose(), sent.expose());
    }
}

/// The u-coordinates of small order on the curve and on its twist, reduced or not.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn keys_of_small_order_are_refused_by_both_ends() {
    let mut rng = StdRng::seed_from_u64(1);
    let key = RecipientKey::generate(&mut rng);
    let psk = Psk::new(b"id", &[7; 32]).unwrap();
    for point in SMALL_ORDER {
        // X25519 ignores the highest bit (RFC 7748, section 5).
        for high_bit in [0x00, 0x80] {
            let mut point = hex_array::<32>(point).unwrap();
            point[31] |= high_bit;
            let public = KemPublicKey::try_from(&point[..]).unwrap();
            let enc = Enc::try_from(&point[..]).unwrap();
            for mode in [Mode::Base, Mode::Psk(&psk)] {
                let refused = setup_sender(&mut rng, &public, b"", mode).unwrap_err();
                assert_eq!(refused, HpkeError::NonContributory, "{public:?}");
                let refused = setup_recipient(&key, &enc, b"", mode).unwrap_err();
                assert_eq!(refused, HpkeError::NonContributory, "{enc:?}");
            }
        }
    }
}

#[test]
fn keys_of_another_length_are_refused() {
    for found in (0..=100).filter(|&length| length != 32) {
        let refusal = HpkeError::WrongLength { expected: 32, found };
        assert_eq!(KemPublicKey::try_from(&vec![9; found][..]), Err(refusal));
        assert_eq!(Enc::try_from(&vec![9; found][..]), Err(refusal));
    }
}

#[test]
fn psks_have_limits() {
    for (id, key, refusal) in [
        (0, 32, Some(HpkeError::PskIdLength { found: 0 })),
        (1, 32, None),
        (256, 65_536, None),
        (257, 32, Some(HpkeError::PskIdLength { found: 257 })),
        (1, 0, Some(HpkeError::PskKeyLength { found: 0 })),
        (1, 31, Some(HpkeError::PskKeyLength { found: 31 })),
        (1, 65_537, Some(HpkeError::PskKeyLength { found: 65_537 })),
    ] {
        let psk = Psk::new(&vec![b'i'; id], &vec![7; key]);
        assert_eq!(psk.as_ref().err().copied(), refusal, "{id}, {key}");
        assert!(psk.is_err() || psk.unwrap().id().len() == id);
    }
}

#[test]
fn every_setup_has_a_key_of_its_own() {
    let mut rng = StdRng::seed_from_u64(2);
    let key = RecipientKey::generate(&mut rng);
    let (enc, exporter) = setup_sender(&mut rng, key.public(), b"info", Mode::Base).unwrap();
    let (other_enc, other) = setup_sender(&mut rng, key.public(), b"info", Mode::Base).unwrap();
    assert_ne!(enc, other_enc);
    assert_ne!(exporter.export::<32>(&[]).expose(), other.export::<32>(&[]).expose());
}

#[test]
fn nothing_secret_is_printed() {
    let mut rng = StdRng::seed_from_u64(3);
    let key = RecipientKey::generate(&mut rng);
    let psk = Psk::new(b"id", &[7; 32]).unwrap();
    let (_, exporter) = setup_sender(&mut rng, key.public(), b"", Mode::Base).unwrap();
    assert_eq!(format!("{key:?}"), "RecipientKey");
    assert_eq!(format!("{psk:?}"), "Psk");
    assert_eq!(format!("{:?}", Mode::Psk(&psk)), "Psk(Psk)");
    assert_eq!(format!("{exporter:?}"), "Exporter");
    assert_eq!(format!("{:?}", exporter.export::<32>(&[])), "Secret");
}

#[test]
fn public_keys_are_printed_as_base64url() {
    let public = KemPublicKey::try_from(&[0; 32][..]).unwrap();
    assert_eq!(format!("{public:?}"), format!("KemPublicKey({})", "A".repeat(43)));
    let enc = Enc::try_from(&[0; 32][..]).unwrap();
    assert_eq!(format!("{enc:?}"), format!("Enc({})", "A".repeat(43)));
}
