//! Nor are they put together by hand: what a grant holds is made by functions that know its rules.
use keygate::{EnvironmentScope, Grant, Permission, TeamId, UserId};

fn personal(user: UserId) -> Grant {
    Grant::Personal { user }
}

fn team(team: TeamId, permission: Permission) -> Grant {
    Grant::Team { team, permission }
}

fn full(environments: EnvironmentScope) -> Permission {
    Permission::Full { environments }
}

fn main() {}
