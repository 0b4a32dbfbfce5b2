use std::os::unix::fs::PermissionsExt as _;

use clap::{CommandFactory as _, Parser};
use ed25519_dalek::{Signer as _, Verifier as _};

use locker_core::credential::KeySet;
use locker_core::ids::Generation;

use super::*;
use crate::credential_keys::{HubKeys, LoadKeysError};

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
        ("root.key", 0o600),
        ("root.pub", 0o644),
        ("key-set.signed", 0o644),
        ("command-1.key", 0o600),
        ("command-1.pub", 0o644),
        ("credential-1.key", 0o600),
        ("credential-1.pub", 0o644),
        ("codes-master.key", 0o600),
        ("sealing-1.key", 0o600),
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
    let set = std::fs::read(pki.key_set()).unwrap();
    let credential = pki.add_key(&directory.path().join("root.key"), KeyKind::Credential, 2);
    assert!(
        matches!(credential, Err(PkiError::Exists { path }) if path.ends_with("credential-2.key"))
    );
    assert_eq!(std::fs::read(pki.key_set()).unwrap(), set);
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
    for name in ["root", "command-1", "credential-1"] {
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
    let call = |args: &[&str]| call(args).map(|made| made.files);
    call(&["init", "--bank", "bank-1", "--carrier", "acme", "--hub-name", "hub.local"]).unwrap();
    assert_eq!(call(&["bank", "bank-2"]).unwrap().len(), 2);
    assert_eq!(call(&["carrier", "other"]).unwrap().len(), 2);
    assert_eq!(call(&["operator", "olga"]).unwrap().len(), 2);
    let made = call(&["credential-key", "2"]).unwrap();
    assert!(made[0].ends_with("credential-2.key") && made[2].ends_with("key-set.signed"));
    let certificate = directory.path().join("banks/bank-2.pem");
    assert!(call(&["revoke", certificate.to_str().unwrap()]).unwrap()[0].ends_with("crl.pem"));
    // Again over the old list.
    call(&["revoke", certificate.to_str().unwrap()]).unwrap();
    assert!(matches!(call(&["bank", "bank-2"]), Err(PkiError::Exists { .. })));
    assert!(Program::try_parse_from(["pki", "--dir", dir, "bank", "Not A Bank"]).is_err());
}

/// The set's generation, and the ids of its command and credential keys.
fn set_of(pki: &DevPki) -> (u64, Vec<u8>, Vec<u8>) {
    let KeySet { generation, keys, command, root: _ } =
        KeySetFile::load(&pki.key_set()).unwrap().keys;
    let kids = |kids: &mut dyn Iterator<Item = u8>| kids.collect();
    let command = kids(&mut command.iter().map(|key| key.kid));
    (generation.0, command, kids(&mut keys.iter().map(|key| key.kid)))
}

#[test]
fn keys_are_rolled_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let pki = DevPki::create(directory.path(), &spec()).unwrap();
    let dir = directory.path().to_str().unwrap();
    let call = |args: &[&str]| {
        let args = ["pki", "--dir", dir].into_iter().chain(args.iter().copied());
        cli::run(Program::try_parse_from(args).unwrap().pki)
    };
    assert_eq!(set_of(&pki), (1, vec![1], vec![1]));
    HubKeys::of_new_pki(directory.path()).unwrap();
    let made = call(&["command-key", "2"]).unwrap();
    assert!(made.advice.unwrap().contains("key-set.signed"));
    assert_eq!(set_of(&pki), (2, vec![2, 1], vec![1]));
    call(&["credential-key", "9"]).unwrap();
    call(&["retire", "command", "1"]).unwrap();
    assert_eq!(set_of(&pki), (4, vec![2], vec![9, 1]));
    assert!(directory.path().join("command-1.key").exists(), "its files stay");

    // The new key is in the set, the retired one is not.
    let file = |name: &str| directory.path().join(name);
    let load = |id: u8| {
        let (command, credential) = (file(&format!("command-{id}.key")), file("credential-9.key"));
        HubKeys::load(&pki.key_set(), &[(id, &command)], &[(9, &credential)])
    };
    load(2).unwrap();
    assert!(matches!(load(1), Err(LoadKeysError::NotInSet { kid: 1, generation: 4, .. })));

    for (args, said) in [
        (["retire", "command", "2"], "the last of its kind"),
        (["retire", "command", "7"], "has no command key 7"),
        (["credential-key", "--", "9"], "has a credential key 9 already"),
        // It was in a set once, and its files say so.
        (["command-key", "--", "1"], "exists already"),
    ] {
        let refused = call(&args).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    call(&["credential-key", "3"]).unwrap();
    call(&["credential-key", "4"]).unwrap();
    let refused = call(&["credential-key", "5"]).unwrap_err().to_string();
    assert!(refused.contains("which is all a bank holds"), "{refused}");
    assert_eq!(set_of(&pki), (6, vec![2], vec![4, 3, 9, 1]));
}

