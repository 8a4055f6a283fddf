//! Loading a record from its serialized form, with its checks and its set of models ready to be asked.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::hint::black_box;

use criterion::Criterion;
use keygate::{EnvironmentScope, Grant, KeyRecord, ModelScope, Permission};

#[path = "support/mod.rs"]
mod support;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for size in [1, 1_000, 100_000] {
        let models: Vec<_> = (0..size).map(|number| format!("model-{number:06}")).collect();
        let record = serde_json::to_string(&record(&models)).unwrap();
        criterion.bench_function(&format!("keygate/load/record/{size}"), |bencher| {
            bencher.iter(|| {
                let record: KeyRecord = serde_json::from_str(black_box(&record)).unwrap();
                assert_eq!(record.grant().permission().unwrap().models().members().unwrap().len(), models.len());
            });
        });
        // The same models as texts of which nothing is known.
        let list = serde_json::to_string(&models).unwrap();
        criterion.bench_function(&format!("keygate/load/texts/{size}"), |bencher| {
            bencher.iter(|| assert_eq!(serde_json::from_str::<Vec<String>>(black_box(&list)).unwrap(), models));
        });
    }
    criterion.final_summary();
}

fn record(models: &[String]) -> KeyRecord {
    let permission = Permission::inference_only(
        EnvironmentScope::All,
        ModelScope::only(models.iter().map(|model| model.parse().unwrap())).unwrap(),
    );
    support::mint(Grant::team("core".parse().unwrap(), permission)).key.record().clone()
}
