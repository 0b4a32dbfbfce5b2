//! Why `hubctl` did not do what it was told, in words for a terminal and as an exit code.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::table::plain;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody said how to reach the hub.
    #[error(
        "{what} is missing: give --{option}, set POSTERN_{variable}, or name it in a --context file"
    )]
    Missing {
        /// What is missing.
        what: &'static str,
        /// The option.
        option: &'static str,
        /// The variable, without its prefix.
        variable: &'static str,
    },
    /// A file is of no use.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The hub's address is none, or the certificates do not fit.
    #[error("cannot connect to {hub}: {reason}")]
    Address {
        /// The address.
        hub: String,
        /// What is wrong.
        reason: String,
    },
    /// The hub cannot be reached.
    #[error("cannot reach {hub}: {reason}")]
    Unreachable {
        /// The address.
        hub: String,
        /// What the network said.
        reason: String,
    },
    /// The connection broke; often because the hub does not take the certificate.
    #[error("the connection broke: {reason}")]
    Broken {
        /// The innermost cause.
        reason: String,
    },
    /// The hub answered with an error.
    #[error("{}", Refusal(.0))]
    Refused(Box<Status>),
    /// What was checked does not hold; what does not was written already.
    #[error("{findings} of the things checked {} not hold", if *findings == 1 { "does" } else { "do" })]
    NotHolding {
        /// How many things.
        findings: u64,
    },
    /// There is nothing to make evidence of.
    #[error("no bank has recorded anything about {parcel}")]
    NoEvidence {
        /// About which parcel.
        parcel: String,
    },
    /// Results could not be written.
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Missing { .. } | Self::File { .. } | Self::Address { .. } => 2,
            Self::Unreachable { .. } | Self::Broken { .. } => 3,
            Self::Refused(status) if is_passing(status) => 3,
            Self::Refused(_)
            | Self::NotHolding { .. }
            | Self::NoEvidence { .. }
            | Self::Output(_) => 1,
        }
    }

    /// Whether the reader of our output has gone, as with `| head`: no failure for a user.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl From<Status> for Failure {
    /// A status with a source is the transport's, not the hub's.
    fn from(status: Status) -> Self {
        match status.source() {
            Some(source) => Self::Broken { reason: deepest(source) },
            None => Self::Refused(Box::new(status)),
        }
    }
}

/// The innermost cause: transport errors wrap it in layers that say nothing.
pub(super) fn deepest(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Whether the same call may well succeed later.
pub(super) fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

/// A status as a person reads it: code, reason, message, and what the reason is about.
struct Refusal<'a>(&'a Status);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        let info = status.get_details_error_info();
        write!(f, "{}", code_name(status.code()))?;
        if let Some(info) = &info {
            write!(f, " {}", plain(&info.reason))?;
        }
        write!(f, ": {}", plain(status.message()))?;
        let mut facts: Vec<_> = info.iter().flat_map(|info| &info.metadata).collect();
        facts.sort_unstable();
        facts
            .into_iter()
            .try_for_each(|(key, value)| write!(f, "\n  {}: {}", plain(key), plain(value)))
    }
}

/// The code as the protocol's documentation writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
