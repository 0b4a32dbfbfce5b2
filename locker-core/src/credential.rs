//! Pickup tokens and courier badges: what a QR code says, and how a bank checks it with no network.
//!
//! The text is `LK1:` and base45 of a COSE_Sign1 (RFC 9052) over CWT claims (RFC 8392), signed with
//! Ed25519 (RFC 9864, algorithm -19). Only upper-case alphanumerics occur, so that a QR code needs
//! its small alphanumeric mode and a keyboard-wedge scanner cannot shift a letter.

use std::fmt;

use coset::cbor::value::Value;
use coset::cwt::{ClaimName, ClaimsSet, ClaimsSetBuilder, Timestamp};
use coset::iana::CwtClaimName;
use coset::{
    CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, RegisteredLabelWithPrivate,
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::clock::ClockInterval;
use crate::ids::{BankId, CarrierId, CredentialId, Generation, ParcelId, Version};
use crate::refusal::Refusal;
use crate::units::UnixMillis;

/// What every token's text begins with.
pub const PREFIX: &str = "LK1:";
/// COSE external additional authenticated data: a signature made for anything else is no token.
pub const EXTERNAL_AAD: &[u8] = b"locker-pickup-v1";
/// Longest token text we look at, in bytes. A QR code of version 8-M holds 221 characters.
pub const TEXT_MAX_BYTES: usize = 256;
/// Most keys of a kind that a bank holds at a time: the current one, the next, and two being retired.
pub const KEYS_MAX: usize = 4;

/// Private claim: the bank's tag, see [`BankId::tag`].
const CLAIM_BANK: i64 = -65_537;
/// Private claim: the carrier of a courier's badge.
const CLAIM_CARRIER: i64 = -65_538;

/// The claim `scope` (RFC 9200, section 8.14): what the holder may do, see [`Action`]. With a
/// private claim instead, a token would outgrow QR version 7-M.
const CLAIM_SCOPE: CwtClaimName = CwtClaimName::Scope;
const SCOPE_PICKUP: &str = "p";
const SCOPE_COURIER: &str = "c";
const SCOPE_STAFF: &str = "s";

/// What a token entitles its holder to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take out the parcel that the bank knows under the token's credential id.
    Pickup,
    /// Bring parcels of `carrier`.
    Courier { carrier: CarrierId },
    /// Look after the bank. The credential id names the person.
    Staff,
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub credential: CredentialId,
    pub bank_tag: u32,
    /// Cut to whole seconds when signed.
    pub expires: UnixMillis,
    pub action: Action,
}

/// A token whose signature, bank and time were checked; only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken(Claims);

impl VerifiedToken {
    /// What the token says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.0
    }
}

/// A public key that tokens may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialKey {
    pub kid: u8,
    pub public: [u8; 32],
}

/// A public key that the hub signs its messages to banks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandKey {
    /// The one byte by which an envelope names it.
    pub kid: u8,
    /// Ed25519.
    pub public: [u8; 32],
}

/// The public half of a hub root key, Ed25519. Prints as hex, to be compared by eye.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootKey(pub [u8; 32]);

impl fmt::Display for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({self})")
    }
}

/// The keys a bank accepts; a whole document with its generation. The hub's root signs it, so its
/// order is its generation alone: it outlives every store of the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    pub generation: Generation,
    /// What tokens are signed with.
    pub keys: Vec<CredentialKey>,
    /// What messages of the hub are signed with.
    pub command: Vec<CommandKey>,
    /// The root that signed it, as the bank that took it over found; no part of what the root signs.
    /// None of a set that was taken over before roots were recorded.
    pub root: Option<RootKey>,
}

impl KeySet {
    /// Whether one of `roots` signed it. A bank that takes a root out of those it believes must not go
    /// on believing the keys that root has signed.
    #[must_use]
    pub fn is_signed_by(&self, roots: &[RootKey]) -> bool {
        self.root.is_some_and(|root| roots.contains(&root))
    }

    /// Whether it has one to [`KEYS_MAX`] keys of each kind, with different ids among its kind.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        are_sound(self.keys.iter().map(|key| key.kid))
            && are_sound(self.command.iter().map(|key| key.kid))
    }
}

fn are_sound(kids: impl Iterator<Item = u8>) -> bool {
    let mut kids: Vec<u8> = kids.collect();
    let count = kids.len();
    kids.sort_unstable();
    kids.dedup();
    kids.len() == count && (1..=KEYS_MAX).contains(&count)
}

/// What a bank keeps of a pickup authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: CredentialId,
    pub parcel: ParcelId,
    pub version: Version,
    pub holder: Holder,
    pub state: CredentialState,
}

/// How far a pickup authorisation is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// Known before its parcel was stored; opens nothing yet.
    Issued,
    /// Opens its compartment.
    Active,
    /// The door was seen open for it; not used up until the session settles as collected.
    UsedPending,
    /// Used up.
    Consumed,
    /// Withdrawn.
    Revoked,
    /// Replaced by a newer one for the same parcel.
    Superseded,
}

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The recipient's own.
    Recipient,
    /// Of somebody the recipient asked to fetch the parcel, until this time.
    Delegate { until: UnixMillis },
}

/// Why a token could not be signed.
#[derive(Debug, Error)]
#[error("the claims cannot be written as CBOR: {reason}")]
pub struct SignError {
    reason: String,
}

