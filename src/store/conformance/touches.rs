//! The last use moves forward, and never past the present.

use alloc::format;

use super::{change::Change, fixture, report::Outcome, rule::Rule, trial::Trial};
use crate::time::UnixTime;

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    for steps in WALKS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        for step in *steps {
            let [used_at, now, last] = [step.used_at, step.now, step.last].map(UnixTime::from_secs);
            Change::Touch { used_at, now }.ask(&trial.store, key.id).await?.ok();
            key.last_used_at = Some(last);
            let when = format!("touch at {used_at}, now {now}, to be {last} then");
            trial.require_stored(step.rule, &when, &key).await?;
        }
    }
    Ok(())
}

/// A touch, what the last use is then, and the rule that says so.
struct Step {
    used_at: i64,
    now: i64,
    last: i64,
    rule: Rule,
}

/// Each is walked by a key that was never used.
const WALKS: &[&[Step]] = &[
    &[
        Step { used_at: 100, now: 200, last: 100, rule: Rule::TouchForward },
        Step { used_at: 50, now: 200, last: 100, rule: Rule::TouchForward },
        Step { used_at: 100, now: 300, last: 100, rule: Rule::TouchForward },
        Step { used_at: 150, now: 300, last: 150, rule: Rule::TouchForward },
        // The clock of this caller is behind: both are.
        Step { used_at: 140, now: 145, last: 150, rule: Rule::TouchForward },
        // Bounded by now, this is a step back.
        Step { used_at: 500, now: 145, last: 150, rule: Rule::TouchForward },
        Step { used_at: 500, now: 400, last: 400, rule: Rule::TouchNotPastNow },
        Step { used_at: i64::MIN, now: i64::MAX, last: 400, rule: Rule::TouchForward },
    ],
    &[Step { used_at: 300, now: 200, last: 200, rule: Rule::TouchNotPastNow }],
    &[
        Step { used_at: i64::MAX, now: i64::MIN, last: i64::MIN, rule: Rule::TouchNotPastNow },
        Step { used_at: -1, now: 0, last: -1, rule: Rule::TouchForward },
        Step { used_at: i64::MAX, now: i64::MAX, last: i64::MAX, rule: Rule::TouchForward },
    ],
];
