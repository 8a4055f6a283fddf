//! The last use moves forward, never past the present, and for the secret that was presented.

use alloc::{format, vec::Vec};

use super::{
    change::Change,
    fixture::{self, later},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    record::{KeyRecord, SecretSlot},
    store::{PreviousChange, Touch},
    time::UnixTime,
};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    for steps in WALKS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        for step in *steps {
            let [used_at, now, last] = [step.used_at, step.now, step.last].map(UnixTime::from_secs);
            let touch = Change::Touch { slot: SecretSlot::Current, used_at, now };
            let _ = trial.store.ask(key.id, &touch, None).await?;
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

/// The previous secret has a last use of its own, which moves with that of the key and not the other way round.
pub(super) async fn check_slots(trial: &mut Trial<'_>) -> Outcome {
    let slots = [SecretSlot::Current, SecretSlot::Previous];
    // No previous secret is stored yet.
    let mut key = trial.stored_key(fixture::team("core")?).await?;
    for (slot, second) in slots.into_iter().zip(1..) {
        touch_at(trial, &mut key, slot, second, 100).await?;
    }
    // By the previous one first: its last use is behind that of the key, and then beside it.
    let rotation = trial.keys.rotation(&key);
    trial.change(&mut key, rotation).await?;
    for (slot, second, now) in [
        (SecretSlot::Previous, 1, 100),
        (SecretSlot::Current, 7, 100),
        (SecretSlot::Previous, 5, 100),
        (SecretSlot::Previous, 4, 100),
        (SecretSlot::Previous, 9, 8),
        (SecretSlot::Previous, 9, 100),
        (SecretSlot::Current, 9, 100),
        (SecretSlot::Current, 12, 100),
    ] {
        touch_at(trial, &mut key, slot, second, now).await?;
    }
    // The next previous secret begins without a use, and what is kept keeps its own.
    let rotation = trial.keys.rotation(&key);
    trial.change(&mut key, rotation).await?;
    touch_at(trial, &mut key, SecretSlot::Previous, 20, 100).await?;
    let keep = trial.keys.rotation_with(&key, PreviousChange::Keep);
    trial.change(&mut key, keep).await?;
    trial.require_stored(Rule::TouchSlot, "rotate, keep, after a touch", &key).await?;

    trial.change(&mut key, Change::DISABLE).await?;
    touch_at(trial, &mut key, SecretSlot::Previous, 30, 100).await?;
    trial.change(&mut key, Change::revoke(later(40))).await?;
    for (slot, second) in slots.into_iter().zip(50..) {
        let touch = Change::Touch { slot, used_at: later(second), now: later(100) };
        let _ = trial.store.ask(key.id, &touch, None).await?;
        trial.require_stored(Rule::RevokedIsFinal, "touch of a revoked key", &key).await?;
    }
    Ok(())
}

async fn touch_at(trial: &mut Trial<'_>, key: &mut KeyRecord, slot: SecretSlot, used_at: u64, now: u64) -> Outcome {
    let touch = Change::Touch { slot, used_at: later(used_at), now: later(now) };
    touch.apply(key);
    let _ = trial.store.ask(key.id, &touch, None).await?;
    let when = format!("touch of the {slot} secret at {used_at}, now {now}");
    trial.require_stored(Rule::TouchSlot, &when, key).await
}

/// Many touches at once: several of one key in no order, and some that change nothing between them.
pub(super) async fn check_batches(trial: &mut Trial<'_>) -> Outcome {
    let mut keys = Vec::new();
    for number in 0..40 {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        if number % 2 == 0 {
            let rotation = trial.keys.rotation(&key);
            trial.change(&mut key, rotation).await?;
        }
        match number % 5 {
            1 => trial.change(&mut key, Change::DISABLE).await?,
            2 => trial.change(&mut key, Change::revoke(later(1))).await?,
            _ => {}
        }
        keys.push(key);
    }
    for (count, now) in [(0_u64, 100), (1, 100), (7, 110), (400, 120)] {
        let mut touches = Vec::new();
        for (number, key) in (0..count).zip(keys.iter().cycle()) {
            let slot = if number % 3 == 0 { SecretSlot::Previous } else { SecretSlot::Current };
            // Of each key, times that go up and down, some of them past now.
            let used_at = later(now).saturating_add(core::time::Duration::from_secs(number.wrapping_mul(7) % 11));
            let used_at = used_at.saturating_sub(core::time::Duration::from_secs(8));
            touches.push(Touch::new(key.id, slot, used_at));
            touches.push(Touch::new(trial.keys.id()?, slot, used_at));
        }
        for touch in &touches {
            let change = Change::Touch { slot: touch.slot, used_at: touch.used_at, now: later(now) };
            for key in keys.iter_mut().filter(|key| key.id == touch.id && !key.is_revoked()) {
                change.apply(key);
            }
        }
        let absent = touches.iter().skip(1).step_by(2).map(|touch| touch.id).next();
        trial.store.touch(touches, later(now)).await?;
        let when = format!("a batch of {count} touches, and as many of absent keys");
        for key in &keys {
            let rule = if key.is_revoked() { Rule::RevokedIsFinal } else { Rule::TouchBatch };
            trial.require_stored(rule, &when, key).await?;
        }
        if let Some(absent) = absent {
            let is_absent = trial.store.find(absent).await?.is_none();
            trial.require(is_absent, Rule::ChangeAbsent, || format!("{when}: an absent key is found afterwards"));
        }
    }
    Ok(())
}
