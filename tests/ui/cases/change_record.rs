//! A record has no setters: a revoked key cannot be edited back into use.
use keygate::{KeyRecord, Status};

fn resurrect(record: &mut KeyRecord) {
    record.status = Status::Active;
}

fn main() {}
