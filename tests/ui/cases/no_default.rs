//! Who mints a key chooses: level, scope and validity have no default, and no user has a role by default.
use keygate::{EnvironmentScope, Membership, ModelScope, Permission, PermissionLevel, ResourceScope, TeamRole, Validity};

fn chosen_by_nobody<T: Default>() {}

fn main() {
    chosen_by_nobody::<PermissionLevel>();
    chosen_by_nobody::<Permission>();
    chosen_by_nobody::<EnvironmentScope>();
    chosen_by_nobody::<ModelScope>();
    chosen_by_nobody::<ResourceScope>();
    chosen_by_nobody::<Validity>();
    chosen_by_nobody::<Membership>();
    chosen_by_nobody::<TeamRole>();
}
