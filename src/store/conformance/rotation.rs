//! Rotations: compared before they are set, and each way to treat the previous secret.

use super::{
    change::{Change, Told},
    fixture,
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    record::{KeyRecord, PreviousSecret},
    store::{Conflict, PreviousChange},
};

pub(super) async fn check_expected(trial: &mut Trial<'_>) -> Outcome {
    let mut key = trial.stored_key(fixture::team("core")?).await?;
    let first = trial.keys.rotation(&key);
    let original = key.clone();
    trial.change(&mut key, first.clone()).await?;

    let unknown = KeyRecord { current: trial.keys.digest(), ..key.clone() };
    let relabelled = KeyRecord { current: fixture::relabelled(key.current), ..key.clone() };
    let late = [
        ("rotate, the same again", first),
        ("rotate, expecting the previous digest", trial.keys.rotation(&original)),
        ("rotate, expecting the previous digest, keep", trial.keys.rotation_with(&original, PreviousChange::Keep)),
        ("rotate, expecting the previous digest, clear", trial.keys.rotation_with(&original, PreviousChange::Clear)),
        ("rotate, expecting a digest that never was", trial.keys.rotation(&unknown)),
        ("rotate, expecting the bytes of another algorithm", trial.keys.rotation(&relabelled)),
        ("upgrade, expecting the previous digest", trial.keys.upgrade(&original)),
        ("upgrade, expecting the bytes of another algorithm", trial.keys.upgrade(&relabelled)),
    ];
    for (when, change) in late {
        let told = trial.store.ask(key.id, &change, Some(&key)).await?;
        trial.require_told(Rule::RotateExpected, when, &told, &Told::Refused(Conflict::Changed));
        trial.require_stored(Rule::RotateExpected, when, &key).await?;
    }
    Ok(())
}

pub(super) async fn check_previous(trial: &mut Trial<'_>) -> Outcome {
    // Seldom found, the store is changed behind the back of what remembers the last find.
    for is_found_often in [true, false] {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        for (when, step) in WALK {
            let (change, rule) = match step {
                Step::EndOverlap => (Change::end_overlap(&key), Rule::NothingElseChanges),
                Step::Clear => (trial.keys.rotation_with(&key, PreviousChange::Clear), Rule::RotatePrevious),
                Step::Keep => (trial.keys.rotation_with(&key, PreviousChange::Keep), Rule::RotateKeepsStored),
                Step::Upgrade => (trial.keys.upgrade(&key), Rule::RotateKeepsStored),
                Step::Set(end) => {
                    let ends_at = fixture::later(*end);
                    let previous = PreviousSecret { digest: key.current, ends_at, last_used_at: None };
                    (trial.keys.rotation_with(&key, PreviousChange::Set(previous)), Rule::RotatePrevious)
                }
            };
            trial.change(&mut key, change).await?;
            if is_found_often || matches!(step, Step::Keep | Step::Upgrade) {
                trial.require_stored(rule, when, &key).await?;
            }
        }
    }
    Ok(())
}

enum Step {
    Clear,
    EndOverlap,
    Keep,
    Set(u64),
    Upgrade,
}

/// Walked by one key, so that each step starts from what the one before left.
const WALK: &[(&str, Step)] = &[
    ("rotate, keep where there is none", Step::Keep),
    ("upgrade where there is none", Step::Upgrade),
    ("rotate, clear where there is none", Step::Clear),
    ("rotate, set where there is none", Step::Set(10)),
    ("rotate, keep", Step::Keep),
    ("rotate, keep again", Step::Keep),
    ("upgrade, which keeps it", Step::Upgrade),
    ("rotate, set where there is one", Step::Set(20)),
    ("rotate, keep the second", Step::Keep),
    ("end_overlap", Step::EndOverlap),
    ("rotate, keep after end_overlap", Step::Keep),
    ("rotate, set after end_overlap", Step::Set(5)),
    ("rotate, clear", Step::Clear),
    ("rotate, keep after clear", Step::Keep),
    // An overlap of nothing is legal, and stored all the same.
    ("rotate, set an end that is over", Step::Set(0)),
    ("rotate, keep one that is over", Step::Keep),
    ("end_overlap again", Step::EndOverlap),
    ("end_overlap where there is none", Step::EndOverlap),
];
