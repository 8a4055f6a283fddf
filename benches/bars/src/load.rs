//! Loading what is stored from its serialized form.

use std::hint::black_box;

use keygate::{KeyRecord, manage::Minted};
use keygate_bench_instructions::{Work, scenario};

/// A whole record, with all of its checks, and its set of models ready to be asked.
pub fn record(models: u32) -> Work {
    let Minted { key, .. } = scenario::mint(scenario::caller_of(models));
    let text = serde_json::to_string(key.record()).unwrap();
    Box::new(move || {
        let record: KeyRecord = serde_json::from_str(black_box(&text)).unwrap();
        let models = record.grant().permission().unwrap().models().members().unwrap().len();
        assert_eq!(models, text.matches("model-").count());
    })
}

/// The same models, as a list of texts of which nothing is known.
pub fn plain(models: u32) -> Work {
    let list: Vec<_> = (0..models).map(|number| scenario::model(number).to_string()).collect();
    let text = serde_json::to_string(&list).unwrap();
    Box::new(move || {
        let list: Vec<String> = serde_json::from_str(black_box(&text)).unwrap();
        assert_eq!(list.len(), text.matches("model-").count());
    })
}
