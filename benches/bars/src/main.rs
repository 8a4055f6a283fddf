//! How fast keygate has to be, and how fast it is: each bar as a ratio of two things measured in one run.
//!
//! ```text
//! cargo run --release -p keygate-bench-bars
//! cargo run --release -p keygate-bench-bars -- growth      # the points of the plots in docs/performance.md
//! RUSTFLAGS='--cfg sha2_256_backend="soft"' cargo run --release -p keygate-bench-bars     # without SHA extensions
//! ```
//!
//! Instructions are counted as this processor runs them. Times take turns, so that a busy machine disturbs both sides
//! alike, and the fastest rounds of both are compared. The bars against other crates are in `benches/peers`, that of
//! the layers in `benches/layers`.

mod cache;
mod create;
mod growth;
mod load;
mod scattered;
mod threads;
mod timing;

use std::{env, error::Error, hint::black_box};

use allocation_counter::measure;
use keygate::{Issuer, KeyKind, Randomness, SystemRandomness, Token};
use keygate_bench_instructions::{
    Counter, Cpu, Work, run_if_asked,
    scenario::{self, Scenario},
};
use sha2::{Digest as _, Sha256};
use timing::{ratio, seconds};

fn main() -> Result<(), Box<dyn Error>> {
    if run_if_asked(&scenario::all())? {
        return Ok(());
    }
    if env::args().nth(1).as_deref() == Some("growth") {
        growth::print();
        return Ok(());
    }
    println!("6 threads and memory");
    threads::bars()?;

    let counter = Counter::new(Cpu::Native)?;
    let instructions = |of: Scenario, to: Scenario| -> Result<f64, Box<dyn Error>> {
        Ok(counter.count(of.name)? as f64 / counter.count(to.name)? as f64)
    };

    println!("1 one hash");
    let verify = instructions(scenario::VERIFY, scenario::HASH)?;
    bar("parse, checksum, digest and both comparisons to the bare hash, instructions", verify, 2.2);
    bar("the same, time", times(scenario::VERIFY, scenario::HASH), 2.2);
    bar("the same, allocations", allocations(scenario::VERIFY), 0.0);
    let usual = times(scenario::PIPELINE, scenario::USUAL_PIPELINE);
    bar("the whole pipeline to that on the usual crates, time", usual, 0.75);
    println!("    the whole pipeline takes {:.0} ns here", seconds(&mut (scenario::PIPELINE.prepare)()) * 1e9);
    // It also makes a proof that outlives the request, and tells a sink: none of that is in the pipeline on usual
    // crates.
    println!("    the same by the front door: {:.3}", times(scenario::GATE, scenario::USUAL_PIPELINE));

    println!("2 refusals");
    for refused in scenario::MALFORMED {
        let name = refused.name;
        bar(&format!("{name} to the bare hash, time"), times(refused, scenario::HASH), 0.25);
        println!("    {name} to the bare hash, instructions: {:.3}", instructions(refused, scenario::HASH)?);
    }
    let checksum = instructions(scenario::WRONG_CHECKSUM, scenario::PARSE)?;
    bar("a wrong checksum to a right one, instructions", checksum, 1.0);

    println!("3 deciding");
    for (decision, scope) in scenario::DECISIONS.into_iter().zip(scenario::SCOPES) {
        let more = counter.count(decision.name)? as f64 - counter.count(scope.name)? as f64;
        bar(&format!("{} more than its look-ups, instructions", decision.name), more, 100.0);
    }
    let [_, ten, _, many] = scenario::DECISIONS;
    bar("100,000 models to 10, one request again and again, time", times(many, ten), 5.0);
    let scattered = ratio(&mut scattered::decision(100_000), &mut scattered::decision(10));
    bar("100,000 models to 10, other models each time, time", scattered, 15.0);
    let more = seconds(&mut scattered::decision(100_000)) - seconds(&mut scattered::decision(10));
    println!("    that is {:.0} ns more for a request", more * 1e9);
    bar("allocations", allocations(many), 0.0);
    bar("a custom permission to inference only, time", times(scenario::CUSTOM, ten), 1.5);
    bar("the same, allocations", allocations(scenario::CUSTOM), 0.0);
    let loading = ratio(&mut load::record(100_000), &mut load::plain(100_000));
    bar("loading a record with 100,000 models to loading a list of texts, time", loading, 3.0);

    println!("4 creating, and a cache");
    bar(
        "keys.create with the memory store to its pure steps, time",
        ratio(&mut create::by_manager(), &mut create::by_steps()),
        1.5,
    );
    bar(
        "a remembered look-up after a tick to one without ticks, time",
        ratio(&mut cache::with_ticks(), &mut cache::without()),
        1.2,
    );

    println!("7 generating");
    bar("a key to its random bytes and its hash, time", ratio(&mut generate(), &mut random_and_hash()), 3.0);
    let fast = instructions(scenario::GENERATE, scenario::RANDOM_AND_HASH)?;
    println!("    the same with ChaCha20 in the process instead of the system's generator, instructions: {fast:.2}");
    Ok(())
}

/// Prints what was measured, beside what it may be at most.
fn bar(what: &str, measured: f64, at_most: f64) {
    let verdict = if measured <= at_most { "met" } else { "NOT MET" };
    println!("{verdict:>7}  {measured:>8.3}  at most {at_most:<5}  {what}");
}

/// Prints what was measured, beside what it has to be at least.
fn at_least(what: &str, measured: f64, least: f64) {
    let verdict = if measured >= least { "met" } else { "NOT MET" };
    println!("{verdict:>7}  {measured:>8.3}  at least {least:<4}  {what}");
}

fn times(of: Scenario, to: Scenario) -> f64 {
    ratio(&mut (of.prepare)(), &mut (to.prepare)())
}

fn allocations(scenario: Scenario) -> f64 {
    let mut work = (scenario.prepare)();
    work();
    measure(work).count_total as f64
}

fn generate() -> Work {
    Box::new(|| {
        let token = Token::generate(Issuer::from_static("kg"), KeyKind::Team, &SystemRandomness).unwrap();
        assert_eq!(token.expose_secret().len(), 63);
    })
}

/// An id's bytes, a secret's bytes, and the hash: each drawn once.
fn random_and_hash() -> Work {
    Box::new(|| {
        let (mut id, mut body) = ([0; 12], [0; 55]);
        SystemRandomness.fill(&mut id).unwrap();
        SystemRandomness.fill(&mut body[..24]).unwrap();
        black_box(id);
        let hash: [u8; 32] = Sha256::digest(black_box(&body)).into();
        black_box(hash);
    })
}
