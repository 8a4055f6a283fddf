//! The latest refusals of each key, for its owner.
//!
//! The log of changes has no refusals, and must not: one who holds a key could fill it. Here are the last ones of each
//! key, counted by what was asked, and bounded in memory and in the database. They are written off the requests' path.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use keygate::{
    KeyId, UnixTime,
    audit::{Event, EventKind, Principal},
};

use super::{form::hex, page::Stop};
use crate::database::{Database, execute, sql};

/// Refusals that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<(KeyId, String), (i64, Event)>>);

impl Refusals {
    /// Notes a refusal, in place of the oldest of its key. Where others left no room, it is left out.
    pub(crate) fn note(&self, event: &Event) {
        let EventKind::Refused { attempt, reason, .. } = &event.kind else { return };
        let id = match (&event.by, event.key) {
            (Principal::Key { id, .. }, _) => *id,
            (_, Some(id)) => id,
            _ => return,
        };
        // Two who try the same are two.
        let what = hex(format!("{:?} {attempt:?} {reason}", event.by).as_bytes());
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.contains_key(&(id, what.clone())) {
            let of_key = || noted.range((id, String::new())..).take_while(|((of, _), _)| *of == id);
            if of_key().count() >= KEPT {
                let oldest = of_key().min_by_key(|(_, (_, last))| last.at).map(|(oldest, _)| oldest.clone());
                oldest.and_then(|oldest| noted.remove(&oldest));
            } else if noted.len() >= MAX_NOTED {
                return;
            }
        }
        let (times, last) = noted.entry((id, what)).or_insert_with(|| (0, event.clone()));
        *times = times.saturating_add(1);
        *last = event.clone();
    }

    /// Writes what was noted, and keeps the last ones of each key.
    pub(crate) async fn write(&self, database: &Database) -> Result<(), sqlx::Error> {
        let noted = core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let upsert = "INSERT INTO gateway_refusals (key_id, what, times, last_at, event) \
                      VALUES ($1, $2, $3, $4, $5) \
                      ON CONFLICT (key_id, what) DO UPDATE SET times = gateway_refusals.times + excluded.times, \
                      last_at = excluded.last_at, event = excluded.event";
        let keys: BTreeSet<_> = noted.keys().map(|(id, _)| *id).collect();
        for ((id, what), (times, event)) in noted {
            let Ok(text) = serde_json::to_string(&event) else { continue };
            execute!(database, upsert, id.as_str(), &what, times, event.at.as_secs(), &text)?;
        }
        let trim = "DELETE FROM gateway_refusals WHERE key_id = $1 AND what NOT IN \
                    (SELECT what FROM gateway_refusals WHERE key_id = $1 ORDER BY last_at DESC, what LIMIT $2)";
        for id in keys {
            execute!(database, trim, id.as_str(), KEPT as i64)?;
        }
        Ok(())
    }
}

/// Returns the last refusals of a key, each with how often it came.
pub(super) async fn of(database: &Database, id: KeyId) -> Result<Vec<(Event, u64)>, Stop> {
    let find = "SELECT event, times FROM gateway_refusals WHERE key_id = $1 ORDER BY last_at DESC";
    let rows: Vec<(String, i64)> = sql!(database, pool => sqlx::query_as(find).bind(id.as_str()).fetch_all(pool))?;
    let read = |(event, times): (String, i64)| Some((serde_json::from_str(&event).ok()?, times.unsigned_abs()));
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Forgets what is a month old.
pub(crate) async fn forget_old(database: &Database, now: UnixTime) -> Result<(), sqlx::Error> {
    let before = now.saturating_sub(super::words::DAY.saturating_mul(30)).as_secs();
    execute!(database, "DELETE FROM gateway_refusals WHERE last_at < $1", before).map(drop)
}

/// How many different ones are kept of a key.
const KEPT: usize = 50;
/// How many different ones wait to be written.
const MAX_NOTED: usize = 500;
