//! Times that take turns.

use keygate_bench_instructions::{
    Work,
    timing::{calls, time},
};

const ROUNDS: usize = 301;

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
