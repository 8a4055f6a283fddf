//! A level takes its own restrictions and no others.
use keygate::{EnvironmentScope, ModelScope, Permission};

fn full(models: ModelScope) -> Permission {
    Permission::Full { environments: EnvironmentScope::All, models }
}

fn metrics(environments: EnvironmentScope) -> Permission {
    Permission::MetricsOnly { models: ModelScope::All, environments }
}

fn main() {}
