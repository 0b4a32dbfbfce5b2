//! Generation from a small .proto tree of its own, and what is said about differences.

use super::*;

const PARCEL: &str = r#"syntax = "proto3";
package locker.carrier.v1;
import "google/api/field_behavior.proto";
import "google/protobuf/timestamp.proto";
import "locker/bank/v1/size.proto";

// A parcel on its way.
message Parcel {
  // Its name.
  string name = 1 [(google.api.field_behavior) = REQUIRED];
  // When it was announced.
  google.protobuf.Timestamp create_time = 2;
  // How large it is.
  locker.bank.v1.Size size = 3;
}

// Parcels of a carrier.
service ParcelService {
  // Follows a parcel.
  rpc WatchParcel(Parcel) returns (stream Parcel);
}
"#;

const SIZE: &str = r#"syntax = "proto3";
package locker.bank.v1;
// Outer measures.
message Size {
  // In millimetres.
  uint32 width_mm = 1;
}
"#;

fn generate_sample() -> Files {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in
        [("locker/carrier/v1/parcel.proto", PARCEL), ("locker/bank/v1/size.proto", SIZE)]
    {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    generate(dir.path(), &root().join("third_party/googleapis")).unwrap()
}

fn text(files: &Files, name: &str) -> String {
    String::from_utf8(files[name].clone()).unwrap()
}

#[test]
fn one_file_a_package_and_none_for_google() {
    let names: Vec<_> = generate_sample().into_keys().collect();
    assert_eq!(names, [DESCRIPTOR, "locker.bank.v1.rs", "locker.carrier.v1.rs"]);
}

#[test]
fn comments_and_stubs_are_in_the_code() {
    let files = generate_sample();
    let carrier = text(&files, "locker.carrier.v1.rs");
    for wanted in [
        "/// A parcel on its way.",
        "::core::option::Option<::prost_types::Timestamp>",
        "pub struct ParcelServiceClient<T>",
        "pub struct ParcelServiceServer<T>",
        "super::super::bank::v1::Size",
    ] {
        assert!(carrier.contains(wanted), "no `{wanted}` in:\n{carrier}");
    }
}

#[test]
fn a_package_without_a_service_needs_no_tonic() {
    assert!(!text(&generate_sample(), "locker.bank.v1.rs").contains("tonic"));
}

#[test]
fn the_descriptor_keeps_googles_options() {
    let files = generate_sample();
    let pool = protox::prost_reflect::DescriptorPool::decode(&files[DESCRIPTOR][..]).unwrap();
    let parcel = pool.get_message_by_name("locker.carrier.v1.Parcel").unwrap();
    let options = parcel.get_field_by_name("name").unwrap().options();
    assert_eq!(options.extensions().count(), 1);
}

#[test]
fn nothing_to_compile_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = generate(dir.path(), dir.path()).unwrap_err().to_string();
    assert!(error.starts_with("there is no .proto file under"), "{error}");
}

#[test]
fn differences_are_told_by_file_and_line() {
    let files = |list: &[(&str, &str)]| -> Files {
        list.iter().map(|(name, text)| ((*name).into(), text.as_bytes().to_vec())).collect()
    };
    let found = files(&[("a.rs", "x\ny\n"), ("old.rs", ""), ("same.rs", "z")]);
    let wanted = files(&[("a.rs", "x\nq\n"), ("new.rs", ""), ("same.rs", "z")]);
    assert_eq!(
        compare(&found, &wanted),
        [
            "a.rs: line 2 is `y` and should be `q`",
            "new.rs: missing",
            "old.rs: no .proto file makes it",
        ]
    );
}

#[test]
fn writing_leaves_no_stale_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("old.rs"), "old").unwrap();
    let wanted = Files::from([("new.rs".to_owned(), b"new".to_vec())]);
    write(dir.path(), &read(dir.path()).unwrap(), &wanted).unwrap();
    assert_eq!(read(dir.path()).unwrap(), wanted);
}
