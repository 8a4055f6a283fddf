//! A personal key takes neither level nor scope.
use keygate::{EnvironmentScope, Grant, Permission, UserId};

fn restricted(user: UserId) -> Grant {
    Grant::Personal { user, permission: Permission::Full { environments: EnvironmentScope::All } }
}

fn main() {}
