//! What keys were refused lately, for the people whose keys they are.
//!
//! The log of changes has no refusals, and must not: one who holds a key could fill it. Here are the last ones of each
//! key, counted by what was asked, and bounded in memory and in the database. They are written off the requests' path.

use std::{
    collections::BTreeMap,
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
    /// Notes a refusal. Where there is no room, it is left out.
    pub(crate) fn note(&self, event: &Event) {
        let EventKind::Refused { attempt, reason, .. } = &event.kind else { return };
        let id = match (&event.by, event.key) {
            (Principal::Key { id, .. }, _) => *id,
            (_, Some(id)) => id,
            _ => return,
        };
        let what = hex(format!("{attempt:?} {reason}").as_bytes());
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MAX_NOTED && !noted.contains_key(&(id, what.clone())) {
            return;
        }
        let (times, last) = noted.entry((id, what)).or_insert_with(|| (0, event.clone()));
        *times = times.saturating_add(1);
        *last = event.clone();
    }

    /// Writes what was noted.
    pub(crate) async fn write(&self, database: &Database) -> Result<(), sqlx::Error> {
        let noted = core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let upsert = "INSERT INTO gateway_refusals (key_id, what, times, last_at, event) \
                      SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM gateway_refusals WHERE key_id = $1) < 50 \
                      OR EXISTS (SELECT 1 FROM gateway_refusals WHERE key_id = $1 AND what = $2) \
                      ON CONFLICT (key_id, what) DO UPDATE SET times = gateway_refusals.times + excluded.times, \
                      last_at = excluded.last_at, event = excluded.event";
        for ((id, what), (times, event)) in noted {
            let Ok(text) = serde_json::to_string(&event) else { continue };
            execute!(database, upsert, id.as_str(), &what, times, event.at.as_secs(), &text)?;
        }
        Ok(())
    }
}

/// Returns the last refusals of a key, each with how often it came.
pub(super) async fn of(database: &Database, id: KeyId) -> Result<Vec<(Event, u64)>, Stop> {
    let find = "SELECT event, times FROM gateway_refusals WHERE key_id = $1 ORDER BY last_at DESC LIMIT 10";
    let rows: Vec<(String, i64)> = sql!(database, pool => sqlx::query_as(find).bind(id.as_str()).fetch_all(pool))?;
    let read = |(event, times): (String, i64)| Some((serde_json::from_str(&event).ok()?, times.unsigned_abs()));
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Forgets what is a month old.
pub(crate) async fn forget_old(database: &Database, now: UnixTime) -> Result<(), sqlx::Error> {
    let before = now.saturating_sub(super::words::DAY.saturating_mul(30)).as_secs();
    execute!(database, "DELETE FROM gateway_refusals WHERE last_at < $1", before).map(drop)
}

/// How many different ones wait to be written.
const MAX_NOTED: usize = 500;
