//! A restriction to nothing cannot be built by hand: a set is made by `only`, which refuses an empty one.
use keygate::{EnvironmentName, EnvironmentScope, NonEmptySet};

fn by_constructor() -> EnvironmentScope {
    EnvironmentScope::Only(NonEmptySet::new(Vec::new()).unwrap())
}

fn by_list() -> EnvironmentScope {
    EnvironmentScope::Only(Vec::<EnvironmentName>::new())
}

fn main() {}
