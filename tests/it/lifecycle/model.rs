//! The lifecycle of keys on numbers, written from the documents: slow, without locks, and with no type of the rules.

use std::sync::Arc;

use keygate::{KeyRecord, Rotation};

/// The secrets of a key are numbered as they are made.
pub(crate) type Secret = u32;

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) keys: Vec<Key>,
    pub(crate) now: i64,
    pub(crate) users: [User; 2],
    /// What the log of a store must have: the name of each event, and the key.
    pub(crate) events: Vec<(&'static str, usize)>,
}

/// A user is provisioned or not; the count of how often they were is their incarnation.
#[derive(Clone, Copy, Default)]
pub(crate) struct User {
    pub(crate) is_gone: bool,
    pub(crate) incarnation: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// 0 and 1 are users, 2 is the team whose keys do everything, 3 the one whose keys call.
    pub(crate) owner: usize,
    /// Of the user that owns it.
    pub(crate) incarnation: u32,
    pub(crate) name: usize,
    pub(crate) labels: usize,
    pub(crate) is_disabled: bool,
    /// When, and for which of the causes.
    pub(crate) revoked: Option<(i64, usize)>,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) current: Secret,
    pub(crate) previous: Option<Previous>,
    made: Secret,
    /// Not of the model: what the store gave when both were compared.
    pub(crate) seen: Option<Arc<KeyRecord>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Previous {
    pub(crate) secret: Secret,
    pub(crate) ends_at: i64,
    pub(crate) last_used_at: Option<i64>,
}

/// Whether something changed, or why not.
pub(crate) type Answer = Result<bool, String>;

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
        let user = self.users.get(owner).copied().unwrap_or_default();
        if user.is_gone {
            return refused("owner_deprovisioned");
        }
        if self.live_of(owner).any(|place| self.keys[place].name == name) {
            return refused("name_taken");
        }
        self.keys.push(Key {
            owner,
            incarnation: user.incarnation,
            name,
            labels: 0,
            is_disabled: false,
            revoked: None,
            not_before,
            expires_at,
            created_at: self.now,
            last_used_at: None,
            current: 0,
            previous: None,
            made: 0,
            seen: None,
        });
        self.events.push(("created", self.keys.len() - 1));
        Ok(true)
    }

    pub(crate) fn live_of(&self, owner: usize) -> impl Iterator<Item = usize> {
        (0..self.keys.len())
            .filter(move |place| self.keys[*place].owner == owner && self.keys[*place].revoked.is_none())
    }

    fn live(&mut self, place: usize) -> Result<&mut Key, String> {
        let key = &mut self.keys[place];
        if key.revoked.is_some() { Err("revoked".to_owned()) } else { Ok(key) }
    }

    /// What changed has an event; what did not has none.
    fn tell(&mut self, place: usize, event: &'static str, is_changed: bool) -> Answer {
        if is_changed {
            self.events.push((event, place));
        }
        Ok(is_changed)
    }

    pub(crate) fn rename(&mut self, place: usize, name: usize) -> Answer {
        let owner = self.live(place)?.owner;
        if self.live_of(owner).any(|other| other != place && self.keys[other].name == name) {
            return refused("name_taken");
        }
        let before = core::mem::replace(&mut self.keys[place].name, name);
        self.tell(place, "renamed", before != name)
    }

    pub(crate) fn set_labels(&mut self, place: usize, labels: usize) -> Answer {
        let before = core::mem::replace(&mut self.live(place)?.labels, labels);
        self.tell(place, "labels_set", before != labels)
    }

    /// Rotates by what somebody saw: the plan is made from that, and carried out on what is there.
    pub(crate) fn rotate(&mut self, place: usize, seen: &Key, rotation: Rotation, overlap: i64) -> Answer {
        let now = self.now;
        if seen.revoked.is_some() {
            return refused("revoked");
        }
        if seen.is_disabled {
            return refused("disabled");
        }
        if seen.expires_at.is_some_and(|end| now >= end) {
            return refused("expired");
        }
        let lives = seen.previous.is_some_and(|previous| now < previous.ends_at);
        let is_retry = matches!(rotation, Rotation::Retry { .. });
        let is_cut_over = rotation == Rotation::CutOver || (overlap == 0 && !(lives && is_retry));
        if lives && !is_cut_over && !is_retry {
            return refused("rotation_in_progress");
        }
        let key = self.live(place)?;
        if key.is_disabled {
            return refused("disabled");
        }
        if key.current != seen.current {
            return refused("changed");
        }
        if is_cut_over {
            key.previous = None;
        } else if lives {
            // A retry keeps the secret that is deployed. Where its overlap was ended meanwhile, it would be a cut-over.
            if key.previous.is_none() {
                return refused("changed");
            }
        } else {
            let end = now + overlap;
            let ends_at = key.expires_at.map_or(end, |expires| expires.min(end));
            key.previous = Some(Previous { secret: key.current, ends_at, last_used_at: None });
        }
        key.made += 1;
        key.current = key.made;
        self.tell(place, "rotated", true)
    }

    pub(crate) fn end_overlap(&mut self, place: usize) -> Answer {
        let had_one = self.live(place)?.previous.take().is_some();
        self.tell(place, "overlap_ended", had_one)
    }

    pub(crate) fn disable(&mut self, place: usize) -> Answer {
        let was_disabled = core::mem::replace(&mut self.live(place)?.is_disabled, true);
        self.tell(place, "disabled", !was_disabled)
    }

    pub(crate) fn enable(&mut self, place: usize) -> Answer {
        let key = self.live(place)?;
        if !key.is_disabled {
            return refused("not_disabled");
        }
        key.is_disabled = false;
        self.tell(place, "enabled", true)
    }

    pub(crate) fn revoke(&mut self, place: usize, cause: usize) -> Answer {
        let now = self.now;
        let is_first = self.keys[place].revoked.is_none();
        self.keys[place].revoked.get_or_insert((now, cause));
        self.tell(place, "revoked", is_first)
    }

    /// Ends the keys at these places, in this order.
    pub(crate) fn revoke_all(&mut self, places: &[usize], cause: usize) {
        for place in places {
            self.keys[*place].revoked = Some((self.now, cause));
            self.events.push(("revoked", *place));
        }
    }

    pub(crate) fn touch(&mut self, place: usize, by_previous: bool, used_at: i64) {
        let used_at = used_at.min(self.now);
        let later = |before: Option<i64>| Some(before.map_or(used_at, |before| before.max(used_at)));
        if let Ok(key) = self.live(place) {
            key.last_used_at = later(key.last_used_at);
            if let (true, Some(previous)) = (by_previous, &mut key.previous) {
                previous.last_used_at = later(previous.last_used_at);
            }
        }
    }

    /// Whether a request is allowed, and if not, why; `true` is by the previous secret.
    pub(crate) fn check(&self, place: usize, secret: Secret, team: usize, call: bool) -> Answer {
        let key = &self.keys[place];
        let is_previous = key.previous.is_some_and(|previous| previous.secret == secret && self.now < previous.ends_at);
        if key.current != secret && !is_previous {
            return refused("invalid key");
        }
        if key.revoked.is_some() {
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
            user @ (0 | 1) if self.users[user].is_gone || self.users[user].incarnation != key.incarnation => {
                refused("owner_deprovisioned")
            }
            2 if team != 0 => refused("other_team"),
            3 if team != 1 => refused("other_team"),
            3 if !call => refused("level_insufficient"),
            _ => Ok(is_previous),
        }
    }
}
