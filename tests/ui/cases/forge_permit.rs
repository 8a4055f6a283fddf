//! Only `authorize_operation` makes a permit.
use keygate::{
    UnixTime,
    audit::Principal,
    manage::{Create, Permit},
};

fn forge(operation: Create, by: Principal) -> Permit<Create> {
    Permit { operation, by, given_at: UnixTime::MIN }
}

fn main() {}
