//! Why bytes are not what they should be: one error for every form, which names the field.

use locker_core::ids::ParseIdError;
use thiserror::Error;

/// Why bytes do not have a certain form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("these are {bytes} bytes, more than {max_bytes}")]
    TooLarge { bytes: usize, max_bytes: usize },
    #[error("these bytes are not protobuf of this message")]
    NotProtobuf(#[source] prost::DecodeError),
    #[error("field {field} cannot be used")]
    Field {
        /// Message and field as in the `.proto` file, such as `Record.stream_id`.
        field: &'static str,
        #[source]
        problem: FieldProblem,
    },
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldProblem {
    #[error("it is missing")]
    Missing,
    #[error("it has {bytes} bytes and should have {want_bytes}")]
    Length { bytes: usize, want_bytes: usize },
    #[error("it has {bytes} bytes, more than {max_bytes}")]
    TooLong { bytes: usize, max_bytes: usize },
    #[error("it has {entries} entries, more than {max}")]
    TooMany { entries: usize, max: usize },
    #[error("an entry comes twice")]
    Repeated,
    #[error("{value} is not in {min}..={max}")]
    Range { value: u64, min: u64, max: u64 },
    #[error("this version knows no value {value}")]
    UnknownValue { value: i32 },
    #[error("it does not parse")]
    Text(#[source] ParseIdError),
}

impl Malformed {
    /// Whether a newer version may have meant something by it: a value that was added to an enum.
    #[must_use]
    pub const fn may_be_newer(&self) -> bool {
        matches!(self, Self::Field { problem: FieldProblem::UnknownValue { .. }, .. })
    }

    pub(crate) const fn field(field: &'static str, problem: FieldProblem) -> Self {
        Self::Field { field, problem }
    }
}
