//! Every combination of a small world, against tables that were written by hand.
//!
//! Unlike the golden files, nothing writes these anew: `tests/tables` says what must come out, in rows that a person can
//! hold against the rules, and the code has to agree.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and what was done is told"
)]

mod common;

use core::cell::RefCell;
use std::{collections::BTreeSet, sync::Arc};

use common::{at, call, changed, export, full, inference, issue, metrics, open, personal, request, system, team, text};
use keygate::{
    Action, Actor, Create, Disable, Enable, Grant, List, MatchedKey, Membership, Operation, Owner, Rename, Revoke,
    Rotate, Status, UnixTime, Validity, authorize_operation, decide,
};

const DECIDE: &str = include_str!("tables/decide.txt");
const MANAGE: &str = include_str!("tables/manage.txt");

/// Rows of which the first that fits decides.
struct Table {
    width: usize,
    rows: Vec<(Vec<String>, String)>,
    used: RefCell<BTreeSet<usize>>,
}

impl Table {
    fn read(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let width = cells(lines.next().unwrap()).len();
        let rows = lines.map(|line| {
            let mut row = cells(line);
            assert_eq!(row.len(), width, "{line}");
            let outcome = row.pop().unwrap();
            (row, outcome)
        });
        Self { rows: rows.collect(), width, used: RefCell::default() }
    }

    /// Looks a case up. One that fits no row is a hole in the table.
    fn outcome(&self, case: &[&str]) -> &str {
        assert_eq!(case.len() + 1, self.width);
        let fits = |row: &[String]| row.iter().zip(case).all(|(cell, value)| cell == "*" || cell == value);
        let place = self.rows.iter().position(|(row, _)| fits(row));
        let place = place.unwrap_or_else(|| panic!("no row fits {case:?}"));
        self.used.borrow_mut().insert(place);
        &self.rows[place].1
    }

    /// A row that no case comes to says nothing, and a person would take it for a rule.
    #[track_caller]
    fn assert_used(&self) {
        let rows = self.rows.iter().enumerate();
        let unused: Vec<_> = rows.filter(|(place, _)| !self.used.borrow().contains(place)).collect();
        assert!(unused.is_empty(), "no case comes to these rows: {unused:?}");
    }
}

const STATUSES: [(&str, Status); 3] =
    [("active", Status::Active), ("disabled", Status::Disabled), ("revoked", Status::Revoked { at: at(50) })];
const TIMES: [(&str, i64); 4] = [("early", 99), ("first", 100), ("last", 199), ("over", 200)];
const STANDINGS: [(&str, Option<Membership>); 5] = [
    ("none", None),
    ("admin", Some(Membership::Admin)),
    ("deprovisioned", Some(Membership::Deprovisioned)),
    ("member", Some(Membership::Member)),
    ("outsider", Some(Membership::Outsider)),
];

fn validity() -> Validity {
    Validity::between(at(100), at(200)).unwrap()
}

/// Keys with the first, fourth and fifth cell of their rows.
fn grants() -> Vec<(&'static str, &'static str, &'static str, Grant)> {
    let mut grants = vec![("personal", "all", "all", personal("ada"))];
    for (environments, names) in [("all", "all"), ("only", "prod"), ("only", "stage prod")] {
        grants.push(("full", environments, "all", team("core", full(names))));
        for (models, ids) in [("all", "all"), ("only", "m1"), ("only", "m0 m1 m2")] {
            grants.push(("inference", environments, models, team("core", inference(names, ids))));
        }
    }
    for (models, ids) in [("all", "all"), ("only", "m1"), ("only", "m0 m1 m2")] {
        grants.push(("metrics", "all", models, team("core", metrics(ids))));
    }
    grants
}

