//! A permit is used up by its use, on every way.
use keygate::{
    Issuer, KeyName, Labels, Randomness, RevocationCause, Rotation, UnixTime,
    manage::{Create, Disable, Enable, EndOverlap, Import, MintRules, Permit, Rename, Revoke, Rotate, SetLabels},
};

const ACME: Issuer = Issuer::from_static("acme");
const RULES: MintRules = MintRules::new();
const NOW: UnixTime = UnixTime::MIN;

fn issue(permit: Permit<Create>, name: KeyName, dice: &dyn Randomness) {
    let _ = permit.issue(ACME, (name.clone(), Labels::NONE), &RULES, dice, NOW);
    let _ = permit.issue(ACME, (name, Labels::NONE), &RULES, dice, NOW);
}

fn import(permit: Permit<Import>, dice: &dyn Randomness) {
    let _ = permit.import(ACME, &RULES, dice, NOW);
    let _ = permit.import(ACME, &RULES, dice, NOW);
}

fn rotate(permit: Permit<Rotate>, dice: &dyn Randomness) {
    let _ = permit.rotate(ACME, Rotation::CutOver, &RULES, dice, NOW);
    let _ = permit.rotate(ACME, Rotation::CutOver, &RULES, dice, NOW);
}

fn rename(permit: Permit<Rename>, name: KeyName, dice: &dyn Randomness) {
    let _ = permit.rename(ACME, name.clone(), dice, NOW);
    let _ = permit.rename(ACME, name, dice, NOW);
}

fn set_labels(permit: Permit<SetLabels>, dice: &dyn Randomness) {
    let _ = permit.set_labels(ACME, Labels::NONE, dice, NOW);
    let _ = permit.set_labels(ACME, Labels::NONE, dice, NOW);
}

fn end_overlap(permit: Permit<EndOverlap>, dice: &dyn Randomness) {
    let _ = permit.end_overlap(ACME, dice, NOW);
    let _ = permit.end_overlap(ACME, dice, NOW);
}

fn disable(permit: Permit<Disable>, dice: &dyn Randomness) {
    let _ = permit.disable(ACME, dice, NOW);
    let _ = permit.disable(ACME, dice, NOW);
}

fn enable(permit: Permit<Enable>, dice: &dyn Randomness) {
    let _ = permit.enable(ACME, dice, NOW);
    let _ = permit.enable(ACME, dice, NOW);
}

fn revoke(permit: Permit<Revoke>, dice: &dyn Randomness) {
    let _ = permit.revoke(ACME, RevocationCause::Requested, dice, NOW);
    let _ = permit.revoke(ACME, RevocationCause::Requested, dice, NOW);
}

fn main() {}
