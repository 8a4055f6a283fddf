//! A store without waiting: records in a table behind a lock. A database with a blocking driver goes in its place.

use core::fmt;
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use keygate::{InvalidRecord, KeyId, KeyRecord, NewKey, Permit, RecordParts, Revoke, Status, UnixTime};

/// The keys.
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: RwLock<HashMap<KeyId, Arc<KeyRecord>>>,
}

impl Table {
    /// Finds a record; `Ok(None)` is absence, and a table that is broken is an error, which becomes a 503.
    pub(crate) fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Broken> {
        Ok(self.records.read().map_err(|_| Broken)?.get(&id).cloned())
    }

    /// Stores a key that was just made.
    pub(crate) fn insert(&self, new: &NewKey) -> Result<(), Broken> {
        let record = new.record().clone();
        self.records.write().map_err(|_| Broken)?.insert(record.id(), Arc::new(record));
        Ok(())
    }

    /// Ends a key; under the lock, and the first time stays.
    pub(crate) fn revoke(&self, permit: &Permit<Revoke>, at: UnixTime) -> Result<(), Broken> {
        let mut records = self.records.write().map_err(|_| Broken)?;
        let Some(record) = records.get_mut(&permit.operation().0.id()) else { return Ok(()) };
        if !matches!(record.status(), Status::Revoked { .. }) {
            let parts = RecordParts { status: Status::Revoked { at }, ..RecordParts::from(KeyRecord::clone(record)) };
            *record = Arc::new(parts.try_into().map_err(|_: InvalidRecord| Broken)?);
        }
        Ok(())
    }
}

/// The table cannot be trusted: somebody panicked while they changed it.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table of keys is broken")
    }
}

impl core::error::Error for Broken {}
