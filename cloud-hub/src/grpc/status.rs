//! The only file that turns errors into gRPC statuses, so that each reason has one code and one
//! spelling on every method (AIP-193).

use std::error::Error;

use http::HeaderMap;
use locker_core::refusal::Refusal;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::error;

use crate::alarms::{ClearAlarmError, ReplaceCertificateError};
use crate::banks::{
    ConfigureBankError, CreateBankError, IssueBadgeError, LockDownError, SetLayoutError,
};
use crate::codes::couriers::ReadKeypadCodesError;
use crate::credential_keys::SignTokenError;
use crate::parcels::{BookError, CancelError, ChangeParcelError, CreateParcelError};
use crate::store::{ReadError, WriteError};

/// The domain in which the reasons of our ErrorInfos are unique.
pub const DOMAIN: &str = "postern.dev";

/// Most wrong fields that one answer lists, each field once; of the others it says how many there
/// are. It all travels in headers, of which many clients take no more than 8 KiB.
const VIOLATIONS_MAX: usize = 16;

/// The header in which a status carries its details (gRPC over HTTP2, "Responses").
const DETAILS_HEADER: &str = "grpc-status-details-bin";

/// A status with one ErrorInfo. `facts` hold whatever in the message differs from call to call.
fn with_reason(code: Code, reason: &str, message: &str, facts: &[(&str, &str)]) -> Status {
    Status::with_error_details(code, message, details(reason, facts))
}

fn details(reason: &str, facts: &[(&str, &str)]) -> ErrorDetails {
    let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ErrorDetails::with_error_info(
        reason,
        DOMAIN,
        facts.collect::<std::collections::HashMap<_, _>>(),
    )
}

