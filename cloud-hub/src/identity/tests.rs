use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;

fn certificate(uris: &[&str]) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn one_postern_uri_is_the_identity_whatever_other_names_there_are() {
    for (uri, kind) in [
        ("urn:postern:bank:bank-1", IdentityKind::Bank),
        ("urn:postern:carrier:acme", IdentityKind::Carrier),
        ("urn:postern:operator:9", IdentityKind::Operator),
        ("urn:postern:hub:dev", IdentityKind::Hub),
    ] {
        let identity =
            Identity::of_certificate(&certificate(&["https://example.org", uri])).unwrap();
        assert_eq!(identity.kind(), kind);
        assert_eq!(identity.to_string(), uri);
    }
}

#[test]
fn no_postern_uri_or_two_of_them_is_refused() {
    let missing = Identity::of_certificate(&certificate(&["https://example.org"]));
    assert_eq!(missing, Err(IdentityError::Missing));
    let two = ["urn:postern:bank:a", "urn:postern:operator:a"];
    assert_eq!(Identity::of_certificate(&certificate(&two)), Err(IdentityError::Several));
    let twice = ["urn:postern:bank:a", "urn:postern:bank:a"];
    assert_eq!(Identity::of_certificate(&certificate(&twice)), Err(IdentityError::Several));
}

#[test]
fn ids_outside_the_grammar_and_unknown_kinds_are_refused() {
    let long = format!("urn:postern:bank:{}", "a".repeat(33));
    for uri in [
        "urn:postern:bank:",
        "urn:postern:bank",
        "urn:postern:bank:-a",
        "urn:postern:bank:a-",
        "urn:postern:bank:A",
        "urn:postern:bank:a/b",
        "urn:postern:bank:a+b",
        "urn:postern:bank:a#",
        "urn:postern:bank:a:b",
        "urn:postern:hub:-",
        "urn:postern:hub:a_b",
        "urn:postern:root:a",
        "urn:postern::a",
        "URN:postern:bank:a",
        "urn:POSTERN:bank:a",
        long.as_str(),
    ] {
        let found = Identity::of_certificate(&certificate(&[uri]));
        assert!(matches!(found, Err(IdentityError::Malformed(_))), "{uri}: {found:?}");
    }
}

#[test]
fn ids_of_one_and_of_32_characters_are_accepted() {
    let longest = format!("urn:postern:bank:{}", "a".repeat(32));
    for uri in ["urn:postern:bank:a", "urn:postern:hub:7", longest.as_str()] {
        assert_eq!(uri.parse::<Identity>().unwrap().to_string(), uri);
    }
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    assert_eq!(Identity::of_certificate(&[]), Err(IdentityError::Certificate));
    assert_eq!(Identity::of_certificate(b"not DER"), Err(IdentityError::Certificate));
    let mut trailing = certificate(&["urn:postern:bank:a"]);
    trailing.push(0);
    assert_eq!(Identity::of_certificate(&trailing), Err(IdentityError::Certificate));
}
