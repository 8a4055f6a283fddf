//! One check at work: an empty store, a source of keys, and a list of what was found broken.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, future::Future, pin::Pin};
use std::sync::{Mutex, PoisonError};

use super::{
    change::{Answer, Change},
    fixture::{Keys, differences, new_key},
    race::{ObjectRace, Task},
    report::{Outcome, Violation},
    rule::Rule,
    subject::Subject,
};
use crate::{grant::Grant, record::RecordParts, store::BoxedKeyManagementStore};

pub(super) struct Trial<'a> {
    pub(super) store: Subject,
    pub(super) keys: Keys,
    race: &'a dyn ObjectRace,
    found: Vec<Violation>,
}

/// A task with a result.
pub(super) type Racer<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

impl<'a> Trial<'a> {
    pub(super) fn new(store: BoxedKeyManagementStore, race: &'a dyn ObjectRace, seed: u64) -> Self {
        Self { store: Subject::new(store), keys: Keys::new(seed), race, found: Vec::new() }
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
        let violation = Violation::new(rule, detail);
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

    /// Notes that a rule is broken unless the store holds exactly this record.
    pub(super) async fn require_stored(&mut self, rule: Rule, when: &str, expected: &RecordParts) -> Outcome {
        match self.store.find(expected.id).await? {
            None => self.broken(rule, format!("{when}: the key is not found")),
            Some(found) => {
                let columns = differences(expected, &found);
                self.require(columns.is_empty(), rule, || format!("{when}: found with another {}", columns.join(", ")));
            }
        }
        Ok(())
    }

    /// Makes a key and inserts it.
    pub(super) async fn stored_key(&mut self, grant: Grant) -> Outcome<RecordParts> {
        let key = self.keys.key(grant)?;
        self.insert(&key).await?;
        Ok(key)
    }

    /// Inserts a key that nothing speaks against; without it there is no going on.
    pub(super) async fn insert(&self, key: &RecordParts) -> Outcome {
        self.store.insert(new_key(key)?).await?.map_err(|conflict| {
            let detail = format!("insert: refused, `{conflict}`, though id and name are free");
            Violation::new(Rule::AnswerByStatus, detail)
        })
    }

    /// Makes a change that nothing speaks against, and notes it in the expected record.
    pub(super) async fn change(&self, key: &mut RecordParts, change: Change) -> Outcome {
        let (name, expected) = (change.name(), change.done());
        change.apply(key);
        let answer = change.ask(&self.store, key.id).await?;
        if answer == expected {
            return Ok(());
        }
        Err(Violation::new(Rule::AnswerByStatus, format!("{name}: answered {answer:?}, not {expected:?}")))
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
    pub(super) fn racer(&self, key: &RecordParts, changes: Vec<Change>) -> Racer<Vec<Answer>> {
        let (store, id) = (self.store.clone(), key.id);
        Box::pin(async move {
            let mut answers = Vec::new();
            for change in changes {
                answers.push(change.ask(&store, id).await?);
            }
            Ok(answers)
        })
    }
}