#[test]
fn the_root_is_rolled_and_a_foreign_set_is_not_signed() {
    let directory = tempfile::tempdir().unwrap();
    let pki = DevPki::create(directory.path(), &spec()).unwrap();
    let [old, new] = ["root.key", "root-2.key"].map(|name| directory.path().join(name));
    let root_of =
        |path: &Path| RootKey(SigningSeed::load(path).unwrap().public().verifying_key().to_bytes());
    pki.issue_second_root(2).unwrap();
    assert!(matches!(pki.issue_second_root(2), Err(PkiError::Exists { .. })));
    pki.sign_again(&new).unwrap();
    let file = KeySetFile::load(&pki.key_set()).unwrap();
    assert_eq!((file.root(), file.keys.generation.0), (root_of(&new), 2));
    // And back, as long as both are here.
    pki.sign_again(&old).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let other = DevPki::create(elsewhere.path(), &spec()).unwrap();
    std::fs::copy(other.key_set(), pki.key_set()).unwrap();
    let refused = pki.sign_again(&old);
    let theirs = root_of(&elsewhere.path().join("root.key"));
    assert!(matches!(refused, Err(PkiError::ForeignSet { root, .. }) if root == theirs));
}

#[test]
fn keys_are_changed_by_the_root_that_signed_the_set_and_by_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let pki = DevPki::create(directory.path(), &spec()).unwrap();
    let [old, new] = ["root.key", "root-2.key"].map(|name| directory.path().join(name));
    pki.issue_second_root(2).unwrap();
    pki.sign_again(&new).unwrap();
    let signed = std::fs::read(pki.key_set()).unwrap();
    let theirs = KeySetFile::load(&pki.key_set()).unwrap().root();
    // As if --root were forgotten.
    for refused in [
        pki.add_key(&old, KeyKind::Command, 2),
        pki.add_key(&old, KeyKind::Credential, 2),
        pki.retire_key(&old, KeyKind::Command, 1),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, PkiError::OtherRoot { root } if root == theirs), "{error}");
        let said = error.to_string();
        assert!(said.contains(&theirs.to_string()) && said.contains("--root"), "{said}");
    }
    assert_eq!(std::fs::read(pki.key_set()).unwrap(), signed);
    assert!(!directory.path().join("command-2.key").exists(), "no key is made for nothing");
    pki.add_key(&new, KeyKind::Command, 2).unwrap();
    assert_eq!(set_of(&pki), (3, vec![2, 1], vec![1]));
}

#[test]
fn a_damaged_key_set_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let pki = DevPki::create(directory.path(), &spec()).unwrap();
    let text = std::fs::read_to_string(pki.key_set()).unwrap();
    let (comments, line) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(comments.contains("generation 1") && comments.contains("command key 1: "));
    let problem = |text: &str| {
        std::fs::write(pki.key_set(), text).unwrap();
        let error = KeySetFile::load(&pki.key_set()).unwrap_err();
        assert!(error.to_string().contains("key-set.signed"));
        std::error::Error::source(&error).unwrap().to_string()
    };
    // Comments are for people.
    std::fs::write(pki.key_set(), format!("{line}\n# anything\n")).unwrap();
    KeySetFile::load(&pki.key_set()).unwrap();
    let flipped = if line.ends_with('0') { "1" } else { "0" };
    let flipped = format!("{}{flipped}", &line[..line.len() - 1]);
    assert_eq!(problem(&flipped), "its signature is of no use");
    for text in [comments.to_owned(), format!("{line}\n{line}"), line[1..].to_owned(), "zz".into()]
    {
        assert_eq!(problem(&text), "it is not one line of hex digits beside its comments");
    }
    assert_eq!(problem("ffff"), "its line of hex digits is no signed key set");
    let root = SigningSeed::load(&directory.path().join("root.key")).unwrap();
    let empty = KeySet { generation: Generation(2), ..KeySet::default() };
    KeySetFile::sign(&root, empty).replace(&pki.key_set()).unwrap();
    let text = std::fs::read_to_string(pki.key_set()).unwrap();
    assert!(problem(&text).contains("one to 4 keys"));
}

fn read_der(path: &Path) -> Vec<u8> {
    let text = std::fs::read(path).unwrap();
    Pem::iter_from_buffer(&text).next().unwrap().unwrap().contents
}
