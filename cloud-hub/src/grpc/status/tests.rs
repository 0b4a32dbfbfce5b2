use sea_orm::DbErr;
use tonic_types::{ErrorDetail, ErrorInfo};

use super::*;
use crate::codes::sealing::OpenSealedError;
use crate::store::HubParcelState;

fn info(status: &Status) -> ErrorInfo {
    let details = status.get_error_details_vec();
    let mut infos = details.into_iter().filter_map(|detail| {
        if let ErrorDetail::ErrorInfo(info) = detail { Some(info) } else { None }
    });
    let info = infos.next().expect("an ErrorInfo");
    assert!(infos.next().is_none(), "two ErrorInfos");
    info
}

fn assert_is_proper(status: &Status) {
    let info = info(status);
    assert_eq!(info.domain, DOMAIN);
    let upper_snake = |c: char| c.is_ascii_uppercase() || c == '_';
    assert!(info.reason.len() <= 63 && info.reason.chars().all(upper_snake), "{}", info.reason);
    assert!(!status.message().is_empty());
}

#[test]
fn every_refusal_has_a_code_and_its_own_reason() {
    for refusal in Refusal::ALL.iter().copied() {
        let status = of_book(BookError::Refused(refusal), "carriers/a/parcels/p", "banks/b");
        assert_is_proper(&status);
        assert_eq!(info(&status).reason, refusal.reason());
        assert_ne!(status.code(), Code::Unknown);
    }
}

