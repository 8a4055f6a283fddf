//! A permit allows one operation: who may rename a key may not revoke it by that.
use keygate::{
    Issuer, RevocationCause, SystemRandomness, UnixTime,
    manage::{Permit, Rename},
};

fn revoke(issuer: Issuer, permit: Permit<Rename>, now: UnixTime) {
    let _ = permit.revoke(issuer, RevocationCause::Requested, &SystemRandomness, now);
}

fn main() {}
