//! Calls in rounds, by the clock.

use std::time::Instant;

use crate::Work;

/// Long enough that reading the clock does not count, short enough that many rounds are not disturbed.
const ROUND_SECONDS: f64 = 0.001;

/// How many calls fill a round.
pub fn calls(work: &mut Work) -> u32 {
    let mut calls = 1;
    while time(work, calls) * f64::from(calls) < ROUND_SECONDS && calls < 1 << 24 {
        calls *= 2;
    }
    calls
}

/// Seconds for one call, of so many.
pub fn time(work: &mut Work, calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}
