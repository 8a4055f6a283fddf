//! Times that take turns.

use std::time::Instant;

use keygate_bench_instructions::Work;

const ROUNDS: usize = 301;
/// Long enough that reading the clock does not count, short enough that many rounds are not disturbed.
const ROUND_SECONDS: f64 = 0.001;

/// How many times as long the one takes as the other: of rounds in which they take turns, the fastest of each. What
/// else runs on the machine only ever makes a round slower.
pub fn ratio(of: &mut Work, to: &mut Work) -> f64 {
    let (of_calls, to_calls) = (calls(of), calls(to));
    let (mut fastest_of, mut fastest_to) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        fastest_of = fastest_of.min(time(of, of_calls));
        fastest_to = fastest_to.min(time(to, to_calls));
    }
    fastest_of / fastest_to
}

/// Seconds for one call, in the fastest of many rounds.
pub fn seconds(work: &mut Work) -> f64 {
    let calls = calls(work);
    (0..ROUNDS).map(|_| time(work, calls)).fold(f64::MAX, f64::min)
}

/// How many calls fill a round.
fn calls(work: &mut Work) -> u32 {
    let mut calls = 1;
    while time(work, calls) * f64::from(calls) < ROUND_SECONDS && calls < 1 << 24 {
        calls *= 2;
    }
    calls
}

fn time(work: &mut Work, calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}
