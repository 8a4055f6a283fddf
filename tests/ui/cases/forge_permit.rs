//! Only `authorize_operation` makes a permit.
use keygate::{Principal, Create, Grant, Permit};

fn forge(grant: Grant, by: Principal) -> Permit<Create> {
    Permit { operation: Create(grant), by }
}

fn main() {}
