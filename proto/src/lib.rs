//! What Postern writes to disk and sends over networks, and the way between that and the core's types.
//!
//! The forms are protobuf, generated from the `.proto` files beside this crate ([`wire`]). Everything else here turns
//! them into checked values and back: one total function each way, so that code past this crate never sees an id of the
//! wrong length. Start at [`record`] for the journal, at [`message`] for what a bank and the hub tell each other.

mod convert;
mod document;
pub mod entity;
mod fact;
pub mod fuzz;
mod grant;
pub mod key_set;
mod malformed;
pub mod message;
pub mod record;
pub mod signed;
pub mod topics;

pub use document::{
    decode_courier_codes, decode_key_set, decode_layout, decode_mode, decode_quota,
};
pub use document::{
    encode_courier_codes, encode_key_set, encode_layout, encode_mode, encode_quota,
};
pub use grant::{decode_grant, encode_grant};
pub use malformed::{FieldProblem, Malformed};

/// The generated forms. Only the hub's gRPC surface and tools that look into bytes should need them.
pub mod wire {
    /// What is in a journal, and what it adds up to.
    pub mod journal {
        pub mod v1 {
            include!("gen/locker.journal.v1.rs");
        }
    }

    /// What a bank and the hub send each other.
    pub mod bank {
        pub mod v1 {
            include!("gen/locker.bank.v1.rs");
        }
    }

    /// What carriers and retailers call.
    #[cfg(feature = "grpc")]
    pub mod carrier {
        #[expect(
            unused_qualifications,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::large_enum_variant,
            clippy::missing_errors_doc,
            clippy::too_many_lines,
            reason = "generated code"
        )]
        pub mod v1 {
            include!("gen/locker.carrier.v1.rs");
        }
    }

    /// What operators call.
    #[cfg(feature = "grpc")]
    pub mod fleet {
        #[expect(
            unused_qualifications,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::missing_errors_doc,
            clippy::too_many_lines,
            reason = "generated code"
        )]
        pub mod v1 {
            include!("gen/locker.fleet.v1.rs");
        }
    }

    /// What auditors call.
    #[cfg(feature = "grpc")]
    pub mod audit {
        #[expect(
            unused_qualifications,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::missing_errors_doc,
            clippy::too_many_lines,
            reason = "generated code"
        )]
        pub mod v1 {
            include!("gen/locker.audit.v1.rs");
        }
    }
}

/// All services and messages as an encoded `google.protobuf.FileDescriptorSet`: what gRPC reflection shows.
#[cfg(feature = "grpc")]
pub const DESCRIPTOR: &[u8] = include_bytes!("gen/descriptor.bin");