/// Signs `claims` with `key`, whose public half banks know as `kid`.
///
/// # Errors
///
/// Fails only if the claims cannot be written as CBOR, which no claims can bring about.
pub fn sign(key: &SigningKey, kid: u8, claims: &Claims) -> Result<String, SignError> {
    let cbor = |error: coset::CoseError| SignError { reason: error.to_string() };
    let payload = claims_set(claims).to_vec().map_err(cbor)?;
    let protected =
        HeaderBuilder::new().algorithm(coset::iana::Algorithm::Ed25519).key_id(vec![kid]).build();
    let message = CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .create_signature(EXTERNAL_AAD, |bytes| key.sign(bytes).to_vec())
        .build();
    Ok(format!("{PREFIX}{}", base45::encode(&message.to_vec().map_err(cbor)?)))
}

fn claims_set(claims: &Claims) -> ClaimsSet {
    let seconds = i64::try_from(claims.expires.0 / 1_000).unwrap_or(i64::MAX);
    let (scope, carrier) = match &claims.action {
        Action::Pickup => (SCOPE_PICKUP, None),
        Action::Courier { carrier } => (SCOPE_COURIER, Some(carrier)),
        Action::Staff => (SCOPE_STAFF, None),
    };
    let set = ClaimsSetBuilder::new()
        .expiration_time(Timestamp::WholeSeconds(seconds))
        .cwt_id(claims.credential.0.to_vec())
        .private_claim(CLAIM_BANK, Value::from(claims.bank_tag))
        .claim(CLAIM_SCOPE, Value::from(scope));
    match carrier {
        Some(carrier) => set.private_claim(CLAIM_CARRIER, Value::from(carrier.as_str())),
        None => set,
    }
    .build()
}

/// Checks a token's text: form, signature by one of `keys`, bank, and time.
///
/// # Errors
///
/// One of the `Code...` refusals; a token that is expired but otherwise good says so, one that is
/// for another bank says only that. [`Refusal::ClockUnknown`] for a badge that would be good if the bank
/// knew that its time is not over.
pub fn verify(
    text: &str,
    bank: &BankId,
    keys: &[CredentialKey],
    clock: ClockInterval,
) -> Result<VerifiedToken, Refusal> {
    let message = parse(text).ok_or(Refusal::CodeMalformed)?;
    check_signature(&message, keys)?;
    let payload = message.payload.as_deref().ok_or(Refusal::CodeMalformed)?;
    let claims = read_claims(payload).ok_or(Refusal::CodeMalformed)?;
    if claims.bank_tag != bank.tag() {
        return Err(Refusal::CodeOtherBank);
    }
    let is_power = match claims.action {
        // A recipient was promised this time.
        Action::Pickup => false,
        Action::Courier { .. } | Action::Staff => true,
    };
    if clock.surely_past(claims.expires) {
        return Err(Refusal::CodeExpired);
    }
    if is_power && clock.maybe_past(claims.expires) {
        let known = clock.latest.is_some();
        return Err(if known { Refusal::CodeExpired } else { Refusal::ClockUnknown });
    }
    Ok(VerifiedToken(claims))
}

/// Whether a scanned text claims to be a token at all, as opposed to a parcel's barcode.
#[must_use]
pub fn looks_like_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Reads arbitrary text as a token and drops the result: the target for fuzzing.
pub fn fuzz_token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(message) = parse(text)
    {
        let _ = message.payload.as_deref().and_then(read_claims);
    }
    let _ = read_claims(bytes);
}

fn parse(text: &str) -> Option<CoseSign1> {
    if text.len() > TEXT_MAX_BYTES {
        return None;
    }
    let bytes = base45::decode(text.strip_prefix(PREFIX)?).ok()?;
    CoseSign1::from_slice(&bytes).ok()
}

fn check_signature(message: &CoseSign1, keys: &[CredentialKey]) -> Result<(), Refusal> {
    let header = &message.protected.header;
    let ed25519 = RegisteredLabelWithPrivate::Assigned(coset::iana::Algorithm::Ed25519);
    let &[kid] = header.key_id.as_slice() else { return Err(Refusal::CodeMalformed) };
    if header.alg != Some(ed25519) {
        return Err(Refusal::CodeMalformed);
    }
    let key = keys.iter().find(|key| key.kid == kid).ok_or(Refusal::CodeKeyUnknown)?;
    let key = VerifyingKey::from_bytes(&key.public).map_err(|_| Refusal::CodeKeyUnknown)?;
    message.verify_signature(EXTERNAL_AAD, |signature, signed| {
        let signature = Signature::from_slice(signature).map_err(|_| Refusal::CodeAltered)?;
        key.verify_strict(signed, &signature).map_err(|_| Refusal::CodeAltered)
    })
}

fn read_claims(payload: &[u8]) -> Option<Claims> {
    let set = ClaimsSet::from_slice(payload).ok()?;
    let Some(Timestamp::WholeSeconds(seconds)) = set.expiration_time else { return None };
    let claim = |wanted: ClaimName| {
        set.rest.iter().find_map(|(found, value)| (*found == wanted).then_some(value))
    };
    let private = |wanted| claim(ClaimName::PrivateUse(wanted));
    let bank_tag = private(CLAIM_BANK)?.as_integer().and_then(|tag| u32::try_from(tag).ok())?;
    let action = match claim(ClaimName::Assigned(CLAIM_SCOPE))?.as_text()? {
        SCOPE_PICKUP => Action::Pickup,
        SCOPE_STAFF => Action::Staff,
        SCOPE_COURIER => {
            Action::Courier { carrier: private(CLAIM_CARRIER)?.as_text()?.parse().ok()? }
        }
        _ => return None,
    };
    Some(Claims {
        credential: CredentialId::try_from(set.cwt_id?.as_slice()).ok()?,
        bank_tag,
        expires: UnixMillis(u64::try_from(seconds).ok()?.checked_mul(1_000)?),
        action,
    })
}

#[cfg(test)]
mod tests;
