//! The small steps that every conversion is made of, so that each form is checked in the same words.

use std::str::FromStr;

use locker_core::clock::TimeQuality;
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::slot::{SEALED_MAX_BYTES, Sealed, SealedError, SlotId};
use locker_core::ids::{CompartmentNo, ParseIdError, TraceParent};
use locker_core::journal::ChainHash;
use prost::Message;

use crate::malformed::{FieldProblem, Malformed};

/// A core type with a protobuf message of its own.
pub(crate) trait Wire: Sized {
    type Form: Message + Default;

    fn to_wire(&self) -> Self::Form;
    fn from_wire(form: Self::Form) -> Result<Self, Malformed>;
}

/// A core type with a protobuf enum of its own.
pub(crate) trait WireEnum: Sized {
    type Form: TryFrom<i32> + Into<i32>;

    fn to_form(self) -> Self::Form;
    /// `None` for the unspecified value.
    fn from_form(form: Self::Form) -> Option<Self>;

    fn number(self) -> i32 {
        self.to_form().into()
    }
}

/// Implements [`WireEnum`] for enums whose variants have the same names on both sides.
macro_rules! same_names {
    ($core:ty, $wire:ty, $($variant:ident),+) => {
        impl $crate::convert::WireEnum for $core {
            type Form = $wire;

            fn to_form(self) -> $wire {
                match self {
                    $(Self::$variant => <$wire>::$variant,)+
                }
            }

            fn from_form(form: $wire) -> Option<Self> {
                match form {
                    <$wire>::Unspecified => None,
                    $(<$wire>::$variant => Some(Self::$variant),)+
                }
            }
        }
    };
}
pub(crate) use same_names;

pub(crate) fn encode<T: Wire>(value: &T) -> Vec<u8> {
    value.to_wire().encode_to_vec()
}

pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    T::from_wire(T::Form::decode(bytes).map_err(Malformed::NotProtobuf)?)
}

pub(crate) fn list<T: Wire>(values: &[T]) -> Vec<T::Form> {
    values.iter().map(T::to_wire).collect()
}

pub(crate) fn from_list<T: Wire>(forms: Vec<T::Form>) -> Result<Vec<T>, Malformed> {
    forms.into_iter().map(T::from_wire).collect()
}

/// A message that must be there.
pub(crate) fn required<T: Wire>(
    field: &'static str,
    form: Option<T::Form>,
) -> Result<T, Malformed> {
    T::from_wire(present(field, form)?)
}

/// A message whose absence means the default, so that it need not be written.
pub(crate) fn or_default<T: Wire + Default>(form: Option<T::Form>) -> Result<T, Malformed> {
    form.map_or_else(|| Ok(T::default()), T::from_wire)
}

pub(crate) fn unless_default<T: Wire + Default + PartialEq>(value: &T) -> Option<T::Form> {
    (*value != T::default()).then(|| value.to_wire())
}

pub(crate) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or(Malformed::field(field, FieldProblem::Missing))
}

/// An enum value that must be there.
pub(crate) fn choice<T: WireEnum>(field: &'static str, number: i32) -> Result<T, Malformed> {
    present(field, maybe_choice(field, number)?)
}

/// An enum value whose absence means something.
pub(crate) fn maybe_choice<T: WireEnum>(
    field: &'static str,
    number: i32,
) -> Result<Option<T>, Malformed> {
    let unknown = FieldProblem::UnknownValue { value: number };
    let form = T::Form::try_from(number).map_err(|_| Malformed::field(field, unknown))?;
    Ok(T::from_form(form))
}

/// The number of an enum value, or of its absence.
pub(crate) fn maybe_number<T: WireEnum>(value: Option<T>) -> i32 {
    value.map(WireEnum::number).unwrap_or_default()
}

/// Bytes of a fixed length.
pub(crate) fn exact<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], Malformed> {
    let problem = if bytes.is_empty() {
        FieldProblem::Missing
    } else {
        FieldProblem::Length { bytes: bytes.len(), want_bytes: N }
    };
    bytes.try_into().map_err(|_| Malformed::field(field, problem))
}

/// Bytes of a fixed length, or none.
pub(crate) fn maybe_exact<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<Option<[u8; N]>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { exact(field, bytes).map(Some) }
}

/// Sixteen bytes that name something.
pub(crate) fn id<T: From16>(field: &'static str, bytes: &[u8]) -> Result<T, Malformed> {
    exact(field, bytes).map(T::from_16)
}

