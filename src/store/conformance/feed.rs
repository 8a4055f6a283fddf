//! A feed's answers about acknowledged changes, and to revisions that no list leads from.

use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use core::{future::Future, pin::Pin};

use super::{
    change::{AT, Change},
    dropped::attempt_changes,
    fixture::{self, later},
    report::{Outcome, Violation},
    rule::Rule,
    tested::Sweep,
    trial::Trial,
};
use crate::{
    id::KeyId,
    record::{KeyRecord, SecretSlot},
    store::{ChangeFeed, Changes, Revision},
};

/// The feed of the store under test, whose failures are violations.
#[derive(Clone)]
pub(super) struct Feed {
    feed: Arc<dyn ObjectFeed>,
    length: usize,
}

/// [`ChangeFeed`] without its type, so that the checks need no parameter.
trait ObjectFeed: Send + Sync {
    fn changes_since_boxed(
        &self,
        since: Option<Revision>,
    ) -> Pin<Box<dyn Future<Output = Outcome<Changes>> + Send + '_>>;
}

impl<S: ChangeFeed> ObjectFeed for S {
    fn changes_since_boxed(
        &self,
        since: Option<Revision>,
    ) -> Pin<Box<dyn Future<Output = Outcome<Changes>> + Send + '_>> {
        Box::pin(async move {
            let changes = self.changes_since(since).await;
            changes.map_err(|error| Violation::failure("changes_since", &error))
        })
    }
}

impl Feed {
    pub(super) fn new<S: ChangeFeed + 'static>(store: Arc<S>, length: usize) -> Self {
        Self { feed: Arc::new(store), length }
    }

    pub(super) async fn since(&self, since: Revision) -> Outcome<Changes> {
        self.feed.changes_since_boxed(Some(since)).await
    }

    /// The revision now.
    pub(super) async fn now(&self) -> Outcome<Revision> {
        Ok(self.feed.changes_since_boxed(None).await?.revision())
    }
}

/// Nothing known, another life, the future: everything.
pub(super) async fn check_unknown(trial: &mut Trial<'_>, feed: &Feed) -> Outcome {
    for _ in 0..3 {
        let key = trial.stored_key(fixture::team("core")?).await?;
        let first = feed.feed.changes_since_boxed(None).await?;
        let now = first.revision();
        require_everything(trial, "no revision", first, now);

        let other_life = now.life().map(|byte| !byte);
        let numbers = [0, now.number(), now.number().saturating_sub(1), now.number().saturating_add(1), u64::MAX];
        for number in numbers {
            let changes = feed.since(Revision::new(other_life, number)).await?;
            require_everything(trial, "a revision of another life", changes, now);
        }
        let mut one_bit = now.life();
        one_bit.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        let changes = feed.since(Revision::new(one_bit, now.number())).await?;
        require_everything(trial, "a revision of a life that differs in one bit", changes, now);

        for ahead in [1, 2, 1_000, u64::MAX] {
            let future = Revision::new(now.life(), now.number().saturating_add(ahead));
            let changes = feed.since(future).await?;
            require_everything(trial, "a revision of the future", changes, now);
        }
        let _ = trial.store.ask(key.id, &Change::DISABLE, Some(&key)).await?;
    }
    Ok(())
}

fn require_everything(trial: &mut Trial<'_>, when: &str, changes: Changes, now: Revision) {
    let is_everything = changes == Changes::Everything { revision: now };
    trial.require(is_everything, Rule::FeedUnknownRevision, || {
        format!("changes_since {when}: not everything, or not the revision now")
    });
}

/// Each operation is in the list at once, and what changed nothing is not.
pub(super) async fn check_listed(trial: &mut Trial<'_>, feed: &Feed) -> Outcome {
    let beginning = feed.now().await?;
    let mut all = Vec::new();
    for grant in [fixture::personal("core")?, fixture::team("core")?] {
        let since = feed.now().await?;
        let mut key = trial.stored_key(grant).await?;
        all.push(key.id);
        require_listed(trial, feed, "insert", since, &[key.id]).await?;
        let changes = [
            Change::rename(trial.keys.name()?),
            Change::set_labels(trial.keys.labels()?),
            trial.keys.rotation(&key),
            Change::end_rotation(&key),
            Change::DISABLE,
            Change::ENABLE,
        ];
        for change in changes {
            step(trial, feed, &mut key, change).await?;
        }
        let upgrade = trial.keys.upgrade(&key);
        step(trial, feed, &mut key, upgrade).await?;
        let stale = KeyRecord { current: trial.keys.digest(), ..key.clone() };
        let (name, labels) = (key.name.clone(), key.labels.clone());
        for change in
            [Change::rename(name), Change::set_labels(labels), Change::end_overlap(&key), trial.keys.rotation(&stale)]
        {
            step(trial, feed, &mut key, change).await?;
        }
        for change in [Change::revoke(AT), Change::revoke(later(90)), Change::rename(trial.keys.name()?)] {
            step(trial, feed, &mut key, change).await?;
        }
    }
    let since = feed.now().await?;
    let mut swept = Vec::new();
    for _ in 0..4 {
        swept.push(trial.stored_key(fixture::team("swept")?).await?.id);
    }
    require_listed(trial, feed, "four inserts", since, &swept).await?;
    let since = feed.now().await?;
    let batch = trial.store.revoke_all(&Sweep::of(fixture::team("swept")?.owner(), later(90)).with_limit(3)).await?;
    require_listed(trial, feed, "revoke_all", since, &batch.ids).await?;
    all.extend(swept);
    require_listed(trial, feed, "all changes", beginning, &all).await
}

