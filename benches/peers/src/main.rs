//! What other crates take for the same question, beside keygate, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml                    # times and allocations
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- instructions    # counted one by one, which takes minutes
//! ```
//!
//! Each asserts its answer. What can be made before the request comes is made before: policies are parsed, entities and
//! inputs built. Times take turns, and the fastest round of each counts.

mod authenticate;
mod decide;

use std::{env, error::Error};

use allocation_counter::measure;
use keygate_bench_instructions::{
    Counter, Cpu, Scenario, Work, run_if_asked,
    timing::{calls, time},
};

/// By what factor keygate has to be ahead, in time.
const TIME_BARS: [(&str, f64); 1] = [(decide::CEDAR, 25.0)];
/// And in instructions.
const INSTRUCTION_BARS: [(&str, f64); 2] = [(authenticate::PREFIXED, 4.0), (authenticate::JWT, 30.0)];

/// What is asked, and who answers it.
struct Question {
    name: &'static str,
    /// The first is keygate.
    answers: Vec<Scenario>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let questions = [
        Question { name: "does this token open a key?", answers: authenticate::accept() },
        Question { name: "is this token mistyped?", answers: authenticate::reject() },
        Question { name: "may it call one of 10 models in production?", answers: decide::among_10() },
        Question { name: "may it call one of 1,000 models in production?", answers: decide::among_1000() },
    ];
    let all: Vec<_> = questions.iter().flat_map(|question| question.answers.iter().copied()).collect();
    if run_if_asked(&all)? {
        return Ok(());
    }
    match env::args().nth(1).as_deref() {
        None => questions.iter().for_each(times),
        Some("instructions") => {
            let counter = Counter::new(Cpu::Native)?;
            for question in &questions {
                instructions(question, &counter)?;
            }
        }
        Some(_) => return Err("`instructions` or nothing".into()),
    }
    Ok(())
}

fn times(question: &Question) {
    println!("\n{:52}{:>12}{:>10}{:>8}{:>12}", question.name, "ns", "ratio", "allocs", "bytes");
    let mut works: Vec<Work> = question.answers.iter().map(|answer| (answer.prepare)()).collect();
    let calls: Vec<u32> = works.iter_mut().map(calls).collect();
    let mut fastest = vec![f64::MAX; works.len()];
    for _ in 0..ROUNDS {
        for ((work, calls), fastest) in works.iter_mut().zip(&calls).zip(&mut fastest) {
            *fastest = fastest.min(time(work, *calls));
        }
    }
    for ((answer, work), seconds) in question.answers.iter().zip(&mut works).zip(&fastest) {
        let allocated = measure(&mut **work);
        let (nanoseconds, ratio) = (seconds * 1e9, seconds / fastest[0]);
        let (count, bytes) = (allocated.count_total, allocated.bytes_total);
        let verdict = verdict(&TIME_BARS, answer.name, ratio);
        println!("  {:50}{nanoseconds:>12.1}{ratio:>10.1}{count:>8}{bytes:>12}{verdict}", answer.name);
    }
}

fn instructions(question: &Question, counter: &Counter) -> Result<(), Box<dyn Error>> {
    println!("\n{:52}{:>12}{:>10}", question.name, "instructions", "ratio");
    let mut ours = None;
    for answer in question.answers.iter().filter(|answer| answer.name != authenticate::ARGON2) {
        let count = counter.count(answer.name)?;
        let ours = *ours.get_or_insert(count);
        let ratio = count as f64 / ours as f64;
        println!("  {:50}{count:>12}{ratio:>10.1}{}", answer.name, verdict(&INSTRUCTION_BARS, answer.name, ratio));
    }
    Ok(())
}

/// What there is to say of an answer for which there is a bar.
fn verdict(bars: &[(&str, f64)], name: &str, ratio: f64) -> String {
    match bars.iter().find(|(of, _)| *of == name) {
        Some((_, least)) if ratio >= *least => format!("   met: at least {least}"),
        Some((_, least)) => format!("   NOT MET: at least {least}"),
        None => String::new(),
    }
}

const ROUNDS: usize = 101;
