//! Secrets on disk.

use super::*;

#[test]
fn a_secret_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sealing-1.key");
    let secret = Secret::generate().unwrap();
    std::fs::write(&path, &*secret.file_text("sealing key")).unwrap();
    assert_eq!(Secret::load(&path).unwrap().bytes(), secret.bytes());
    assert_ne!(Secret::generate().unwrap().bytes(), secret.bytes());
}

#[test]
fn a_file_with_anything_but_one_secret_is_refused_without_showing_it() {
    let good = "0f".repeat(32);
    assert_eq!(Secret::parse(&format!("# one\n\n {good} \n")).unwrap().bytes(), &[0x0f; 32]);
    let twice = format!("{good}\n{good}\n");
    let long = format!("{good}0f");
    let not_hex = format!("{}zz", &good[2..]);
    let signed = format!("+f{}", &good[2..]);
    for text in ["", "# nothing\n", &good[2..], &twice, &long, &not_hex, &signed] {
        assert!(Secret::parse(text).is_none(), "{text:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.key");
    std::fs::write(&path, &twice).unwrap();
    let error = Secret::load(&path).unwrap_err();
    assert!(matches!(error, SecretFileError::Malformed { .. }));
    assert!(!format!("{error} {error:?}").contains("0f0f"));
    assert!(matches!(Secret::load(dir.path()), Err(SecretFileError::Read { .. })));
    assert_eq!(format!("{:?}", Secret::from([7; 32])), "Secret(..)");
}
