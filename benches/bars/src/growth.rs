//! How cost grows: measured points, to be drawn.

use std::hint::black_box;

use keygate::{Gate, MemoryStore, Verdict};
use keygate_bench_instructions::{
    Scenario, Work,
    scenario::{self, KG, NOW, ready},
};

use crate::{load, scattered, threads, timing::seconds};

/// Prints `what,at,nanoseconds`.
pub fn print() {
    println!("what,at,nanoseconds");
    for size in [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000] {
        point("decide: one model again and again", size, &mut scenario::decision(size));
        point("decide: another model each time", size, &mut scattered::decision(size));
        point("the standard library's hash set: another model each time", size, &mut scattered::hash_set(size));
        point("load a record", size, &mut load::record(size));
        point("load a list of texts", size, &mut load::plain(size));
    }
    for keys in [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        point("verify and decide: another key each time", keys, &mut among(keys));
    }
    let stages = [scenario::MALFORMED.as_slice(), &[scenario::WRONG_CHECKSUM, scenario::PARSE, scenario::HASH]];
    for Scenario { name, prepare } in stages.concat() {
        point("stage", name, &mut prepare());
    }
    threads::grow();
}

pub fn point(what: &str, at: impl core::fmt::Display, work: &mut Work) {
    println!("{what},{at},{:.2}", seconds(work) * 1e9);
}

/// Requests for keys all over a store.
fn among(keys: u32) -> Work {
    let (store, mut tokens) = (MemoryStore::new(), Vec::new());
    threads::fill(&store, &mut tokens, keys.try_into().unwrap());
    let (gate, request, mut place) = (Gate::with_clock(KG, store, || NOW), scenario::call(0), 0);
    Box::new(move || {
        place = (place + 611_953) % tokens.len();
        let verdict = ready(gate.check(black_box(&tokens[place]), &request)).unwrap();
        assert!(matches!(verdict, Verdict::Allowed(_)));
    })
}
