//! A caller that stops waiting: each operation is dropped after so many polls, and a change and its event are one.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use super::{
    change::Change,
    feed::Feed,
    fixture::{self, Keys, later},
    report::Outcome,
    rule::Rule,
    tested::{Sweep, Tested},
    trial::Trial,
};
use crate::{audit::Event, id::KeyId, record::KeyRecord, store::Revision, time::UnixTime};

/// An operation that was begun and perhaps dropped: what is stored of its keys if it took place, and what if not.
pub(super) struct Attempt {
    operation: &'static str,
    polls: usize,
    keys: Vec<Attempted>,
    /// The revision of the feed before it was begun, if there is a feed.
    pub(super) since: Option<Revision>,
}

struct Attempted {
    id: KeyId,
    /// Nothing, of an insert.
    before: Option<KeyRecord>,
    after: KeyRecord,
    event: &'static str,
    /// Tells the event of the attempt from those of the changes that prepared the key.
    at: UnixTime,
}

impl Attempt {
    pub(super) fn when(&self) -> String {
        format!("{}, dropped after {} polls", self.operation, self.polls)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.iter().map(|key| key.id)
    }

    /// Returns for each key whether the change is stored; that nothing else is stored is required.
    pub(super) async fn are_changed(&self, trial: &mut Trial<'_>) -> Outcome<Vec<bool>> {
        let mut are_changed = Vec::new();
        for key in &self.keys {
            let found = trial.store.find(key.id).await?;
            let is_changed = found.as_ref() == Some(&key.after);
            let is_whole = is_changed || found == key.before;
            trial.require(is_whole, Rule::NothingElseChanges, || format!("{}: a part of it is stored", self.when()));
            are_changed.push(is_changed);
        }
        Ok(are_changed)
    }

    fn are_logged(&self, log: &[Event]) -> Vec<bool> {
        let is_its = |event: &Event, key: &Attempted| {
            event.key == Some(key.id) && event.at == key.at && event.kind.as_str() == key.event
        };
        self.keys.iter().map(|key| log.iter().any(|event| is_its(event, key))).collect()
    }
}

/// Single operations.
pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let attempts = attempt_changes(trial, None).await?;
    require_one(trial, &attempts).await
}

/// Steps of `revoke_all`.
pub(super) async fn check_batches(trial: &mut Trial<'_>) -> Outcome {
    let mut attempts = Vec::new();
    for polls in 0..MAX_POLLS {
        let grant = fixture::team(&format!("core-{polls}"))?;
        let sweep = Sweep::of(grant.owner(), later(90));
        let mut keys = Vec::new();
        for _ in 0..3 {
            let before = trial.stored_key(grant.clone()).await?;
            let mut after = before.clone();
            sweep.change().apply(&mut after);
            keys.push(Attempted { id: before.id, before: Some(before), after, event: "revoked", at: sweep.at });
        }
        let answer = poll_times(Box::pin(trial.store.revoke_all(&sweep)), polls).await;
        attempts.push(Attempt { operation: "revoke_all", polls, keys, since: None });
        if answer.transpose()?.is_some() {
            break;
        }
    }
    require_one(trial, &attempts).await
}

