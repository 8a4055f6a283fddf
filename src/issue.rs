//! Minting: the one place where a token and the record that recognises it are made together.
//!
//! Not public: a key is created under a permit, by [`manage`](crate::manage).

use rand_core::TryCryptoRng;

use crate::{
    digest::SecretDigest,
    grant::{Grant, Validity},
    legacy::LegacyKey,
    name::{Issuer, KeyName},
    record::{Creator, KeyRecord, NewKey, PreviousChange, SecretChange},
    time::UnixTime,
    token::{GenerateError, Token},
};

/// Makes a key: its token, and the record to store.
pub(crate) fn mint<R: TryCryptoRng + ?Sized>(
    issuer: Issuer,
    (name, grant, validity): (KeyName, Grant, Validity),
    created_by: Creator,
    created_at: UnixTime,
    rng: &mut R,
) -> Result<(Token, NewKey), GenerateError> {
    let token = Token::generate(issuer, grant.kind(), rng)?;
    let record = KeyRecord::minted(token.id(), token.digest(), name, grant, validity, created_by, created_at);
    Ok((token, NewKey::new(record)))
}

/// Makes the next secret of a key: its token, and the change to store.
pub(crate) fn rotate<R: TryCryptoRng + ?Sized>(
    issuer: Issuer,
    record: &KeyRecord,
    previous: PreviousChange,
    rng: &mut R,
) -> Result<(Token, SecretChange), GenerateError> {
    let token = Token::generate_secret(issuer, record.kind(), record.id(), rng)?;
    let change = SecretChange { id: record.id(), expected: record.current(), current: token.digest(), previous };
    Ok((token, change))
}

/// Makes the record of an imported key.
pub(crate) fn import(
    legacy_key: LegacyKey,
    (name, grant, validity): (KeyName, Grant, Validity),
    created_by: Creator,
    created_at: UnixTime,
) -> NewKey {
    let (id, digest) = (legacy_key.id(), legacy_key.digest());
    NewKey::new(KeyRecord::minted(id, digest, name, grant, validity, created_by, created_at))
}

/// Stores the current secret of a key by another digest; it stays the same secret.
pub(crate) fn rehash(record: &KeyRecord, current: SecretDigest) -> SecretChange {
    SecretChange { id: record.id(), expected: record.current(), current, previous: PreviousChange::Keep }
}
