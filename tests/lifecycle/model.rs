//! The lifecycle of keys on numbers, written from the documents: slow, without locks, and with no type of the rules.

use std::sync::Arc;

use keygate::{KeyRecord, Rotation};

/// The secrets of a key are numbered as they are made.
pub(crate) type Secret = u32;

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) keys: Vec<Key>,
    pub(crate) now: i64,
    pub(crate) deprovisioned: [bool; 2],
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// 0 and 1 are users, 2 is the team whose keys do everything, 3 the one whose keys call.
    pub(crate) owner: usize,
    pub(crate) name: usize,
    pub(crate) is_disabled: bool,
    pub(crate) revoked_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) current: Secret,
    pub(crate) previous: Option<(Secret, i64)>,
    made: Secret,
    /// Not of the model: what the store gave when both were compared.
    pub(crate) seen: Option<Arc<KeyRecord>>,
}

type Answer = Result<(), String>;

fn refused(reason: &str) -> Answer {
    Err(reason.to_owned())
}

impl Model {
    pub(crate) fn create(
        &mut self,
        owner: usize,
        name: usize,
        (not_before, expires_at): (Option<i64>, Option<i64>),
    ) -> Answer {
        if self.live_of(owner).any(|place| self.keys[place].name == name) {
            return refused("name_taken");
        }
        self.keys.push(Key {
            owner,
            name,
            is_disabled: false,
            revoked_at: None,
            not_before,
            expires_at,
            created_at: self.now,
            last_used_at: None,
            current: 0,
            previous: None,
            made: 0,
            seen: None,
        });
        Ok(())
    }

    pub(crate) fn live_of(&self, owner: usize) -> impl Iterator<Item = usize> {
        (0..self.keys.len())
            .filter(move |place| self.keys[*place].owner == owner && self.keys[*place].revoked_at.is_none())
    }

    fn live(&mut self, place: usize) -> Result<&mut Key, String> {
        let key = &mut self.keys[place];
        if key.revoked_at.is_some() { Err("revoked".to_owned()) } else { Ok(key) }
    }

    pub(crate) fn rename(&mut self, place: usize, name: usize) -> Answer {
        let owner = self.live(place)?.owner;
        if self.live_of(owner).any(|other| other != place && self.keys[other].name == name) {
            return refused("name_taken");
        }
        self.keys[place].name = name;
        Ok(())
    }

    /// Rotates by what somebody saw: the plan is made from that, and carried out on what is there.
    pub(crate) fn rotate(&mut self, place: usize, seen: &Key, rotation: Rotation, overlap: i64) -> Answer {
        let now = self.now;
        if seen.revoked_at.is_some() {
            return refused("revoked");
        }
        if seen.is_disabled {
            return refused("disabled");
        }
        if seen.expires_at.is_some_and(|end| now >= end) {
            return refused("expired");
        }
        let lives = seen.previous.is_some_and(|(_, end)| now < end);
        if lives && matches!(rotation, Rotation::Start { .. }) {
            return refused("rotation_in_progress");
        }
        let key = self.live(place)?;
        if key.is_disabled {
            return refused("disabled");
        }
        if key.current != seen.current {
            return refused("changed");
        }
        if rotation == Rotation::CutOver {
            key.previous = None;
        } else if !lives {
            let end = now + overlap;
            key.previous = Some((key.current, key.expires_at.map_or(end, |expires| expires.min(end))));
        }
        key.made += 1;
        key.current = key.made;
        Ok(())
    }

    pub(crate) fn end_overlap(&mut self, place: usize) -> Answer {
        self.live(place)?.previous = None;
        Ok(())
    }

    pub(crate) fn disable(&mut self, place: usize) -> Answer {
        self.live(place)?.is_disabled = true;
        Ok(())
    }

    pub(crate) fn enable(&mut self, place: usize) -> Answer {
        let key = self.live(place)?;
        if !key.is_disabled {
            return refused("not_disabled");
        }
        key.is_disabled = false;
        Ok(())
    }

    /// Ends a key, and returns when it was first ended.
    pub(crate) fn revoke(&mut self, place: usize) -> i64 {
        *self.keys[place].revoked_at.get_or_insert(self.now)
    }

    pub(crate) fn revoke_all(&mut self, owner: usize) {
        for place in self.live_of(owner).collect::<Vec<_>>() {
            self.revoke(place);
        }
    }

    pub(crate) fn touch(&mut self, place: usize, used_at: i64) {
        let used_at = used_at.min(self.now);
        if let Ok(key) = self.live(place) {
            key.last_used_at = Some(key.last_used_at.map_or(used_at, |before| before.max(used_at)));
        }
    }

    pub(crate) fn verify(&self, place: usize, secret: Secret, team: usize, call: bool) -> Answer {
        let key = &self.keys[place];
        let is_previous = key.previous.is_some_and(|(previous, end)| previous == secret && self.now < end);
        if key.current != secret && !is_previous {
            return refused("invalid key");
        }
        if key.revoked_at.is_some() {
            return refused("revoked");
        }
        if key.is_disabled {
            return refused("disabled");
        }
        if key.not_before.is_some_and(|start| self.now < start) {
            return refused("not_yet_valid");
        }
        if key.expires_at.is_some_and(|end| self.now >= end) {
            return refused("expired");
        }
        match key.owner {
            user @ (0 | 1) if self.deprovisioned[user] => refused("owner_deprovisioned"),
            0 | 1 => Ok(()),
            2 if team != 0 => refused("other_team"),
            3 if team != 1 => refused("other_team"),
            3 if !call => refused("level_insufficient"),
            _ => Ok(()),
        }
    }
}
