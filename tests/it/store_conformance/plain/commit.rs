//! Transactions: what was decided is written with its events and its number, but for the fault.

use core::{future, task::Poll, time::Duration};
use std::{panic, sync::PoisonError, thread};

use keygate::{
    KeyId, UnixTime,
    audit::{Event, EventKind, Principal, RefusalReason},
    store::{Answer, Conflict, KeyChange, NewKey, RevokeAll, Touch},
};

use super::{
    OutOfOrder, PlainStore, State,
    decide::{Nothing, Write, is_in_two_steps},
};
use crate::store_conformance::{fault::Fault, row::is_revoked};

/// The last task of a race waits so long, since no other one comes.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl PlainStore {
    pub(crate) async fn inserted(&self, new: &NewKey) -> Result<Vec<Event>, Conflict> {
        let events = self.commit(|state| self.decide_insert(state, new)).await?;
        self.locked(|state| state.inserted.insert(new.record().id(), new.record().clone().into()));
        Ok(events)
    }

    pub(crate) async fn changed(&self, change: &KeyChange) -> Result<Answer<Vec<Event>>, OutOfOrder> {
        if self.has(Fault::FailsToRename) && change.new_name().is_some() {
            return Err(OutOfOrder);
        }
        Ok(match self.commit(|state| self.decide_change(state, change)).await {
            Ok(events) => Answer::Changed(events),
            Err(Nothing::Refused(conflict)) => {
                self.log_nothing(Fault::LogsRefused, change);
                Answer::Refused(conflict)
            }
            Err(Nothing::Unchanged(record)) => {
                self.log_nothing(Fault::LogsUnchanged, change);
                Answer::Unchanged(record)
            }
        })
    }

    pub(crate) async fn swept(&self, revoke: &RevokeAll) -> (Vec<KeyId>, bool, Vec<Event>) {
        let mut has_more = false;
        let (mut ids, mut events) = (Vec::new(), Vec::new());
        if self.has(Fault::SweepsInParts) || self.has(Fault::SweepsInTwoSteps) {
            let (write, more) = self.locked(|state| self.decide_sweep(state, revoke));
            for (row, event) in write.rows.into_iter().zip(write.events) {
                self.pause();
                ids.push(row.id);
                let is_whole = self.has(Fault::SweepsInTwoSteps);
                self.locked(|state| {
                    // In parts, a key that was revoked since is left as it is.
                    let place = self.place(row.id);
                    let is_due = state.rows.get(&place).is_none_or(|row| !is_revoked(row));
                    if is_whole || is_due {
                        self.write(state, &Write { rows: [row].into(), events: [event.clone()].into() });
                    }
                });
                events.push(event);
            }
            return (ids, more, events);
        }
        let written = self.commit(|state| {
            let (write, more) = self.decide_sweep(state, revoke);
            has_more = more;
            ids = write.rows.iter().map(|row| row.id).collect();
            Ok::<_, Conflict>(write)
        });
        events.extend(written.await.into_iter().flatten());
        if self.has(Fault::SweepsUnsorted) {
            ids.reverse();
        }
        (ids, has_more, events)
    }

    pub(super) fn touched(&self, touches: &[Touch], now: UnixTime) {
        let mut done = Vec::new();
        for touch in touches {
            let place = self.place(touch.id);
            let Some(mut row) = self.locked(|state| state.rows.get(&place).cloned()) else {
                if self.has(Fault::TouchesUntilAbsent) {
                    break;
                }
                continue;
            };
            if self.has(Fault::TouchesEachOnce) && done.contains(&touch.id) {
                continue;
            }
            done.push(touch.id);
            if self.has(Fault::SavesWholeRecords) {
                self.pause();
            }
            self.locked(|state| {
                if !self.has(Fault::SavesWholeRecords) {
                    row = state.rows.get(&place).cloned().unwrap_or(row);
                }
                let Some(touched) = self.decide_touch(&row, *touch, now) else { return };
                state.rows.insert(place, touched);
                if self.has(Fault::NumbersTouches) {
                    number(state, &[touch.id]);
                }
                if self.has(Fault::LogsTouches) {
                    let event = Event::refused(now, Principal::Unknown, None, None, RefusalReason::SERVICE_RULE);
                    state.log.push(event);
                }
            });
        }
    }

    /// Decides and writes under one lock, and returns the events; a fault does so in two steps.
    async fn commit<E>(&self, mut decide: impl FnMut(&State) -> Result<Write, E>) -> Result<Vec<Event>, E> {
        let looked = self.locked(|state| decide(state))?;
        let is_single = |write: &Write| write.rows.len() == 1;
        let kind = looked.events.first().map(|event| &event.kind).filter(|_| is_single(&looked));
        if self.has(Fault::PanicsInRaces) && matches!(kind, Some(EventKind::Revoked { .. })) && is_racing() {
            // A panic without the message that would fill the output of the tests.
            panic::resume_unwind(Box::new("planted"));
        }
        match self.fault {
            fault if kind.is_some_and(|kind| is_in_two_steps(fault, kind)) => {
                self.pause();
                Ok(self.locked(|state| self.write(state, &looked)))
            }
            Some(Fault::LogsAheadOfChange) => {
                let events = self.locked(|state| self.log(state, &looked));
                let () = yield_once().await;
                self.locked(|state| {
                    self.write_rows(state, &looked);
                    self.number(state, &looked);
                });
                Ok(events)
            }
            Some(Fault::LogsInTwoSteps) => {
                let write = self.locked(|state| {
                    let write = decide(state)?;
                    self.write_rows(state, &write);
                    self.number(state, &write);
                    Ok(write)
                })?;
                let () = yield_once().await;
                Ok(self.locked(|state| self.log(state, &write)))
            }
            Some(Fault::NumbersAfterChange) => {
                let (write, events) = self.locked(|state| {
                    let write = decide(state)?;
                    self.write_rows(state, &write);
                    let events = self.log(state, &write);
                    Ok((write, events))
                })?;
                let () = yield_once().await;
                self.locked(|state| self.number(state, &write));
                Ok(events)
            }
            Some(Fault::NumbersBeforeCommit) => {
                let number = self.locked(next_number);
                thread::sleep(Duration::from_millis(1));
                self.locked(|state| {
                    let write = decide(state)?;
                    self.write_rows(state, &write);
                    state.changes.extend(write.rows.iter().map(|row| (number, row.id)));
                    Ok(self.log(state, &write))
                })
            }
            _ => self.locked(|state| {
                let write = decide(state)?;
                Ok(self.write(state, &write))
            }),
        }
    }

    fn write(&self, state: &mut State, write: &Write) -> Vec<Event> {
        self.write_rows(state, write);
        self.number(state, write);
        self.log(state, write)
    }

    fn write_rows(&self, state: &mut State, write: &Write) {
        for row in &write.rows {
            state.digests.push(row.current);
            state.rows.insert(self.place(row.id), row.clone());
        }
    }

    fn number(&self, state: &mut State, write: &Write) {
        let mut ids: Vec<_> = write.rows.iter().map(|row| row.id).collect();
        if self.has(Fault::FeedOmitsSweeps) {
            // Only the first key of a sweep is listed.
            ids.truncate(1);
        }
        number(state, &ids);
    }

    /// Logs the events, or leaves them to the caller, and returns them.
    fn log(&self, state: &mut State, write: &Write) -> Vec<Event> {
        let mut events = write.events.clone();
        for event in &mut events {
            match self.fault {
                Some(Fault::LogsItsOwnTime) => event.at = UnixTime::from_secs(0),
                Some(Fault::LogsNoActors) => event.by = Principal::Unknown,
                Some(Fault::LogsNoOwners) => event.owner = None,
                _ => {}
            }
        }
        match self.fault {
            Some(Fault::HandsBackNothing | Fault::LogsNothing) => events.clear(),
            Some(Fault::LogsTwice) => events.extend(events.clone()),
            _ => {}
        }
        if !state.keeps_no_log || self.has(Fault::HandsBackWhatItLogs) {
            state.log.extend(events.iter().cloned());
        }
        events
    }

    /// Lets another task of a race come in between, however late the machine runs it.
    fn pause(&self) {
        if is_racing() {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let looks = state.looks;
            drop(self.looked.wait_timeout_while(state, LONGEST_PAUSE, |state| state.looks == looks));
        }
    }

    fn log_nothing(&self, fault: Fault, change: &KeyChange) {
        if self.has(fault) {
            let (at, by) = (change.draft().at(), change.draft().by().clone());
            let mut event = Event::refused(at, by, None, None, RefusalReason::SERVICE_RULE);
            event.id = Some(change.draft().id());
            self.locked(|state| state.log.push(event));
        }
    }
}

fn next_number(state: &mut State) -> u64 {
    state.next_number = state.next_number.saturating_add(1);
    state.next_number
}

fn number(state: &mut State, ids: &[KeyId]) {
    if !ids.is_empty() {
        let number = next_number(state);
        state.changes.extend(ids.iter().map(|id| (number, *id)));
    }
}

/// Waits for the next poll, as a store waits for its database.
async fn yield_once() {
    let mut is_polled = false;
    future::poll_fn(|context| {
        if is_polled {
            return Poll::Ready(());
        }
        is_polled = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The threads of a race have no name, other than those of tests.
fn is_racing() -> bool {
    thread::current().name().is_none()
}