/// Fields that are wrong in themselves, whatever the hub knows.
pub(super) fn invalid(fields: Vec<(&'static str, String)>) -> Status {
    let found = fields.len();
    let mut listed: Vec<(&'static str, String)> = Vec::new();
    for (field, description) in fields {
        if listed.len() < VIOLATIONS_MAX && listed.iter().all(|(known, _)| *known != field) {
            listed.push((field, description));
        }
    }
    let mut lines: Vec<String> =
        listed.iter().map(|(field, description)| format!("{field}: {description}")).collect();
    let more = found - listed.len();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let message = lines.join("; ");
    let names: Vec<&str> = listed.iter().map(|(field, _)| *field).collect();
    let mut details = details("FIELD_INVALID", &[("fields", &names.join(","))]);
    for (field, description) in listed {
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// The caller's role may not call this.
pub(super) fn not_for_role(role: &str, method: &str) -> Status {
    with_reason(
        Code::PermissionDenied,
        "ROLE_NOT_ALLOWED",
        &format!("a {role} may not call {method}"),
        &[("role", role), ("method", method)],
    )
}

/// The caller named another carrier, whether or not there is one.
pub(super) fn not_own_carrier(named: &str) -> Status {
    with_reason(
        Code::PermissionDenied,
        "OTHER_CARRIER",
        &format!("your certificate does not speak for carriers/{named}"),
        &[("carrier", named)],
    )
}

/// The certificate has been revoked since the connection was made.
pub(super) fn revoked() -> Status {
    with_reason(Code::Unauthenticated, "CERTIFICATE_REVOKED", "your certificate was revoked", &[])
}

/// The certificate has run out since the connection was made.
pub(super) fn certificate_expired() -> Status {
    with_reason(Code::Unauthenticated, "CERTIFICATE_EXPIRED", "your certificate has expired", &[])
}

/// The answer did not come in time.
pub(super) fn deadline_exceeded(allowed_ms: u128) -> Status {
    let allowed = allowed_ms.to_string();
    with_reason(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        &format!("no answer within {allowed} ms; whether the call took effect is not known"),
        &[("allowed_ms", &allowed)],
    )
}

/// The call's own time limit cannot be read.
pub(super) fn timeout_malformed() -> Status {
    let message = "grpc-timeout is not one to eight digits and a unit";
    with_reason(Code::InvalidArgument, "TIMEOUT_MALFORMED", message, &[])
}

/// The hub stops; the caller should come back.
pub(super) fn stopping() -> Status {
    with_reason(Code::Unavailable, "HUB_STOPPING", "the hub is stopping; call again", &[])
}

/// The caller has as many watches as one caller may have.
pub(super) fn too_many_watches(limit: usize) -> Status {
    let limit = limit.to_string();
    with_reason(
        Code::ResourceExhausted,
        "TOO_MANY_WATCHES",
        &format!("you have {limit} watches open, the most that one caller may have"),
        &[("limit", &limit)],
    )
}

/// The resume token is from before the store was restored.
pub(super) fn resume_token_expired() -> Status {
    with_reason(
        Code::OutOfRange,
        "RESUME_TOKEN_EXPIRED",
        "the token is of an event log that has ended; watch from the beginning",
        &[],
    )
}

/// The token was not made here, or for something else.
pub(super) fn token_malformed(field: &'static str) -> Status {
    let mut details = details("TOKEN_MALFORMED", &[("field", field)]);
    details.add_bad_request_violation(field, "expected a token as given out by this method");
    let message = format!("{field}: expected a token as given out by this method");
    Status::with_error_details(Code::InvalidArgument, message, details)
}

pub(super) fn parcel_not_found(name: &str) -> Status {
    let message = format!("there is no parcel {name}");
    with_reason(Code::NotFound, "PARCEL_NOT_FOUND", &message, &[("parcel", name)])
}

pub(super) fn bank_not_found(name: &str) -> Status {
    let message = format!("there is no bank {name}");
    with_reason(Code::NotFound, Refusal::BankUnknown.reason(), &message, &[("bank", name)])
}

pub(super) fn stream_not_found(bank: &str, stream: &str) -> Status {
    let message = format!("{bank} has no stream {stream}");
    let facts = [("bank", bank), ("stream", stream)];
    with_reason(Code::NotFound, "STREAM_NOT_FOUND", &message, &facts)
}

pub(super) fn of_create_parcel(error: CreateParcelError, name: &str) -> Status {
    match error {
        CreateParcelError::Exists => {
            let message = format!("there is a parcel {name} already");
            with_reason(Code::AlreadyExists, "PARCEL_EXISTS", &message, &[("parcel", name)])
        }
        CreateParcelError::RequestIdReused => request_id_reused(),
        CreateParcelError::Write(error) => of_write(error),
    }
}

pub(super) fn of_book(error: BookError, name: &str, bank: &str) -> Status {
    match error {
        BookError::Refused(Refusal::BankUnknown) => bank_not_found(bank),
        BookError::Refused(refusal) => of_refusal(refusal, &[("parcel", name), ("bank", bank)]),
        BookError::NotFound => parcel_not_found(name),
        BookError::WrongState(state) => with_reason(
            Code::FailedPrecondition,
            "PARCEL_WRONG_STATE",
            &format!("the parcel is {}", state.as_str()),
            &[("parcel", name), ("state", state.as_str())],
        ),
        BookError::BankNotConnected => bank_not_connected(bank),
        BookError::RequestIdReused => request_id_reused(),
        BookError::Write(error) => of_write(error),
    }
}

pub(super) fn of_cancel(error: CancelError, name: &str) -> Status {
    match error {
        CancelError::Refused(refusal) => of_refusal(refusal, &[("parcel", name)]),
        CancelError::NotFound => parcel_not_found(name),
        CancelError::RequestIdReused => request_id_reused(),
        CancelError::Write(error) => of_write(error),
    }
}

pub(super) fn of_change_parcel(error: ChangeParcelError, name: &str) -> Status {
    match error {
        ChangeParcelError::Refused(refusal) => of_refusal(refusal, &[("parcel", name)]),
        ChangeParcelError::NotFound => parcel_not_found(name),
        ChangeParcelError::TooManyCodes => with_reason(
            Code::ResourceExhausted,
            "TOO_MANY_CODES",
            "the parcel has had as many codes as a bank can hold",
            &[("parcel", name)],
        ),
        ChangeParcelError::DelegateUnknown => with_reason(
            Code::NotFound,
            "DELEGATE_UNKNOWN",
            "the parcel has no such delegate, or no more",
            &[("parcel", name)],
        ),
        ChangeParcelError::RequestIdReused => request_id_reused(),
        ChangeParcelError::Write(error) => of_write(error),
    }
}

/// A code that was made cannot be signed: the bank holds none of our keys.
pub(super) fn of_sign_token(error: SignTokenError, bank: &str) -> Status {
    match error {
        SignTokenError::NoCommonKey => with_reason(
            Code::FailedPrecondition,
            "BANK_HOLDS_NO_KEY",
            "the bank has not taken over a credential key yet; it must connect first",
            &[("bank", bank)],
        ),
        SignTokenError::Sign(error) => internal("code not signed", &error),
    }
}

/// What is asked for needs the bank now, and is never kept for later.
pub(super) fn bank_not_connected(bank: &str) -> Status {
    let message = "the bank is not connected; try again when it is";
    with_reason(Code::Unavailable, "BANK_NOT_CONNECTED", message, &[("bank", bank)])
}

pub(super) fn of_configure_bank(error: ConfigureBankError, name: &str) -> Status {
    match error {
        ConfigureBankError::NotFound => bank_not_found(name),
        ConfigureBankError::UnsoundQuota => {
            let expected = "expected each size of the layout at most once, and at most 32 sizes";
            invalid(vec![("ceded", expected.to_owned())])
        }
        ConfigureBankError::NoCodes => codes_not_configured(),
        ConfigureBankError::TooManyCouriersCodes { codes } => {
            let codes = codes.to_string();
            let message = format!("{codes} codes for couriers are more than a bank holds");
            let facts = [("bank", name), ("codes", &codes)];
            with_reason(Code::FailedPrecondition, "TOO_MANY_COURIER_CODES", &message, &facts)
        }
        ConfigureBankError::RequestIdReused => request_id_reused(),
        ConfigureBankError::Write(error) => of_write(error),
    }
}

/// What is asked for needs six-digit codes, which this hub does not make.
pub(super) fn codes_not_configured() -> Status {
    let message = "this hub makes no six-digit codes; its operator can configure them";
    with_reason(Code::FailedPrecondition, "CODES_NOT_CONFIGURED", message, &[])
}

pub(super) fn of_read_keypad_codes(error: ReadKeypadCodesError, bank: &str) -> Status {
    match error {
        ReadKeypadCodesError::BankUnknown => bank_not_found(bank),
        ReadKeypadCodesError::NotAllowed => {
            let message = "your couriers have no keypad codes at this bank; ask its operator";
            let facts = [("bank", bank)];
            with_reason(Code::PermissionDenied, "KEYPAD_NOT_ALLOWED", message, &facts)
        }
        ReadKeypadCodesError::Unreadable(error) => internal("courier codes not read", &error),
        ReadKeypadCodesError::Read(error) => of_read(error),
        ReadKeypadCodesError::Write(error) => of_write(error),
    }
}

pub(super) fn of_lock_down(error: LockDownError, name: &str) -> Status {
    match error {
        LockDownError::NotFound => bank_not_found(name),
        LockDownError::NotConnected => bank_not_connected(name),
        LockDownError::Refused(answer) => with_reason(
            Code::FailedPrecondition,
            "COMMAND_NOT_FOLLOWED",
            "the bank heard the order and did not follow it; order it again",
            &[("bank", name), ("answer", &answer)],
        ),
        LockDownError::RequestIdReused => request_id_reused(),
        LockDownError::Read(error) => of_read(error),
        LockDownError::Write(error) => of_write(error),
    }
}

pub(super) fn of_create_bank(error: CreateBankError, name: &str) -> Status {
    match error {
        CreateBankError::Exists => {
            let message = format!("there is a bank {name} already");
            with_reason(Code::AlreadyExists, "BANK_EXISTS", &message, &[("bank", name)])
        }
        CreateBankError::UnsoundLayout => unsound_layout("bank.layout"),
        CreateBankError::RequestIdReused => request_id_reused(),
        CreateBankError::Write(error) => of_write(error),
    }
}

pub(super) fn of_set_layout(error: SetLayoutError, name: &str) -> Status {
    match error {
        SetLayoutError::NotFound => bank_not_found(name),
        SetLayoutError::UnsoundLayout => unsound_layout("layout"),
        SetLayoutError::RequestIdReused => request_id_reused(),
        SetLayoutError::Write(error) => of_write(error),
    }
}

pub(super) fn of_issue_badge(error: IssueBadgeError, name: &str) -> Status {
    match error {
        IssueBadgeError::NotFound => bank_not_found(name),
        IssueBadgeError::RequestIdReused => request_id_reused(),
        IssueBadgeError::Sign(error) => of_sign_token(error, name),
        IssueBadgeError::Write(error) => of_write(error),
    }
}

pub(super) fn of_clear_alarm(error: ClearAlarmError, name: &str) -> Status {
    match error {
        ClearAlarmError::NotFound => {
            let message = format!("there is no alarm {name}");
            with_reason(Code::NotFound, "ALARM_NOT_FOUND", &message, &[("alarm", name)])
        }
        ClearAlarmError::Cleared => {
            let message = "the alarm was cleared before";
            let facts = [("alarm", name)];
            with_reason(Code::FailedPrecondition, "ALARM_CLEARED", message, &facts)
        }
        ClearAlarmError::RequestIdReused => request_id_reused(),
        ClearAlarmError::Write(error) => of_write(error),
    }
}

pub(super) fn of_replace_certificate(error: ReplaceCertificateError, name: &str) -> Status {
    match error {
        ReplaceCertificateError::NotFound => bank_not_found(name),
        ReplaceCertificateError::Unreadable(_) | ReplaceCertificateError::OtherIdentity(_) => {
            invalid(vec![("certificate", error.to_string())])
        }
        ReplaceCertificateError::Revoked => {
            let message = "the certificate was revoked before; issue another";
            let facts = [("bank", name)];
            with_reason(Code::FailedPrecondition, "CERTIFICATE_REVOKED", message, &facts)
        }
        ReplaceCertificateError::RequestIdReused => request_id_reused(),
        ReplaceCertificateError::Write(error) => of_write(error),
    }
}

pub(super) fn of_read(error: ReadError) -> Status {
    match error {
        ReadError::Database(_) => store_unavailable(&error),
        ReadError::Damaged { .. } => {
            error!(%error, "store holds something unreadable");
            let message = "something in the hub's store cannot be read";
            with_reason(Code::DataLoss, "STORE_DAMAGED", message, &[])
        }
    }
}

/// Something failed that cannot; the log says what.
pub(super) fn internal(what: &'static str, error: &(dyn Error + 'static)) -> Status {
    error!(error, "{what}");
    with_reason(Code::Internal, "INTERNAL", "the hub failed; its log says how", &[])
}

fn of_write(error: WriteError) -> Status {
    match error {
        WriteError::Database(_) | WriteError::Commit(_) => store_unavailable(&error),
        WriteError::Read(error) => of_read(error),
        WriteError::Closed => stopping(),
    }
}

/// A repeat with the same request id is safe, so callers may try again.
fn store_unavailable(error: &(dyn Error + 'static)) -> Status {
    error!(error, "store failed a call");
    let message = "the hub's store does not answer; call again with the same request_id";
    with_reason(Code::Unavailable, "STORE_UNAVAILABLE", message, &[])
}

fn request_id_reused() -> Status {
    let message = "the request_id was used for another call; make a new UUID for each call";
    with_reason(Code::FailedPrecondition, "REQUEST_ID_REUSED", message, &[])
}

fn unsound_layout(field: &'static str) -> Status {
    let description =
        "expected numbers and lock positions that are each used once, and rooms of at least 1 mm";
    let mut details = details("LAYOUT_UNSOUND", &[("field", field)]);
    details.add_bad_request_violation(field, description);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {description}"), details)
}

fn of_refusal(refusal: Refusal, facts: &[(&str, &str)]) -> Status {
    with_reason(code_of(refusal), refusal.reason(), &refusal.to_string(), facts)
}

fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::BankUnknown | Refusal::BarcodeUnknown | Refusal::CodeUnknown => Code::NotFound,
        Refusal::NoFreeCompartment
        | Refusal::TooManyOpenings
        | Refusal::KeypadWait
        | Refusal::KeypadClosed => Code::ResourceExhausted,
        Refusal::OtherCarriersParcel | Refusal::StaffOnly => Code::PermissionDenied,
        Refusal::BankNotAccepting
        | Refusal::OnBattery
        | Refusal::JustStarted
        | Refusal::BeingPrepared
        | Refusal::ParcelTooLarge
        | Refusal::AlreadyDeposited
        | Refusal::AlreadyCollected
        | Refusal::ParcelCancelled
        | Refusal::ParcelUnresolved
        | Refusal::NotDeposited
        | Refusal::CancellationTooLate
        | Refusal::CodeMalformed
        | Refusal::CodeAltered
        | Refusal::CodeKeyUnknown
        | Refusal::CodeOtherBank
        | Refusal::CodeExpired
        | Refusal::ClockUnknown
        | Refusal::CodeUsed
        | Refusal::CodeWrong
        | Refusal::CodeRevoked
        | Refusal::SessionBusy
        | Refusal::NoSession
        | Refusal::NotNow
        | Refusal::DoorOpen
        | Refusal::NoPulseLeft
        | Refusal::LockUnreachable
        | Refusal::StorageUnsafe
        | Refusal::BookingExpired
        | Refusal::ParcelExpired
        | Refusal::ParcelRecalled
        | Refusal::ParcelMissing
        | Refusal::NotRecalled
        | Refusal::BarcodeMismatch
        | Refusal::PickupInProgress
        | Refusal::RecallInProgress
        | Refusal::LockedDown
        | Refusal::SecondPerson
        | Refusal::ConfirmNumber
        | Refusal::CompartmentUnknown
        | Refusal::NoMoreParcels => Code::FailedPrecondition,
    }
}

/// What our libraries answer by themselves, what it is to the caller, and its reason.
const FROM_LIBRARIES: [(Code, Code, &str); 4] = [
    // Tonic reports what it could not decode as its own fault.
    (Code::Internal, Code::InvalidArgument, "MESSAGE_MALFORMED"),
    (Code::OutOfRange, Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
    (Code::Unimplemented, Code::Unimplemented, "METHOD_UNKNOWN"),
    (Code::NotFound, Code::NotFound, "SERVICE_UNKNOWN"),
];

/// A status in place of one that our libraries made themselves, without details: messages that
/// cannot be read or are too large, methods that do not exist.
pub(super) fn of_library(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    if status.code() == Code::Ok || headers.contains_key(DETAILS_HEADER) {
        return None;
    }
    let known = FROM_LIBRARIES.iter().find(|(found, ..)| *found == status.code());
    let (code, reason) =
        known.map_or((status.code(), "UNSPECIFIED"), |(_, code, reason)| (*code, *reason));
    Some(with_reason(code, reason, status.message(), &[]))
}

#[cfg(test)]
mod tests;
