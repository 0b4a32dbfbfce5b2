//! Personal data of recipients, in types that never print what they hold.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest e-mail address that is taken, in bytes (RFC 5321, section 4.5.3.1.3).
pub const EMAIL_MAX_BYTES: usize = 254;
/// Longest name of a recipient or a bank that is taken, in characters.
pub const DISPLAY_NAME_MAX_CHARS: usize = 63;

/// Most and fewest digits of a phone number (ITU-T E.164, section 6; no country has shorter ones
/// than these with its code).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// A recipient's e-mail address: printed by nothing but [`Email::as_str`].
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The address, for whoever sends to it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = PersonalDataError;

    /// Checks what every address has; whether it works only sending can tell.
    fn from_str(text: &str) -> Result<Self, PersonalDataError> {
        let (local, domain) = text.rsplit_once('@').ok_or(PersonalDataError::Email)?;
        let sound = |part: &str| {
            !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control())
        };
        let fits = text.len() <= EMAIL_MAX_BYTES && !local.contains('@');
        let ok = fits && sound(local) && sound(domain) && !text.contains(['<', '>', ',', ';', '"']);
        if ok { Ok(Self(text.to_owned())) } else { Err(PersonalDataError::Email) }
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// How a notice addresses its recipient; may be empty. Printed by nothing but
/// [`DisplayName::as_str`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = PersonalDataError;

    fn from_str(text: &str) -> Result<Self, PersonalDataError> {
        let fits = text.chars().count() <= DISPLAY_NAME_MAX_CHARS;
        let printable = text.chars().all(|c| !c.is_control());
        if fits && printable { Ok(Self(text.to_owned())) } else { Err(PersonalDataError::Name) }
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisplayName(..)")
    }
}

/// A recipient's phone number as in E.164, with a plus sign. Printed by nothing but
/// [`Phone::as_str`].
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

impl Phone {
    /// The number, for whoever calls it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Phone {
    type Err = PersonalDataError;

    fn from_str(text: &str) -> Result<Self, PersonalDataError> {
        let digits = text.strip_prefix('+').ok_or(PersonalDataError::Phone)?;
        let fits = PHONE_DIGITS.contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if fits { Ok(Self(text.to_owned())) } else { Err(PersonalDataError::Phone) }
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(..)")
    }
}

/// Why a recipient's data is not taken. Names the field, never what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PersonalDataError {
    #[error("an e-mail address is local@domain, at most {EMAIL_MAX_BYTES} bytes")]
    Email,
    #[error("a name has at most {DISPLAY_NAME_MAX_CHARS} printable characters")]
    Name,
    #[error("a phone number is a plus sign and 8 to 15 digits, the first of them not 0")]
    Phone,
}