/// Actions with the cells for what is asked for, environment and model.
fn actions() -> Vec<([&'static str; 3], Action)> {
    let models = [("among", "m1"), ("other", "m9"), ("other", "M1")];
    let environments =
        [("none", None), ("among", Some("prod")), ("other", Some("test")), ("other", Some("development"))];
    let mut actions = vec![
        (["deploy", "none", "none"], Action::Deploy),
        (["manage", "none", "none"], Action::Manage),
        (["export", "none", "none"], export(None)),
    ];
    for (model, id) in models {
        actions.push((["export", "none", model], export(Some(id))));
        for (environment, name) in environments {
            actions.push((["call", environment, model], call(id, name)));
        }
    }
    actions
}

fn allow_or<T, E: core::fmt::Display>(result: Result<T, E>) -> String {
    result.map_or_else(|reason| reason.to_string(), |_| "allow".into())
}

fn check_decisions(table: &Table) -> Result<usize, String> {
    let mut count = 0;
    for (kind, environments, models, grant) in grants() {
        for (status, of_key) in STATUSES {
            let key = common::key(grant.clone(), validity(), of_key, 1);
            for ([action, environment, model], asked) in actions() {
                for (own, name) in [("own", "core"), ("other", "labs"), ("other", "Core")] {
                    let request = request(name, asked.clone());
                    for (membership, of_user) in STANDINGS {
                        for (time, now) in TIMES {
                            let case =
                                [kind, status, time, environments, models, membership, own, action, environment, model];
                            let decision = decide(&key, of_user, &request, at(now)).into_result();
                            let outcome = allow_or(decision.map_err(|denial| denial.reason()));
                            let expected = table.outcome(&case);
                            if outcome != expected {
                                return Err(format!("{case:?} is {outcome} and not {expected}"));
                            }
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    Ok(count)
}

#[test]
fn every_decision_is_the_one_of_the_table() {
    let table = Table::read(DECIDE);
    let count = check_decisions(&table).unwrap_or_else(|difference| panic!("{difference}"));
    table.assert_used();
    println!("world: {count} decisions, {} rows", table.rows.len());
}

const OPERATIONS: [&str; 7] = ["create", "list", "rename", "rotate", "disable", "enable", "revoke"];

/// An actor: none, or a key in a state, with its cells.
fn actors() -> Vec<([&'static str; 3], Option<MatchedKey>, i64)> {
    let mut actors = vec![(["system", "-", "-"], None, 150), (["user", "-", "-"], None, 150)];
    let keys = [
        ("personal key", personal("ada")),
        ("full key", team("core", full("all"))),
        ("inference key", team("core", inference("all", "all"))),
        ("metrics key", team("core", metrics("all"))),
    ];
    for (kind, grant) in keys {
        for (status, of_key) in STATUSES {
            for (time, now) in TIMES {
                actors.push(([kind, status, time], Some(common::key(grant.clone(), validity(), of_key, 1)), now));
            }
        }
    }
    actors
}

/// The record of an actor's own key.
fn itself(key: &MatchedKey) -> Arc<keygate::KeyRecord> {
    let issued = issue(key.grant().clone(), validity(), 1);
    assert_eq!(issued.token.id(), key.id(), "equal seeds give equal keys");
    let record = changed(issued.key.record(), |parts| parts.status = key.status());
    assert_eq!(open(&issued.token, &record, at(0)).id(), key.id());
    record
}

fn check_managements(table: &Table) -> Result<usize, String> {
    let targets = [
        ("own", personal("ada")),
        ("user", personal("bob")),
        ("team", team("core", full("all"))),
        ("labs", team("labs", metrics("all"))),
    ];
    let mut count = 0;
    for ([actor, status, time], key, now) in actors() {
        let who = match (&key, actor) {
            (Some(key), _) => Actor::Key(key),
            (None, "system") => system(),
            (None, _) => Actor::User(text("ada")),
        };
        for operation in OPERATIONS {
            let is_on_keys = !["create", "list"].contains(&operation);
            let itself = key.iter().filter(|_| is_on_keys).map(|key| ("itself", key.grant().clone(), itself(key)));
            let others = targets.iter().map(|(name, grant)| {
                let other = issue(grant.clone(), Validity::NEVER_EXPIRES, 2);
                (*name, grant.clone(), Arc::new(other.key.record().clone()))
            });
            for (target, grant, record) in others.chain(itself) {
                for (membership, of_user) in STANDINGS {
                    let case = [actor, status, time, membership, operation, target];
                    let outcome = manage(&who, operation, grant.clone(), &record, of_user, at(now));
                    let expected = table.outcome(&case);
                    if outcome != expected {
                        return Err(format!("{case:?} is {outcome} and not {expected}"));
                    }
                    count += 1;
                }
            }
        }
    }
    Ok(count)
}

fn manage(
    actor: &Actor<'_>,
    operation: &str,
    grant: Grant,
    record: &Arc<keygate::KeyRecord>,
    membership: Option<Membership>,
    now: UnixTime,
) -> String {
    fn may<O: Operation>(actor: &Actor<'_>, operation: O, membership: Option<Membership>, now: UnixTime) -> String {
        allow_or(authorize_operation(actor, operation, membership, now).map_err(|denial| denial.reason()))
    }
    let (owner, record): (Owner, _) = (grant.owner(), Arc::clone(record));
    match operation {
        "create" => may(actor, Create(grant), membership, now),
        "list" => may(actor, List(owner), membership, now),
        "rename" => may(actor, Rename(record), membership, now),
        "rotate" => may(actor, Rotate(record), membership, now),
        "disable" => may(actor, Disable(record), membership, now),
        "enable" => may(actor, Enable(record), membership, now),
        _ => may(actor, Revoke(record), membership, now),
    }
}

#[test]
fn every_management_is_the_one_of_the_table() {
    let table = Table::read(MANAGE);
    let count = check_managements(&table).unwrap_or_else(|difference| panic!("{difference}"));
    table.assert_used();
    println!("world: {count} managements, {} rows", table.rows.len());
}

/// The control: whichever row says something else, some case tells.
#[test]
fn a_mistake_in_any_row_is_found() {
    for (text, check) in [(DECIDE, check_decisions as fn(&Table) -> _), (MANAGE, check_managements)] {
        for row in 0..Table::read(text).rows.len() {
            let mut table = Table::read(text);
            let outcome = &mut table.rows[row].1;
            *outcome = if outcome == "allow" { "revoked".into() } else { "allow".into() };
            assert!(check(&table).is_err(), "row {row} can say anything");
        }
    }
}
