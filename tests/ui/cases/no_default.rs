//! Who mints a key chooses: level, scope and validity have no default, and no user has a membership by default.
use keygate::{EnvironmentScope, ModelScope, Permission, PermissionLevel, Membership, Validity};

fn chosen_by_nobody<T: Default>() {}

fn main() {
    chosen_by_nobody::<PermissionLevel>();
    chosen_by_nobody::<Permission>();
    chosen_by_nobody::<EnvironmentScope>();
    chosen_by_nobody::<ModelScope>();
    chosen_by_nobody::<Validity>();
    chosen_by_nobody::<Membership>();
}