#[test]
fn errors_have_the_codes_of_the_table() {
    use CreateParcelError as Create;
    let write = || WriteError::Database(DbErr::Custom("disk".into()));
    let damaged = ReadError::Damaged { table: "parcels", column: "size" };
    let (parcel, bank) = ("carriers/a/parcels/p", "banks/b");
    let no_key = IssueBadgeError::Sign(SignTokenError::NoCommonKey);
    let book = |error| of_book(error, parcel, bank);
    let rows = [
        (of_create_parcel(Create::Exists, parcel), Code::AlreadyExists, "PARCEL_EXISTS"),
        (
            of_create_parcel(Create::RequestIdReused, parcel),
            Code::FailedPrecondition,
            "REQUEST_ID_REUSED",
        ),
        (of_create_parcel(Create::Write(write()), parcel), Code::Unavailable, "STORE_UNAVAILABLE"),
        (
            of_create_parcel(Create::Write(WriteError::Closed), parcel),
            Code::Unavailable,
            "HUB_STOPPING",
        ),
        (book(BookError::NotFound), Code::NotFound, "PARCEL_NOT_FOUND"),
        (book(BookError::Refused(Refusal::BankUnknown)), Code::NotFound, "BANK_UNKNOWN"),
        (
            book(BookError::Refused(Refusal::NoFreeCompartment)),
            Code::ResourceExhausted,
            "NO_FREE_COMPARTMENT",
        ),
        (
            book(BookError::WrongState(HubParcelState::Stored)),
            Code::FailedPrecondition,
            "PARCEL_WRONG_STATE",
        ),
        (
            of_cancel(CancelError::Refused(Refusal::AlreadyCollected), parcel),
            Code::FailedPrecondition,
            "ALREADY_COLLECTED",
        ),
        (of_create_bank(CreateBankError::Exists, bank), Code::AlreadyExists, "BANK_EXISTS"),
        (
            of_create_bank(CreateBankError::UnsoundLayout, bank),
            Code::InvalidArgument,
            "LAYOUT_UNSOUND",
        ),
        (of_set_layout(SetLayoutError::NotFound, bank), Code::NotFound, "BANK_UNKNOWN"),
        (of_issue_badge(no_key, bank), Code::FailedPrecondition, "BANK_HOLDS_NO_KEY"),
        (of_read(damaged), Code::DataLoss, "STORE_DAMAGED"),
        (resume_token_expired(), Code::OutOfRange, "RESUME_TOKEN_EXPIRED"),
        (token_malformed("resume_token"), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (too_many_watches(16), Code::ResourceExhausted, "TOO_MANY_WATCHES"),
        (stopping(), Code::Unavailable, "HUB_STOPPING"),
        (deadline_exceeded(30_000), Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (not_own_carrier("other"), Code::PermissionDenied, "OTHER_CARRIER"),
        (revoked(), Code::Unauthenticated, "CERTIFICATE_REVOKED"),
    ];
    for (status, code, reason) in rows {
        assert_is_proper(&status);
        assert_eq!((status.code(), info(&status).reason.as_str()), (code, reason));
    }
}

#[test]
fn couriers_codes_are_refused_with_the_codes_of_the_table() {
    let bank = "banks/b";
    let configure = |error| of_configure_bank(error, bank);
    let read = |error| of_read_keypad_codes(error, bank);
    let sealed = ReadKeypadCodesError::Unreadable(OpenSealedError::Malformed);
    let rows = [
        (configure(ConfigureBankError::NoCodes), Code::FailedPrecondition, "CODES_NOT_CONFIGURED"),
        (
            configure(ConfigureBankError::TooManyCouriersCodes { codes: 165 }),
            Code::FailedPrecondition,
            "TOO_MANY_COURIER_CODES",
        ),
        (codes_not_configured(), Code::FailedPrecondition, "CODES_NOT_CONFIGURED"),
        (read(ReadKeypadCodesError::NotAllowed), Code::PermissionDenied, "KEYPAD_NOT_ALLOWED"),
        (read(ReadKeypadCodesError::BankUnknown), Code::NotFound, "BANK_UNKNOWN"),
        (read(sealed), Code::Internal, "INTERNAL"),
    ];
    for (status, code, reason) in rows {
        assert_is_proper(&status);
        assert_eq!((status.code(), info(&status).reason.as_str()), (code, reason));
    }
}

#[test]
fn wrong_fields_are_all_named_in_one_answer() {
    let status = invalid(vec![("name", "expected a name".into()), ("bank", "is required".into())]);
    assert_is_proper(&status);
    let request = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = request.field_violations.iter().map(|found| &found.field[..]).collect();
    assert_eq!(fields, ["name", "bank"]);
}

#[test]
fn what_libraries_answer_gets_an_error_info_too() {
    let headers = |status: Status| status.into_http::<()>().into_parts().0.headers;
    let better = |code| {
        let status = of_library(&headers(Status::new(code, "as the library says")))?;
        Some((status.code(), info(&status).reason))
    };
    let answer = |code, reason: &str| Some((code, reason.to_owned()));
    assert_eq!(better(Code::Ok), None);
    assert_eq!(better(Code::Internal), answer(Code::InvalidArgument, "MESSAGE_MALFORMED"));
    assert_eq!(better(Code::OutOfRange), answer(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    assert_eq!(better(Code::Unimplemented), answer(Code::Unimplemented, "METHOD_UNKNOWN"));
    assert!(of_library(&headers(stopping())).is_none());
    assert!(of_library(&HeaderMap::new()).is_none());
}

#[test]
fn however_many_fields_are_wrong_the_answer_fits_in_headers() {
    let repeated = ["layout.compartments.length_mm", "layout.compartments.lock"];
    let wrong = |field| (field, "expected 1 to 3000".to_owned());
    let status = invalid(repeated.into_iter().cycle().take(3_000).map(wrong).collect());
    let request = status.get_details_bad_request().unwrap();
    assert_eq!(request.field_violations.len(), 2);
    assert!(status.message().ends_with("; and 2998 more"), "{}", status.message());

    let name = |no| &*format!("layout.compartments.some_long_field_{no}").leak();
    let status = invalid((0..3_000).map(|no| wrong(name(no))).collect());
    assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 16);
    let headers = status.into_http::<()>().into_parts().0.headers;
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(size < 8_192, "{size}");
}
