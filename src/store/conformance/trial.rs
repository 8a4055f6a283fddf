//! One check at work: an empty store, a source of keys, and a list of what was found broken.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, future::Future, pin::Pin};
use std::sync::{Mutex, PoisonError};

use super::{
    change::{Change, Told},
    fixture::{Keys, differences},
    race::{ObjectRace, Task},
    report::{Outcome, Violation},
    rule::Rule,
    subject::ObjectLog,
    tested::Tested,
};
use crate::{audit::Event, grant::Grant, record::KeyRecord, store::BoxedKeyManagementStore};

pub(super) struct Trial<'a> {
    pub(super) store: Tested,
    pub(super) keys: Keys,
    log: &'a dyn ObjectLog,
    race: &'a dyn ObjectRace,
    found: Vec<Violation>,
}

/// A task with a result.
pub(super) type Racer<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

impl<'a> Trial<'a> {
    pub(super) fn new(
        store: BoxedKeyManagementStore,
        log: &'a dyn ObjectLog,
        race: &'a dyn ObjectRace,
        seed: u64,
    ) -> Self {
        let store = Tested::new(store, seed.wrapping_add(1 << 32));
        Self { store, keys: Keys::new(seed), log, race, found: Vec::new() }
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.found
    }

    /// Returns `true` if anything was found broken: a race need not be lost a hundred times.
    pub(super) fn has_failed(&self) -> bool {
        !self.found.is_empty()
    }

    /// Notes that a rule is broken, once in the same words.
    pub(super) fn broken(&mut self, rule: Rule, detail: impl Into<String>) {
        self.note(Violation::new(rule, detail));
    }

    fn note(&mut self, violation: Violation) {
        if !self.found.contains(&violation) {
            self.found.push(violation);
        }
    }

    /// Notes that a rule is broken unless `is_kept`.
    pub(super) fn require(&mut self, is_kept: bool, rule: Rule, detail: impl FnOnce() -> String) {
        if !is_kept {
            self.broken(rule, detail());
        }
    }

    /// Notes that a rule is broken unless the answer is the expected one.
    pub(super) fn require_answer<T: fmt::Debug + PartialEq>(
        &mut self,
        rule: Rule,
        when: &str,
        answer: &T,
        expected: &T,
    ) {
        self.require(answer == expected, rule, || format!("{when}: answered {answer:?}, not {expected:?}"));
    }

    /// Notes that a rule is broken unless a change was answered as expected. What an unchanged key is answered with has
    /// a rule of its own.
    pub(super) fn require_told(&mut self, rule: Rule, when: &str, told: &Told, expected: &Told) {
        if let (Told::Unchanged(told), Told::Unchanged(expected)) = (told, expected) {
            let columns = differences(expected, told);
            let is_status = columns.contains(&"status") && expected.is_revoked();
            let rule = if is_status { Rule::FirstRevocationKept } else { Rule::UnchangedAnswersStored };
            self.require(columns.is_empty(), rule, || format!("{when}: answered another {}", columns.join(", ")));
        } else {
            let (told, expected) = (name_of(told), name_of(expected));
            self.require(told == expected, rule, || format!("{when}: answered `{told}`, not `{expected}`"));
        }
    }

    /// Notes that a rule is broken unless the store holds exactly this record.
    pub(super) async fn require_stored(&mut self, rule: Rule, when: &str, expected: &KeyRecord) -> Outcome {
        match self.store.find(expected.id).await? {
            None => self.broken(rule, format!("{when}: the key is not found")),
            Some(found) => {
                let columns = differences(expected, &found);
                self.require(columns.is_empty(), rule, || format!("{when}: found with another {}", columns.join(", ")));
            }
        }
        Ok(())
    }

    /// Reads the log of the store.
    pub(super) async fn log(&self) -> Vec<Event> {
        self.log.logged_boxed().await
    }

    /// Holds all events of this check against what was asked and answered.
    pub(super) async fn require_events(&mut self) {
        let log = self.log().await;
        self.store.ledger.violations(log).into_iter().for_each(|violation| self.note(violation));
    }

    /// Makes a key and inserts it.
    pub(super) async fn stored_key(&mut self, grant: Grant) -> Outcome<KeyRecord> {
        let key = self.keys.key(grant)?;
        self.insert(&key).await?;
        Ok(key)
    }

    /// Inserts a key that nothing speaks against; without it there is no going on.
    pub(super) async fn insert(&self, key: &KeyRecord) -> Outcome {
        self.store.insert(key).await?.map_err(|conflict| {
            let detail = format!("insert: refused, `{conflict}`, though id and name are free");
            Violation::new(Rule::AnswerByStatus, detail)
        })
    }

    /// Makes a change that is not refused, and notes it in the expected record; without it there is no going on.
    pub(super) async fn change(&mut self, key: &mut KeyRecord, change: Change) -> Outcome {
        let before = key.clone();
        let (after, expected) = change.outcome(&before);
        *key = after;
        let told = self.store.ask(key.id, &change, Some(&before)).await?;
        let [answered, wanted] = [&told, &expected].map(name_of);
        if answered == wanted {
            return Ok(());
        }
        let detail = format!("{}: answered `{answered}`, not `{wanted}`", change.name());
        Err(Violation::new(Rule::AnswerByStatus, detail))
    }

    /// Runs tasks at once and returns their results in the order of the tasks.
    pub(super) async fn race<T: Send + 'static>(&self, racers: Vec<Racer<T>>) -> Outcome<Vec<T>> {
        let mut results = Vec::new();
        let tasks = racers.into_iter().map(|racer| {
            let result = Arc::new(Mutex::new(None));
            results.push(Arc::clone(&result));
            Box::pin(async move {
                let outcome = racer.await;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            }) as Task
        });
        let tasks = tasks.collect();
        self.race.race_boxed(tasks).await;
        let missing = || Violation::new(Rule::NoFailure, "a race: a task panicked or was not run to its end");
        let take = |result: Arc<Mutex<Option<_>>>| result.lock().unwrap_or_else(PoisonError::into_inner).take();
        results.into_iter().map(|result| take(result).unwrap_or_else(|| Err(missing()))).collect()
    }

    /// A task that asks for changes of one key, one after the other.
    pub(super) fn racer(&self, key: &KeyRecord, changes: Vec<Change>) -> Racer<Vec<Told>> {
        let (store, id) = (self.store.clone(), key.id);
        Box::pin(async move {
            let mut answers = Vec::new();
            for change in changes {
                answers.push(store.ask(id, &change, None).await?);
            }
            Ok(answers)
        })
    }
}

/// An answer without the record, for comparisons and reports.
pub(super) const fn name_of(told: &Told) -> &'static str {
    match told {
        Told::Changed(()) => "changed",
        Told::Refused(conflict) => conflict.as_str(),
        Told::Unchanged(_) => "unchanged",
    }
}
