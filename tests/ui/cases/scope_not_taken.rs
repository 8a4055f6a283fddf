//! A level takes its own restrictions and no others.
use keygate::{EnvironmentScope, ModelScope, Permission};

fn full(models: ModelScope) -> Permission {
    Permission::full(EnvironmentScope::All, models)
}

fn metrics(environments: EnvironmentScope) -> Permission {
    Permission::metrics_only(environments, ModelScope::All)
}

fn main() {}
