//! Key files and thumbprints.

use subrosa_protocol::identity::{KeyType, PublicKey, file};

use crate::jwcrypto::{Key, ours, public};

#[test]
fn keys_of_jwcrypto_are_read_here() {
    for key_type in KeyType::ALL {
        let theirs = Key::generate(key_type);
        let (here, public) = (theirs.here(), PublicKey::from_jwk(theirs.public.as_bytes()).unwrap());
        assert_eq!(here.public(), public);
        assert_eq!(public.key_type(), key_type);
        assert_eq!(public.thumbprint().to_string(), theirs.thumbprint);
        let error = PublicKey::from_jwk(theirs.private.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("private member `d`"), "{error}");
    }
}

#[test]
fn our_key_files_are_read_by_jwcrypto() {
    let folder = tempfile::tempdir().unwrap();
    for key_type in KeyType::ALL {
        let (key, path) = (ours(key_type), folder.path().join(key_type.as_str()));
        file::create(&path, &key).unwrap();
        let theirs = Key::read(&std::fs::read_to_string(path).unwrap());
        assert_eq!(theirs.thumbprint, key.thumbprint().to_string());
        assert_eq!(PublicKey::from_jwk(theirs.public.as_bytes()).unwrap(), key.public());
        assert_eq!(theirs.here().public(), key.public());
        let public = Key::read(&public(&key));
        assert_eq!((public.private.as_str(), public.thumbprint), ("", theirs.thumbprint));
    }
}
