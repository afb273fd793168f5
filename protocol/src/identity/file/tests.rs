use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::identity::Thumbprint;

const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::from_b64u(D).unwrap())
}

/// A directory and the path of a file in it that does not exist yet.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.jwk");
    (directory, path)
}

fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// What comes of loading a private file with this text.
fn load_text(text: &str) -> Result<Thumbprint, KeyFileError> {
    let (_directory, path) = place();
    fs::write(&path, text).unwrap();
    set_mode(&path, 0o600);
    load(&path).map(|key| key.thumbprint())
}

#[test]
fn what_is_created_loads() {
    let (_directory, path) = place();
    create(&path, &key()).unwrap();
    assert_eq!(load(&path).unwrap().public(), key().public());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{D}","x":"{X}"}}"#) + "\n");
}

#[test]
fn nothing_is_overwritten() {
    let (_directory, path) = place();
    fs::write(&path, "precious").unwrap();
    assert!(matches!(create(&path, &key()), Err(KeyFileError::Exists { .. })));
    let error = write_public(&path, &key().public()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} exists already: move it away first", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[cfg(unix)]
mod modes {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_private_file_is_its_owners_only() {
        let (_directory, path) = place();
        create(&path, &key()).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_public_file_is_nobody_elses_to_write() {
        let (_directory, path) = place();
        write_public(&path, &key().public()).unwrap();
        assert_eq!(mode(&path) & !0o644, 0);
        assert_eq!(mode(&path) & 0o600, 0o600);
    }

    #[test]
    fn looser_modes_are_refused() {
        let (_directory, path) = place();
        create(&path, &key()).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o666, 0o601, 0o610, 0o700, 0o4600] {
            set_mode(&path, mode);
            let error = load(&path).unwrap_err();
            assert!(
                matches!(error, KeyFileError::LooseMode { mode: found, .. } if found == mode),
                "{mode:o}"
            );
            let path = path.display();
            let said = error.to_string();
            assert!(said.contains(&format!("mode {mode:04o}")), "{said}");
            assert!(said.contains(&format!("`chmod 600 {path}`")), "{said}");
        }
        for mode in [0o600, 0o400] {
            set_mode(&path, mode);
            assert!(load(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_links_target_is_what_counts() {
        let (directory, path) = place();
        create(&path, &key()).unwrap();
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(load(&link).is_ok());
        set_mode(&path, 0o644);
        assert!(matches!(load(&link), Err(KeyFileError::LooseMode { .. })));
    }

    #[test]
    fn devices_are_refused() {
        assert!(matches!(load("/dev/null"), Err(KeyFileError::NotAFile { .. })));
        assert!(matches!(load_public("/dev/zero"), Err(KeyFileError::NotAFile { .. })));
    }
}

#[test]
fn a_missing_file_is_named() {
    let (_directory, path) = place();
    for error in [load(&path).unwrap_err(), load_public(&path).unwrap_err()] {
        assert!(matches!(error, KeyFileError::Missing { .. }));
        assert_eq!(error.to_string(), format!("there is no key file {}", path.display()));
    }
    let error = create(path.join("inside"), &key()).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { .. }), "{error}");
}

#[test]
fn a_directory_is_refused() {
    let (directory, _) = place();
    assert!(matches!(load(directory.path()), Err(KeyFileError::NotAFile { .. })));
}

#[test]
fn large_files_are_refused() {
    let text = format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{D}","x":"{X}"}}"#);
    let padded = |bytes: usize| text.clone() + &" ".repeat(bytes - text.len());
    assert!(load_text(&padded(MAX_KEY_FILE_BYTES)).is_ok());
    assert!(matches!(load_text(&padded(MAX_KEY_FILE_BYTES + 1)), Err(KeyFileError::TooLarge { .. })));
}

#[test]
fn unknown_members_are_ignored() {
    let text =
        format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{D}","x":"{X}","kid":"a","use":"sig","key_ops":[]}}"#);
    assert_eq!(load_text(&text).unwrap(), key().thumbprint());
}

#[test]
fn missing_members_are_named() {
    for member in ["kty", "crv", "x"] {
        let members = [("kty", "OKP"), ("crv", "Ed25519"), ("d", D), ("x", X)];
        let rest: Vec<_> = members.iter().filter(|(name, _)| *name != member).collect();
        let rest: Vec<_> = rest.iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
        let error = load_text(&format!("{{{}}}", rest.join(","))).unwrap_err();
        assert!(error.to_string().ends_with(&format!(" has no member `{member}`")), "{error}");
    }
}

#[test]
fn halves_of_two_keys_are_refused() {
    let other = SigningKey::from_seed(&Secret::take(&mut [1; 32]));
    let x = other.public().to_jwk();
    let x = serde_json::to_value(x).unwrap()["x"].as_str().unwrap().to_owned();
    let error = load_text(&format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{D}","x":"{x}"}}"#)).unwrap_err();
    assert!(matches!(error, KeyFileError::Mismatch { .. }), "{error}");
}

#[test]
fn errors_do_not_repeat_the_private_key() {
    let cut = &D[..42];
    let unused_bits = format!("{cut}B");
    let escaped = format!("\\u006e{}", &D[1..]);
    for (d, rest) in [
        (cut, format!(r#","kty":"OKP","crv":"Ed25519","x":"{X}""#)),
        (&unused_bits, format!(r#","kty":"OKP","crv":"Ed25519","x":"{X}""#)),
        (&escaped, format!(r#","kty":"OKP","crv":"Ed25519","x":"{X}""#)),
        (D, format!(r#","kty":"OKP","crv":"Ed25519","x":"{D}""#)),
        (D, format!(r#","kty":"OKP","crv":"X25519","x":"{X}""#)),
        (D, format!(r#","kty":"EC","crv":"secp256k1","x":"{X}""#)),
        (D, format!(r#","kty":"OKP","crv":"Ed25519","x":"{X}","d":"{D}""#)),
        (D, format!(r#","kty":1,"crv":"Ed25519","x":"{X}""#)),
        (D, "".to_owned()),
        (D, ",".to_owned()),
    ] {
        let error = load_text(&format!(r#"{{"d":"{d}"{rest}}}"#)).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains(&D[1..41]), "{said}");
        assert!(said.contains("key.jwk"), "{said}");
    }
}

#[test]
fn public_files_hold_public_keys_only() {
    let (directory, path) = place();
    write_public(&path, &key().public()).unwrap();
    assert_eq!(load_public(&path).unwrap(), key().public());

    let private = directory.path().join("private.jwk");
    create(&private, &key()).unwrap();
    let error = load_public(&private).unwrap_err();
    assert!(error.to_string().contains("has the private member `d`"), "{error}");

    set_mode(&path, 0o600);
    let error = load(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::Public { .. }), "{error}");
}