/// Asks for a change, which is listed if it changes anything.
async fn step(trial: &mut Trial<'_>, feed: &Feed, key: &mut KeyRecord, change: Change) -> Outcome {
    let (since, before) = (feed.now().await?, key.clone());
    *key = change.outcome(&before).0;
    let _ = trial.store.ask(key.id, &change, Some(&before)).await?;
    let ids = if *key == before { Vec::new() } else { [key.id].into() };
    require_listed(trial, feed, change.name(), since, &ids).await
}

async fn require_listed(
    trial: &mut Trial<'_>,
    feed: &Feed,
    when: &str,
    since: Revision,
    expected: &[KeyId],
) -> Outcome {
    let changes = feed.since(since).await?;
    let revision = changes.revision();
    let is_later = revision.follows(since) && (expected.is_empty() || revision.number() > since.number());
    trial.require(is_later, Rule::FeedListsChanges, || format!("changes_since before {when}: no later revision"));
    let Changes::Keys { ids, .. } = changes else {
        trial.broken(Rule::FeedListsChanges, format!("changes_since before {when}: everything, for a few changes"));
        return Ok(());
    };
    let is_listed = expected.iter().all(|id| ids.contains(id));
    trial.require(is_listed, Rule::FeedListsChanges, || format!("changes_since before {when}: a key is not listed"));
    let is_exact = ids.iter().all(|id| expected.contains(id));
    trial.require(is_exact, Rule::FeedListsNothingElse, || format!("changes_since before {when}: another key"));
    let is_over = feed.since(revision).await? == Changes::Keys { ids: Vec::new(), revision };
    trial.require(is_over, Rule::FeedListsNothingElse, || format!("changes_since after {when}: there were changes"));
    Ok(())
}

/// Touches of active, disabled and revoked keys.
pub(super) async fn check_touches(trial: &mut Trial<'_>, feed: &Feed) -> Outcome {
    for change in [None, Some(Change::DISABLE), Some(Change::revoke(AT))] {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let rotation = trial.keys.rotation(&key);
        trial.change(&mut key, rotation).await?;
        if let Some(change) = change {
            trial.change(&mut key, change).await?;
        }
        let since = feed.now().await?;
        for (slot, second) in [(SecretSlot::Current, 1), (SecretSlot::Previous, 2), (SecretSlot::Current, 1)] {
            let touch = Change::Touch { slot, used_at: later(second), now: later(100) };
            let _ = trial.store.ask(key.id, &touch, None).await?;
            let changes = feed.since(since).await?;
            let is_unmoved = changes == Changes::Keys { ids: Vec::new(), revision: since };
            trial.require(is_unmoved, Rule::TouchMovesNoRevision, || {
                format!("touch of a key that is {}: the revision moved, or a change is listed", key.status)
            });
        }
    }
    Ok(())
}

/// So many changes that the first ones are pushed out of the list: then, everything; or still a whole list.
pub(super) async fn check_old(trial: &mut Trial<'_>, feed: &Feed) -> Outcome {
    let mut since = Vec::from([(feed.now().await?, Vec::new())]);
    let mut ids = Vec::new();
    let mut churned = trial.stored_key(fixture::team("churned")?).await?;
    for _ in 0..3 {
        ids.push(trial.stored_key(fixture::team("core")?).await?.id);
        since.push((feed.now().await?, ids.clone()));
    }
    for number in 0..feed.length.saturating_add(2) {
        let change = if number % 2 == 0 { Change::DISABLE } else { Change::ENABLE };
        trial.change(&mut churned, change).await?;
    }
    let now = feed.now().await?;
    for (revision, known) in since {
        let is_right = match feed.since(revision).await? {
            Changes::Everything { revision } => revision == now,
            Changes::Keys { ids: listed, revision } => {
                let is_new = |id: &&KeyId| !known.contains(id);
                revision == now
                    && listed.contains(&churned.id)
                    && ids.iter().filter(is_new).all(|id| listed.contains(id))
            }
        };
        let detail = || format!("changes_since {} changes ago: a list that has not all of them", feed.length);
        trial.require(is_right, Rule::FeedTooOld, detail);
    }
    Ok(())
}

/// Operations that were dropped: what took place is listed.
pub(super) async fn check_dropped(trial: &mut Trial<'_>, feed: &Feed) -> Outcome {
    let beginning = feed.now().await?;
    // Each key that was made for a change is listed by its insert, so the change is looked for after that.
    for attempt in attempt_changes(trial, Some(feed)).await? {
        let are_changed = attempt.are_changed(trial).await?;
        let since = attempt.since.unwrap_or(beginning);
        let listed = match feed.since(since).await? {
            Changes::Everything { .. } => continue,
            Changes::Keys { ids, .. } => ids,
        };
        let mut changed = attempt.ids().zip(are_changed).filter(|(_, is_changed)| *is_changed);
        let are_listed = changed.all(|(id, _)| listed.contains(&id));
        trial.require(are_listed, Rule::FeedWithChange, || format!("{}: changed, and not listed", attempt.when()));
    }
    Ok(())
}
