//! A ledger of the operations asked of a store, and of the events that must follow from the answers.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::ToString as _,
    vec::Vec,
};
use std::sync::{Mutex, PoisonError};

use super::{
    report::{Outcome, Violation},
    rule::Rule,
    sequence::Sequence,
};
use crate::{
    audit::{Event, EventDraft, EventId, EventKind, Principal},
    id::KeyId,
    record::{KeyRecord, SecretSlot},
    time::UnixTime,
};

/// Shared by all tasks of a race.
pub(super) struct Ledger {
    sequence: Sequence,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The keys that were inserted, or should have been: of them, an event has id and owner.
    records: BTreeMap<KeyId, KeyRecord>,
    asked: Vec<Asked>,
}

/// An operation that was asked for.
struct Asked {
    operation: &'static str,
    draft: EventDraft,
    /// The events that there must be, in no order; `None` until an answer comes, which may be never.
    expected: Option<Vec<Event>>,
    /// Whether the record before the change was known.
    is_exact: bool,
    handed_back: Vec<Event>,
}

impl Ledger {
    pub(super) fn new(seed: u64) -> Self {
        Self { sequence: Sequence::new(seed), state: Mutex::default() }
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a draft with an id of its own, and an actor of each kind in turn.
    pub(super) fn draft(&self, at: UnixTime) -> Outcome<EventDraft> {
        let failure = |error| Violation::failure("the suite itself", &error);
        let id = EventId::generate(&self.sequence).map_err(failure)?;
        let key = "ActingKey0000000".parse()?;
        let by = match self.update(|state| state.asked.len() % 4) {
            0 => Principal::System { reason: "a conformance test".parse()? },
            1 => Principal::User { id: "signed-in".parse()? },
            2 => Principal::Key { id: key, slot: SecretSlot::Previous, user: Some("ada".parse()?) },
            _ => Principal::Key { id: key, slot: SecretSlot::Current, user: None },
        };
        Ok(EventDraft::new(id, at, by))
    }

    /// Notes a key that is to be stored: of one id the first, until one of them is.
    pub(super) fn note_new(&self, record: &KeyRecord) {
        self.update(|state| {
            state.records.entry(record.id).or_insert_with(|| record.clone());
        });
    }

    /// Notes a key that is stored.
    pub(super) fn note_stored(&self, record: &KeyRecord) {
        self.update(|state| state.records.insert(record.id, record.clone()));
    }

    /// Notes an operation before the store is asked, and returns its place.
    pub(super) fn begin(&self, operation: &'static str, draft: &EventDraft) -> usize {
        let draft = draft.clone();
        self.update(|state| {
            state.asked.push(Asked { operation, draft, expected: None, is_exact: true, handed_back: Vec::new() });
            state.asked.len().saturating_sub(1)
        })
    }

    /// Notes the answer: the keys that were changed, and what their events say.
    pub(super) fn end_with(
        &self,
        asked: usize,
        events: impl IntoIterator<Item = (KeyId, EventKind)>,
        is_exact: bool,
        handed_back: Vec<Event>,
    ) {
        self.update(|state| {
            let Some(asked) = state.asked.get_mut(asked) else { return };
            let draft = &asked.draft;
            let complete = |(id, kind)| {
                let owner = state.records.get(&id).map(|record| record.grant.owner());
                Event::new(Some(draft.id()), draft.at(), draft.by().clone(), Some(id), owner, kind)
            };
            asked.expected = Some(events.into_iter().map(complete).collect());
            asked.is_exact = is_exact;
            asked.handed_back = handed_back;
        });
    }

    /// Returns `true` if the store handed events back, and so keeps no log.
    pub(super) fn has_events_handed_back(&self) -> bool {
        self.update(|state| state.asked.iter().any(|asked| !asked.handed_back.is_empty()))
    }

    /// Holds the events of the log, and those that were handed back, against what was asked and answered.
    pub(super) fn violations(&self, log: Vec<Event>) -> Vec<Violation> {
        self.update(|state| {
            let mut found = Vec::new();
            let handed_back = state.asked.iter().flat_map(|asked| asked.handed_back.iter().cloned());
            let events: Vec<_> = log.into_iter().chain(handed_back).collect();
            let drafts = state.asked.iter().enumerate().map(|(place, asked)| (asked.draft.id(), place));
            let drafts: BTreeMap<EventId, usize> = drafts.collect();
            let mut by_operation: BTreeMap<usize, Vec<(usize, Event)>> = BTreeMap::new();
            let mut seen = BTreeSet::new();
            for event in events {
                let place =
                    event.id.and_then(draft_and_part).and_then(|(draft, part)| Some((*drafts.get(&draft)?, part)));
                let Some((place, part)) = place else {
                    let detail = format!("an event, `{}`, that belongs to no change", event.kind.as_str());
                    found.push(Violation::new(Rule::EventForNothing, detail));
                    continue;
                };
                if seen.insert(event.id) {
                    by_operation.entry(place).or_default().push((part, event));
                } else {
                    let detail = format!("an event, `{}`, that is there twice", event.kind.as_str());
                    found.push(Violation::new(Rule::EventOnce, detail));
                }
            }
            for (place, asked) in state.asked.iter().enumerate() {
                asked.compare(&by_operation.remove(&place).unwrap_or_default(), &mut found);
            }
            found
        })
    }
}

/// The id of the draft, and the part: the text form of an id says both.
fn draft_and_part(id: EventId) -> Option<(EventId, usize)> {
    let text = id.to_string();
    match text.split_once('-') {
        None => Some((id, 0)),
        Some((draft, part)) => Some((draft.parse().ok()?, part.parse().ok()?)),
    }
}

impl Asked {
    fn compare(&self, events: &[(usize, Event)], found: &mut Vec<Violation>) {
        let Some(expected) = &self.expected else { return };
        let operation = self.operation;
        let mut broken = |rule, what: &str| found.push(Violation::new(rule, format!("{operation}: {what}")));
        if expected.is_empty() {
            if !events.is_empty() {
                broken(Rule::EventForNothing, "nothing changed, and there is an event");
            }
            return;
        }
        if let ([expected], [(part, event)]) = (&expected[..], events) {
            for field in self.differences(expected, event) {
                broken(Rule::EventAsCompleted, &format!("an event with another {field}"));
            }
            if *part != 0 {
                broken(Rule::EventAsCompleted, "an event with another id");
            }
            return;
        }
        for expected in expected {
            match events.iter().find(|(_, event)| event.key == expected.key) {
                None => broken(Rule::ChangeWithoutEvent, "a change that was acknowledged has no event"),
                Some((_, event)) => {
                    for field in self.differences(expected, event) {
                        broken(Rule::EventAsCompleted, &format!("an event with another {field}"));
                    }
                }
            }
        }
        if events.iter().any(|(_, event)| expected.iter().all(|expected| expected.key != event.key)) {
            broken(Rule::EventWithoutChange, "an event of a key that was not changed");
        }
        let mut parts: Vec<_> = events.iter().map(|(part, _)| *part).collect();
        parts.sort_unstable();
        if parts.len() == expected.len() && !parts.into_iter().eq(0..expected.len()) {
            broken(Rule::EventAsCompleted, "events whose ids do not count from 0");
        }
    }

    /// The names of the fields in which an event differs, but for its id, which was compared.
    fn differences(&self, expected: &Event, event: &Event) -> Vec<&'static str> {
        let is_kind_equal = match (&event.kind, &expected.kind) {
            (EventKind::Renamed { name, .. }, EventKind::Renamed { name: expected, .. }) if !self.is_exact => {
                name == expected
            }
            (EventKind::Rotated { .. }, EventKind::Rotated { .. }) if !self.is_exact => true,
            (kind, expected) => kind == expected,
        };
        let fields = [
            ("time", event.at == expected.at),
            ("actor", event.by == expected.by),
            ("key", event.key == expected.key),
            ("owner", event.owner == expected.owner),
            ("kind, or content", is_kind_equal),
        ];
        fields.iter().filter(|(_, is_equal)| !is_equal).map(|(field, _)| *field).collect()
    }
}
