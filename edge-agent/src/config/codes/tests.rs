//! Only a file that holds exactly the two secrets, and that nobody else can read, is used.

use std::fs::{self, Permissions};

use locker_core::code::digits::normalise;
use tempfile::TempDir;

use super::*;

const SALT: &str = "000102030405060708090a0b0c0d0e0f";
const PEPPER: &str = "F0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f";

fn written(text: &[u8], mode: u32) -> Result<TagKeys, KeysFileError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("codes.keys");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let keys = CodesConfig { keys_file: Some(path) }.load()?;
    Ok(keys.expect("a file is named"))
}

#[test]
fn salt_and_pepper_are_read_from_two_lines() {
    let text = format!("# Postern code keys of lobby-1\n\n{SALT}\r\n  {PEPPER}\n");
    for mode in [0o600, 0o400, 0o440] {
        let keys = written(text.as_bytes(), mode).unwrap();
        let mut pepper = [0; PEPPER_BYTES];
        for (place, byte) in (0_u8..).zip(&mut pepper) {
            *byte = place.wrapping_sub(16);
        }
        let salt = std::array::from_fn(|place| u8::try_from(place).unwrap());
        let wanted = TagKeys::new(salt, Zeroizing::new(pepper));
        let digits = normalise("012345").unwrap();
        assert_eq!(keys.tag(digits).as_bytes(), wanted.tag(digits).as_bytes());
        assert_eq!(format!("{keys:?}"), "TagKeys(..)");
    }
}

#[test]
fn without_a_file_there_are_no_keys_and_no_error() {
    assert!(CodesConfig::default().load().unwrap().is_none());
}

#[test]
fn what_is_no_keys_file_is_refused_without_telling_what_is_in_it() {
    let both = format!("{SALT}\n{PEPPER}\n");
    let long = format!("{both}#{}", "x".repeat(FILE_MAX_BYTES));
    for text in [
        String::new(),
        SALT.to_owned(),
        format!("{PEPPER}\n{SALT}"),
        format!("{SALT}{PEPPER}"),
        format!("{both}{SALT}"),
        format!("{SALT}\n{}", &PEPPER[1..]),
        format!("{SALT}\n+{}", &PEPPER[1..]),
        format!("{SALT}\nä{}", &PEPPER[2..]),
        long,
    ] {
        let refused = written(text.as_bytes(), 0o600).unwrap_err();
        assert!(matches!(refused, KeysFileError::Malformed { .. }), "{refused}");
        assert!(!refused.to_string().contains("0001"), "{refused}");
    }
    assert!(matches!(written(&[0xFF, 0xFE], 0o600), Err(KeysFileError::Malformed { .. })));
    for mode in [0o644, 0o604, 0o620, 0o660, 0o666] {
        let refused = written(both.as_bytes(), mode).unwrap_err();
        assert!(matches!(refused, KeysFileError::Exposed { .. }), "{mode:o}");
    }
    let nowhere = CodesConfig { keys_file: Some("/nowhere/codes.keys".into()) };
    assert!(matches!(nowhere.load(), Err(KeysFileError::Read { .. })));
}
