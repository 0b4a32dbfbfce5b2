use std::os::unix::fs::PermissionsExt as _;

use clap::{CommandFactory as _, Parser};
use ed25519_dalek::{Signer as _, Verifier as _};

use super::*;

fn spec() -> PkiSpec {
    PkiSpec { banks: vec!["bank-1".parse().unwrap()], ..PkiSpec::default() }
}

#[test]
fn a_new_pki_has_all_files_and_keys_only_their_owner_reads() {
    let directory = tempfile::tempdir().unwrap();
    let pki = DevPki::create(directory.path().join("pki"), &spec()).unwrap();
    pki.issue_carrier(&"acme".parse().unwrap()).unwrap();
    pki.issue_operator(&"olga".parse().unwrap()).unwrap();
    for (file, mode) in [
        ("ca.pem", 0o644),
        ("ca.key", 0o600),
        ("hub.pem", 0o644),
        ("hub.key", 0o600),
        ("banks/bank-1.pem", 0o644),
        ("banks/bank-1.key", 0o600),
        ("carriers/acme.key", 0o600),
        ("operators/olga.key", 0o600),
        ("command.key", 0o600),
        ("command.pub", 0o644),
        ("credential-1.key", 0o600),
        ("credential-1.pub", 0o644),
    ] {
        let metadata = std::fs::metadata(directory.path().join("pki").join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777 & !0o022, mode, "{file}");
    }
}

#[test]
fn keys_are_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let pki = DevPki::create(directory.path(), &spec()).unwrap();
    let key = directory.path().join("ca.key");
    let before = std::fs::read(&key).unwrap();
    let again = DevPki::create(directory.path(), &spec());
    assert!(matches!(again, Err(PkiError::Exists { .. })), "{again:?}");
    assert_eq!(std::fs::read(&key).unwrap(), before);
    let bank = pki.issue_bank(&"bank-1".parse().unwrap());
    assert!(matches!(bank, Err(PkiError::Exists { .. })));
    // A certificate alone is enough to refuse, and a key alone too.
    std::fs::remove_file(directory.path().join("banks/bank-1.key")).unwrap();
    let bank = pki.issue_bank(&"bank-1".parse().unwrap());
    assert!(matches!(bank, Err(PkiError::Exists { path }) if path.ends_with("bank-1.pem")));
    assert!(!directory.path().join("banks/bank-1.key").exists());
    std::fs::write(directory.path().join("credential-2.key"), "mine").unwrap();
    let credential = pki.issue_credential_key(2);
    assert!(
        matches!(credential, Err(PkiError::Exists { path }) if path.ends_with("credential-2.key"))
    );
}

#[test]
fn an_opened_pki_issues_what_its_authority_signs() {
    let directory = tempfile::tempdir().unwrap();
    DevPki::create(directory.path(), &spec()).unwrap();
    let pki = DevPki::open(directory.path()).unwrap();
    let issued = pki.issue_bank(&"bank-2".parse().unwrap()).unwrap();
    let (leaf, authority) = (read_der(&issued.certificate), read_der(&pki.authority()));
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
    assert_eq!(leaf.issuer().as_raw(), authority.subject().as_raw());
    assert!(leaf.validity().is_valid());
    assert!(!leaf.is_ca());
}

#[test]
fn opening_a_directory_without_a_pki_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let opened = DevPki::open(directory.path());
    assert!(matches!(opened, Err(PkiError::Read { path, .. }) if path.ends_with("ca.pem")));
}

#[test]
fn the_hub_certificate_holds_given_names_and_refuses_nonsense() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["hub.example.org", "192.0.2.7", "::1", "localhost"].map(str::to_owned).to_vec();
    let spec = PkiSpec { hub_names: names, ..PkiSpec::default() };
    let pki = DevPki::create(directory.path(), &spec).unwrap();
    let der = read_der(&pki.hub().certificate);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 6, "{names:?}");
    assert_eq!(Identity::of_certificate(&der).unwrap().to_string(), "urn:postern:hub:dev");

    let directory = tempfile::tempdir().unwrap();
    let spec = PkiSpec { hub_names: vec!["hüb".to_owned()], ..PkiSpec::default() };
    assert!(matches!(DevPki::create(directory.path(), &spec), Err(PkiError::Name(_))));
}

#[test]
fn signing_keys_load_again_and_sign() {
    let directory = tempfile::tempdir().unwrap();
    DevPki::create(directory.path(), &spec()).unwrap();
    for name in ["command", "credential-1"] {
        let seed = SigningSeed::load(&directory.path().join(format!("{name}.key"))).unwrap();
        let public = PublicKey::load(&directory.path().join(format!("{name}.pub"))).unwrap();
        assert_eq!(seed.public(), public);
        let signature = seed.signing_key().sign(b"text");
        public.verifying_key().verify(b"text", &signature).unwrap();
        let hex = public.to_string();
        assert_eq!(hex.len(), 64);
        assert!(!format!("{seed:?}").contains(&hex[..8]));
    }
}

#[test]
fn damaged_signing_keys_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("k.key");
    let hex = "ab".repeat(32);
    for text in [
        String::new(),
        "# only a comment\n".to_owned(),
        hex[..62].to_owned(),
        format!("{hex}00"),
        format!("{hex}\n{hex}\n"),
        format!("+{}", &hex[..63]),
        "zz".repeat(32),
    ] {
        std::fs::write(&path, &text).unwrap();
        let loaded = SigningSeed::load(&path);
        assert!(matches!(loaded, Err(SigningKeyError::Malformed { .. })), "{text:?}");
    }
    std::fs::write(&path, format!("# a\n\n  {hex}  \n# b\n")).unwrap();
    SigningSeed::load(&path).unwrap();
    let missing = SigningSeed::load(&directory.path().join("none"));
    assert!(matches!(missing, Err(SigningKeyError::Read { .. })));
}

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    pki: cli::PkiArgs,
}

#[test]
fn the_command_line_makes_a_pki_and_adds_to_it() {
    Program::command().debug_assert();
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let call = |args: &[&str]| {
        let args = ["pki", "--dir", dir].into_iter().chain(args.iter().copied());
        cli::run(Program::try_parse_from(args).unwrap().pki)
    };
    call(&["init", "--bank", "bank-1", "--carrier", "acme", "--hub-name", "hub.local"]).unwrap();
    assert_eq!(call(&["bank", "bank-2"]).unwrap().len(), 2);
    assert_eq!(call(&["carrier", "other"]).unwrap().len(), 2);
    assert_eq!(call(&["operator", "olga"]).unwrap().len(), 2);
    assert!(call(&["credential-key", "2"]).unwrap()[0].ends_with("credential-2.key"));
    let certificate = directory.path().join("banks/bank-2.pem");
    assert!(call(&["revoke", certificate.to_str().unwrap()]).unwrap()[0].ends_with("crl.pem"));
    // Again over the old list.
    call(&["revoke", certificate.to_str().unwrap()]).unwrap();
    assert!(matches!(call(&["bank", "bank-2"]), Err(PkiError::Exists { .. })));
    assert!(Program::try_parse_from(["pki", "--dir", dir, "bank", "Not A Bank"]).is_err());
}

fn read_der(path: &Path) -> Vec<u8> {
    let text = std::fs::read(path).unwrap();
    Pem::iter_from_buffer(&text).next().unwrap().unwrap().contents
}
