//! A personal key takes neither level nor scope.
use keygate::{EnvironmentScope, Grant, Permission, UserId};

fn restricted(user: UserId) -> Grant {
    Grant::personal(user, Permission::full(EnvironmentScope::All))
}

fn main() {}
