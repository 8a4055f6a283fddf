//! Readers that follow a feed, as caches do, while others change keys: no change is passed by.

use alloc::{boxed::Box, collections::BTreeMap, format, vec::Vec};

use super::{
    change::{AT, Change},
    feed::Feed,
    fixture::{self, later},
    races::ROUNDS,
    report::Outcome,
    rule::Rule,
    tested::{Sweep, Tested},
    trial::{Racer, Trial},
};
use crate::{
    id::KeyId,
    record::KeyRecord,
    store::{Changes, Revision},
};

const WRITERS: usize = 4;
const READERS: usize = 2;

pub(super) async fn check(trial: &mut Trial<'_>, feed: &Feed) -> Outcome {
    for round in 0..ROUNDS {
        let (mut ids, mut writers) = (Vec::new(), Vec::new());
        for number in 0..WRITERS {
            let grant = fixture::team(&format!("core-{round}-{number}"))?;
            let mut keys = Vec::new();
            for _ in 0..4 {
                keys.push(trial.stored_key(grant.clone()).await?);
            }
            let new = trial.keys.key(grant)?;
            ids.extend(keys.iter().chain([&new]).map(|key| key.id));
            writers.push(writer(trial, keys, new)?);
        }
        let reader = Reader::begin(&trial.store, feed, ids.clone()).await?;
        let mut racers: Vec<Racer<Option<Reader>>> = (0..READERS).map(|_| reader.clone().racer()).collect();
        racers.extend(writers);
        for mut reader in trial.race(racers).await?.into_iter().flatten() {
            // All writers have ended, so this one answer has what is left.
            reader.read().await?;
            let has_gone_back = reader.has_gone_back;
            trial.require(!has_gone_back, Rule::FeedListsChanges, || "changes_since: the revision went back".into());
            for id in &ids {
                let found = trial.store.find(*id).await?;
                let is_known = reader.known.get(id) == found.as_ref();
                trial.require(is_known, Rule::LateCommitListed, || {
                    "changes_since, while others change keys: a change was never listed".into()
                });
            }
        }
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

/// Changes each key once or twice, so that a change that is passed by is not covered by a later one, and inserts one.
fn writer(trial: &mut Trial<'_>, keys: Vec<KeyRecord>, new: KeyRecord) -> Outcome<Racer<Option<Reader>>> {
    let store = trial.store.clone();
    let mut changes = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let change = match number {
            0 => Change::rename(trial.keys.name()?),
            1 => trial.keys.rotation(key),
            2 => Change::revoke(AT),
            _ => Change::set_labels(trial.keys.labels()?),
        };
        changes.push((key.id, change));
    }
    let sweep = Sweep::of(new.grant.owner(), later(100)).with_limit(2);
    Ok(Box::pin(async move {
        for (id, change) in changes {
            let _ = store.ask(id, &change, None).await?;
        }
        let _ = store.insert(&new).await?;
        let _ = store.revoke_all(&sweep).await?;
        Ok(None)
    }))
}

/// A reader like a cache: it knows records, and looks up again those that the feed lists.
#[derive(Clone)]
struct Reader {
    store: Tested,
    feed: Feed,
    ids: Vec<KeyId>,
    known: BTreeMap<KeyId, KeyRecord>,
    revision: Revision,
    has_gone_back: bool,
}

impl Reader {
    /// Knows all keys of the round as of now.
    async fn begin(store: &Tested, feed: &Feed, ids: Vec<KeyId>) -> Outcome<Self> {
        let (store, feed, revision) = (store.clone(), feed.clone(), feed.now().await?);
        let mut reader = Self { store, feed, ids, known: BTreeMap::new(), revision, has_gone_back: false };
        reader.look_up(reader.ids.clone()).await?;
        Ok(reader)
    }

    async fn look_up(&mut self, ids: Vec<KeyId>) -> Outcome {
        for id in ids {
            match self.store.find(id).await? {
                Some(record) => drop(self.known.insert(id, record)),
                None => drop(self.known.remove(&id)),
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Outcome {
        let changes = self.feed.since(self.revision).await?;
        let revision = changes.revision();
        self.has_gone_back |= !revision.follows(self.revision);
        self.revision = revision;
        match changes {
            Changes::Everything { .. } => self.look_up(self.ids.clone()).await,
            Changes::Keys { ids, .. } => self.look_up(ids).await,
        }
    }

    /// Reads so often, whether or not the writers are done: what is left is read after the race.
    fn racer(mut self) -> Racer<Option<Self>> {
        Box::pin(async move {
            for _ in 0..25 {
                self.read().await?;
            }
            Ok(Some(self))
        })
    }
}