/// Sixteen bytes that name something, or none.
pub(crate) fn maybe_id<T: From16>(
    field: &'static str,
    bytes: &[u8],
) -> Result<Option<T>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { id(field, bytes).map(Some) }
}

/// An id of the core.
pub(crate) trait From16 {
    fn from_16(bytes: [u8; 16]) -> Self;
}

macro_rules! from_16 {
    ($($id:ident),+) => {
        $(impl From16 for locker_core::ids::$id {
            fn from_16(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        })+
    };
}
from_16!(BootId, CommandId, CredentialId, GroupId, ParcelId, SessionId, StreamId);

impl From16 for SlotId {
    fn from_16(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Digits that only the hub can read.
pub(crate) fn sealed(field: &'static str, bytes: Vec<u8>) -> Result<Sealed, Malformed> {
    Sealed::try_from(bytes).map_err(|SealedError { bytes }| {
        let too_long = FieldProblem::TooLong { bytes, max_bytes: SEALED_MAX_BYTES };
        Malformed::field(field, if bytes == 0 { FieldProblem::Missing } else { too_long })
    })
}

/// The keyed hash of phone digits, or none.
pub(crate) fn maybe_suffix(
    field: &'static str,
    bytes: &[u8],
) -> Result<Option<SuffixTag>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { exact(field, bytes).map(SuffixTag).map(Some) }
}

pub(crate) fn suffix_to_wire(suffix: Option<SuffixTag>) -> Vec<u8> {
    suffix.map(|SuffixTag(tag)| tag.to_vec()).unwrap_or_default()
}

/// A list of limited length.
pub(crate) fn at_most<T>(
    field: &'static str,
    values: Vec<T>,
    max: usize,
) -> Result<Vec<T>, Malformed> {
    let entries = values.len();
    let problem = FieldProblem::TooMany { entries, max };
    if entries > max { Err(Malformed::field(field, problem)) } else { Ok(values) }
}

pub(crate) fn hash(field: &'static str, bytes: &[u8]) -> Result<ChainHash, Malformed> {
    exact(field, bytes).map(ChainHash)
}

pub(crate) fn text<T: FromStr<Err = ParseIdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, Malformed> {
    if text.is_empty() {
        return Err(Malformed::field(field, FieldProblem::Missing));
    }
    text.parse().map_err(|error| Malformed::field(field, FieldProblem::Text(error)))
}

pub(crate) fn trace_to_wire(trace: Option<&TraceParent>) -> String {
    trace.map(|trace| trace.as_str().to_owned()).unwrap_or_default()
}

pub(crate) fn trace(
    field: &'static str,
    traceparent: &str,
) -> Result<Option<TraceParent>, Malformed> {
    if traceparent.is_empty() { Ok(None) } else { text(field, traceparent).map(Some) }
}

pub(crate) fn byte(field: &'static str, value: u32) -> Result<u8, Malformed> {
    u8::try_from(value).map_err(|_| out_of_range(field, value, u8::MAX.into()))
}

pub(crate) fn short(field: &'static str, value: u32) -> Result<u16, Malformed> {
    u16::try_from(value).map_err(|_| out_of_range(field, value, u16::MAX.into()))
}

pub(crate) fn compartment(field: &'static str, value: u32) -> Result<CompartmentNo, Malformed> {
    short(field, value).map(CompartmentNo)
}

pub(crate) fn out_of_range(field: &'static str, value: u32, max: u64) -> Malformed {
    Malformed::field(field, FieldProblem::Range { value: value.into(), min: 0, max })
}

pub(crate) fn compartments_to_wire(numbers: &[CompartmentNo]) -> Vec<u32> {
    numbers.iter().map(|no| no.0.into()).collect()
}

pub(crate) fn compartments(
    field: &'static str,
    values: &[u32],
) -> Result<Vec<CompartmentNo>, Malformed> {
    values.iter().map(|value| compartment(field, *value)).collect()
}

pub(crate) const fn within_ms(quality: TimeQuality) -> Option<u32> {
    match quality {
        TimeQuality::Unknown => None,
        TimeQuality::Bounded { within_ms } => Some(within_ms),
    }
}

pub(crate) fn quality(within_ms: Option<u32>) -> TimeQuality {
    within_ms.map_or(TimeQuality::Unknown, |within_ms| TimeQuality::Bounded { within_ms })
}
