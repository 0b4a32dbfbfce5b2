//! The six digits themselves, and what people really type or paste for them.

use std::fmt;
use std::str::Chars;

use thiserror::Error;

/// Digits in a code.
pub const DIGITS: usize = 6;
/// How many codes there are.
pub const CODES: u32 = 1_000_000;
/// Longest input we look at, in bytes: six digits of four bytes each, with a separator of three
/// bytes around every one. Longer input is refused, not cut.
pub const INPUT_MAX_BYTES: usize = 64;

/// Where each block of ten decimal digits begins: general category Nd of Unicode 14.0, without
/// ASCII. A person pastes what the mail program shows, in the script of the mail.
const ZEROS: [u32; 65] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// Six decimal digits; leading zeros count. Prints as nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digits([u8; DIGITS]);

impl Digits {
    /// The code with this number, padded with zeros; none from [`CODES`] on.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let mut rest = number;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
        }
        (rest == 0).then_some(Self(digits))
    }

    /// The secret itself as ASCII: for the tag, for sealing, and for the notice to its recipient.
    #[must_use]
    pub const fn reveal(&self) -> &[u8; DIGITS] {
        &self.0
    }

    /// In how many places two codes differ (Hamming distance).
    #[must_use]
    pub fn distance(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(one, two)| one != two).count()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digits(..)")
    }
}

/// Exactly six ASCII digits, as the hub stores and prints them.
impl TryFrom<&[u8]> for Digits {
    type Error = DigitsError;

    fn try_from(ascii: &[u8]) -> Result<Self, DigitsError> {
        let digits = ascii.try_into().map_err(|_| DigitsError::Length { digits: ascii.len() })?;
        match ascii.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(place) => Err(DigitsError::NotADigit { place }),
            None => Ok(Self(digits)),
        }
    }
}

/// Why an input is no code. It is no guess either: nothing was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DigitsError {
    #[error("a code has {DIGITS} digits, not {digits}")]
    Length { digits: usize },
    /// Which character is not said: it may be half of somebody's secret.
    #[error("the character at place {place} is not a digit")]
    NotADigit { place: usize },
    #[error("the input is longer than {INPUT_MAX_BYTES} bytes")]
    TooLong,
}

/// Reads six digits out of what was typed, pasted or scanned: digits of any script, with spaces,
/// hyphens and invisible marks between them, and with the letters that look like 0 and 1.
///
/// # Errors
///
/// When anything else is in it, or not exactly six digits.
pub fn normalise(input: &str) -> Result<Digits, DigitsError> {
    let digits = digits_of(input)?;
    let found = digits.len();
    digits.try_into().map(Digits).map_err(|_| DigitsError::Length { digits: found })
}

/// The ASCII digits that `input` stands for, however many.
pub(super) fn digits_of(input: &str) -> Result<Vec<u8>, DigitsError> {
    if input.len() > INPUT_MAX_BYTES {
        return Err(DigitsError::TooLong);
    }
    let characters: Chars<'_> = input.chars();
    characters
        .enumerate()
        .filter(|(_, character)| !is_separator(*character))
        .map(|(place, character)| digit_of(character).ok_or(DigitsError::NotADigit { place }))
        .collect()
}

fn digit_of(character: char) -> Option<u8> {
    match character {
        '0'..='9' => u8::try_from(character).ok(),
        'O' | 'o' => Some(b'0'),
        'I' | 'l' => Some(b'1'),
        _ => ZEROS.iter().find_map(|zero| {
            let value = u32::from(character).checked_sub(*zero).filter(|value| *value < 10)?;
            b"0123456789".get(usize::try_from(value).ok()?).copied()
        }),
    }
}

/// What people and programs put between digits: white space of every width, hyphens and dashes,
/// and the invisible marks that come with a copy from a mail or a chat.
fn is_separator(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '-' | '\u{ad}' // soft hyphen
                | '\u{200b}'..='\u{200f}' // zero width, direction marks
                | '\u{2010}'..='\u{2015}' // hyphens and dashes
                | '\u{202a}'..='\u{202e}' // direction embeddings
                | '\u{2060}'..='\u{2069}' // word joiner, direction isolates
                | '\u{2212}' // minus
                | '\u{fe63}' | '\u{ff0d}' // small and full-width hyphen
                | '\u{feff}' // byte order mark
        )
}

/// Reads arbitrary bytes as a code and drops the result: the target for fuzzing.
pub fn fuzz_digits(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = normalise(text);
    }
}

#[cfg(test)]
mod tests;