/// Begins each operation again and again, each time on a key of its own, until it is polled to its end.
pub(super) async fn attempt_changes(trial: &mut Trial<'_>, feed: Option<&Feed>) -> Outcome<Vec<Attempt>> {
    let mut attempts = Vec::new();
    for polls in 0..MAX_POLLS {
        let key = trial.keys.key(fixture::team("core")?)?;
        let since = revision(feed).await?;
        let answer = poll_times(Box::pin(trial.store.insert(&key)), polls).await;
        let event = if key.current.algorithm().is_legacy() { "imported" } else { "created" };
        let keys = [Attempted { id: key.id, before: None, at: key.created_at, after: key, event }].into();
        attempts.push(Attempt { operation: "insert", polls, keys, since });
        if answer.transpose()?.is_some() {
            break;
        }
    }
    for change in CHANGES {
        for polls in 0..MAX_POLLS {
            let mut before = trial.stored_key(fixture::team("core")?).await?;
            let rotation = trial.keys.rotation(&before);
            trial.change(&mut before, rotation).await?;
            let mut change = change(&mut trial.keys, &before)?;
            if let Change::Make(_, at) = &mut change {
                *at = ATTEMPTED_AT;
            }
            if change.name() == "enable" {
                trial.change(&mut before, Change::DISABLE).await?;
            }
            let (id, mut after) = (before.id, before.clone());
            change.apply(&mut after);
            let event = change.event_kind(Some(&before)).map_or("none", |kind| kind.as_str());
            let since = revision(feed).await?;
            let answer = poll_times(Box::pin(ask(&trial.store, &before, &change)), polls).await;
            let keys = [Attempted { id, before: Some(before), after, event, at: ATTEMPTED_AT }].into();
            attempts.push(Attempt { operation: change.name(), polls, keys, since });
            if answer.transpose()?.is_some() {
                break;
            }
        }
    }
    Ok(attempts)
}

async fn revision(feed: Option<&Feed>) -> Outcome<Option<Revision>> {
    match feed {
        Some(feed) => feed.now().await.map(Some),
        None => Ok(None),
    }
}

async fn ask(store: &Tested, before: &KeyRecord, change: &Change) -> Outcome {
    let _ = store.ask(before.id, change, Some(before)).await?;
    Ok(())
}

type MakeChange = fn(&mut Keys, &KeyRecord) -> Outcome<Change>;

const CHANGES: &[MakeChange] = &[
    |keys, _| Ok(Change::rename(keys.name()?)),
    |keys, _| Ok(Change::set_labels(keys.labels()?)),
    |keys, key| Ok(keys.rotation(key)),
    |keys, key| Ok(keys.upgrade(key)),
    |_, key| Ok(Change::end_overlap(key)),
    |_, _| Ok(Change::DISABLE),
    |_, _| Ok(Change::ENABLE),
    |_, _| Ok(Change::revoke(ATTEMPTED_AT)),
];

/// Requires of each attempt that all of it took place, or nothing of it.
async fn require_one(trial: &mut Trial<'_>, attempts: &[Attempt]) -> Outcome {
    let keeps_log = !trial.store.ledger.has_events_handed_back();
    let mut first_looks = Vec::new();
    for attempt in attempts {
        first_looks.push(attempt.are_changed(trial).await?);
    }
    // What was dropped may still take place unseen, so the log is read between two looks: what was changed
    // before has its event in it, and what has an event in it is changed after.
    let log = trial.log().await;
    for (attempt, were_changed) in attempts.iter().zip(first_looks) {
        let (are_logged, are_changed) = (attempt.are_logged(&log), attempt.are_changed(trial).await?);
        let (is_any_logged, is_any_changed) = (are_logged.contains(&true), were_changed.contains(&true));
        let is_in_log = !keeps_log || !is_any_changed || !are_logged.contains(&false);
        trial.require(is_in_log, Rule::ChangeWithoutEvent, || format!("{}: changed without event", attempt.when()));
        let is_changed = !is_any_logged || !are_changed.contains(&false);
        trial.require(is_changed, Rule::EventWithoutChange, || format!("{}: logged, not changed", attempt.when()));
        let is_one_step = !is_any_changed || !are_changed.contains(&false);
        trial.require(is_one_step, Rule::RevokeAllOneStep, || format!("{}: some keys are revoked", attempt.when()));
    }
    Ok(())
}

/// Polls a future so many times, each time when it woke its task, and drops it unless it has ended.
async fn poll_times<F: Future + Unpin>(mut future: F, times: usize) -> Option<F::Output> {
    let mut left = times;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left = left.saturating_sub(1);
        match Pin::new(&mut future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

const ATTEMPTED_AT: UnixTime = later(70);
/// An operation that is polled more often is not tried further.
const MAX_POLLS: usize = 100;
