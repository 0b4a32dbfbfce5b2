//! Checks a request's fields all at once, so that a caller learns of every wrong one in one answer.

use std::fmt::Display;

use tonic::Status;
use uuid::Uuid;

use super::status;
use crate::store::RequestKey;
use crate::tls::Peer;

/// The wrong fields of a request so far.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// The value, or a note that `field` is wrong.
    pub(super) fn take<T, E: Display>(
        &mut self,
        field: &'static str,
        parsed: Result<T, E>,
    ) -> Option<T> {
        parsed.map_err(|error| self.0.push((field, error.to_string()))).ok()
    }

    /// The value if it is there, or a note that it is missing.
    pub(super) fn present<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        self.take(field, value.ok_or("is required"))
    }

    /// The number if it is within bounds, or a note of what they are.
    pub(super) fn within(
        &mut self,
        field: &'static str,
        value: u32,
        least: u32,
        most: u32,
    ) -> Option<u32> {
        let fits = (least..=most).contains(&value);
        let checked = if fits { Ok(value) } else { Err(format!("expected {least} to {most}")) };
        self.take(field, checked)
    }

    /// Text of at most `most` printable characters, or a note.
    pub(super) fn text(
        &mut self,
        field: &'static str,
        value: String,
        least: usize,
        most: usize,
    ) -> Option<String> {
        let count = value.chars().count();
        let fits = (least..=most).contains(&count) && !value.chars().any(char::is_control);
        let expected = || format!("expected {least} to {most} printable characters");
        self.take(field, if fits { Ok(value) } else { Err(expected()) })
    }

    /// The key of a mutating call. All spellings of a UUID are the same id.
    pub(super) fn request(&mut self, peer: &Peer, request_id: &str) -> Option<RequestKey> {
        let id = Uuid::try_parse(request_id).ok().filter(|id| !id.is_nil());
        let id = self.take("request_id", id.ok_or("expected a UUID made for this call"))?;
        Some(RequestKey {
            principal: peer.identity.to_string(),
            request_id: id.hyphenated().to_string(),
        })
    }

    /// What was put together from the fields, unless one of them is wrong.
    pub(super) fn done<T>(self, whole: Option<T>) -> Result<T, Status> {
        match whole {
            Some(whole) if self.0.is_empty() => Ok(whole),
            _ => Err(status::invalid(self.0)),
        }
    }
}
