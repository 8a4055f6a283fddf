//! Sequences of everything that happens to keys, beside the model that tests/it/lifecycle has.

use keygate::MemoryStore;

#[path = "../../tests/it/lifecycle/model.rs"]
mod model;
#[path = "../../tests/it/lifecycle/sequence.rs"]
mod sequence;

/// Runs a sequence of operations, of which the bytes choose each and its arguments.
///
/// # Panics
///
/// If store and model answer differently.
pub fn store(input: &[u8]) -> &'static str {
    let store = MemoryStore::new();
    let log = async |store: &MemoryStore| store.events();
    match pollster::block_on(sequence::run(&store, log, input.iter().copied(), MOST_STEPS)) {
        Ok(0) => "nothing_refused",
        Ok(_) => "something_refused",
        Err(difference) => panic!("{difference}"),
    }
}

const MOST_STEPS: usize = 200;
