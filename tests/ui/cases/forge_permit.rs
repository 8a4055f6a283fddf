//! Only `may_manage` makes a permit.
use keygate::{By, Create, Grant, Permit};

fn forge(grant: Grant, by: By) -> Permit<Create> {
    Permit { operation: Create(grant), by }
}

fn main() {}
