//! Every message, field, enum, value, service and method in our .proto files says what it is for.

use std::path::Path;

use protox::prost_reflect::prost_types::source_code_info::Location;
use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto,
};

use crate::repository::{files, root};

// Field numbers of descriptor.proto, of which a location's path is made.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

#[test]
fn everything_in_a_proto_file_has_a_comment() {
    let all = files();
    let protos = all.iter().filter_map(|file| file.path.strip_prefix("proto/"));
    let protos: Vec<_> = protos.filter(|path| path.ends_with(".proto")).collect();
    assert!(!protos.is_empty(), "there is no .proto file");

    let root = root();
    let mut compiler =
        protox::Compiler::new([root.join("proto"), root.join("third_party/googleapis")]).unwrap();
    compiler.include_source_info(true);
    compiler.open_files(protos.iter().map(Path::new)).unwrap();
    let bare: Vec<_> =
        compiler.file_descriptor_set().file.iter().flat_map(without_comment).collect();
    assert!(bare.is_empty(), "without a comment:\n{}", bare.join("\n"));
}

#[test]
fn each_kind_of_thing_without_a_comment_is_found() {
    let source = r#"syntax = "proto3";
        // Said.
        message Said {
          // Said.
          uint32 said = 1;
          uint32 bare = 2;
          uint32 said_behind = 3; // Said.
          map<string, string> bare_map = 4;
          oneof bare_choice {
            // Said.
            bool yes = 5;
          }
          message Inner {}
          // Said.
          enum Kind {
            KIND_UNSPECIFIED = 0;
          }
        }
        service Bare {
          rpc Call(Said) returns (Said);
        }
    "#;
    let file = protox::file::File::from_source("a.proto", source).unwrap();
    assert_eq!(
        without_comment(file.file_descriptor_proto()),
        [
            "a.proto:6: bare",
            "a.proto:8: bare_map",
            "a.proto:9: bare_choice",
            "a.proto:13: Inner",
            "a.proto:16: KIND_UNSPECIFIED",
            "a.proto:19: Bare",
            "a.proto:20: Call",
        ]
    );
}

fn without_comment(file: &FileDescriptorProto) -> Vec<String> {
    let mut walk = Walk { file, bare: Vec::new() };
    for (i, message) in (0..).zip(&file.message_type) {
        walk.message(&[FILE_MESSAGE, i], message);
    }
    for (i, kind) in (0..).zip(&file.enum_type) {
        walk.enumeration(&[FILE_ENUM, i], kind);
    }
    for (i, service) in (0..).zip(&file.service) {
        walk.thing(&[FILE_SERVICE, i], service.name());
        for (j, method) in (0..).zip(&service.method) {
            walk.thing(&[FILE_SERVICE, i, SERVICE_METHOD, j], method.name());
        }
    }
    walk.bare.sort();
    walk.bare.into_iter().map(|(line, name)| format!("{}:{line}: {name}", file.name())).collect()
}

struct Walk<'a> {
    file: &'a FileDescriptorProto,
    /// Line and name.
    bare: Vec<(i32, String)>,
}

impl Walk<'_> {
    fn message(&mut self, path: &[i32], message: &DescriptorProto) {
        // The entry of a map field is a message that nobody wrote.
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return;
        }
        self.thing(path, message.name());
        for (i, field) in (0..).zip(&message.field) {
            self.thing(&child(path, MESSAGE_FIELD, i), field.name());
        }
        for (i, choice) in (0..).zip(&message.oneof_decl) {
            // So is the oneof of an `optional` field.
            let is_written = message.field.iter().any(|field| {
                field.oneof_index == Some(i) && !field.proto3_optional.unwrap_or_default()
            });
            if is_written {
                self.thing(&child(path, MESSAGE_ONEOF, i), choice.name());
            }
        }
        for (i, inner) in (0..).zip(&message.nested_type) {
            self.message(&child(path, MESSAGE_NESTED, i), inner);
        }
        for (i, kind) in (0..).zip(&message.enum_type) {
            self.enumeration(&child(path, MESSAGE_ENUM, i), kind);
        }
    }

    fn enumeration(&mut self, path: &[i32], kind: &EnumDescriptorProto) {
        self.thing(path, kind.name());
        for (i, value) in (0..).zip(&kind.value) {
            self.thing(&child(path, ENUM_VALUE, i), value.name());
        }
    }

    fn thing(&mut self, path: &[i32], name: &str) {
        let locations = &self.file.source_code_info.as_ref().expect("asked for").location;
        let location = locations.iter().find(|location| location.path == path);
        let is_said = |location: &Location| {
            let comments = [&location.leading_comments, &location.trailing_comments];
            comments.into_iter().flatten().any(|comment| !comment.trim().is_empty())
        };
        if !location.is_some_and(is_said) {
            let line = location.map_or(0, |location| location.span[0] + 1);
            self.bare.push((line, name.to_owned()));
        }
    }
}

fn child(path: &[i32], kind: i32, index: i32) -> Vec<i32> {
    [path, &[kind, index]].concat()
}
