//! Every combination of a small world, against tables that were written by hand.
//!
//! No program writes them: `tests/tables` says what must come out, in rows that a person can hold against the rules,
//! and the code has to agree.

use core::cell::RefCell;
use std::{collections::BTreeSet, sync::Arc};

use keygate::{
    Action, ActionKind, Coverage, Grant, KeyRecord, Membership, OwnAction, OwnActions, Owner, PermissionLevel,
    RevocationCause, Status, TeamRole, UnixTime, Validity,
    audit::OperationKind,
    legacy::{LegacyFormat, Symbols},
    manage::{
        Acting, Create, Disable, Enable, EndOverlap, Import, List, Operation, Rename, Revoke, Rotate, SetLabels,
        authorize_operation,
    },
    policy::decide,
    verify::MatchedKey,
};

use crate::common::{
    self, KG, at, call, changed, custom, export, full, inference, issue, metrics, open, own, personal, request, root,
    team, text,
};

const PURGE: OwnAction = OwnActions::new(&[("projects:purge", Coverage::Explicit)]).named("projects:purge");

const DECIDE: &str = include_str!("../tables/decide.txt");
const MANAGE: &str = include_str!("../tables/manage.txt");

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

const STATUSES: [(&str, Status); 3] = [
    ("active", Status::Active),
    ("disabled", Status::Disabled),
    ("revoked", Status::Revoked { at: at(50), cause: RevocationCause::Requested }),
];
const TIMES: [(&str, i64); 4] = [("early", 99), ("first", 100), ("last", 199), ("over", 200)];
const ROLES: [(&str, Option<TeamRole>); 5] = [
    ("none", None),
    ("admin", Some(TeamRole::Admin)),
    ("deprovisioned", Some(TeamRole::Deprovisioned)),
    ("member", Some(TeamRole::Member)),
    ("outsider", Some(TeamRole::Outsider)),
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
    for (kind, actions) in
        [("custom", "call export_metrics projects:read projects:purge"), ("deployer", "deploy manage")]
    {
        for (environments, names) in [("all", "all"), ("only", "prod"), ("only", "stage prod")] {
            for (resources, ids) in [("all", "all"), ("only", "m1"), ("only", "m0 m1 m2")] {
                grants.push((kind, environments, resources, team("core", custom(actions, names, ids))));
            }
        }
    }
    grants
}

/// Actions with the cells for what is asked for, environment, and model or resource.
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
    for (environment, name) in [("none", None), ("among", Some("prod")), ("other", Some("test"))] {
        for (resource, id) in [("none", None), ("among", Some("m1")), ("other", Some("m9"))] {
            actions.push((["read", environment, resource], own("projects:read", name, id)));
            let purge = Action::custom(PURGE, name.map(text), id.map(text));
            actions.push((["purge", environment, resource], purge));
        }
    }
    actions
}

fn allow_or<T, E: core::fmt::Display>(result: Result<T, E>) -> String {
    result.map_or_else(|reason| reason.to_string(), |_| "allow".into())
}

fn check_decisions(table: &Table) -> Result<usize, String> {
    let (mut count, actions) = (0, actions());
    for (kind, environments, resources, grant) in grants() {
        for (status, of_key) in STATUSES {
            let key = common::key(grant.clone(), validity(), of_key, 1);
            for ([action, environment, resource], asked) in &actions {
                for (own, name) in [("own", "core"), ("other", "labs"), ("other", "Core")] {
                    let request = request(name, asked.clone());
                    for (membership, role) in ROLES {
                        let of_user = role.map(Membership::from);
                        for (time, now) in TIMES {
                            let key_is = [kind, status, time, environments, resources];
                            let asked_is = [membership, own, action, environment, resource];
                            let case = [key_is, asked_is].concat();
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
    for kind in ActionKind::ALL {
        assert!(actions().iter().any(|(_, action)| action.kind() == *kind), "`{kind}` is not in the small world");
    }
    for level in PermissionLevel::ALL {
        let has_level = |grant: &Grant| grant.permission().is_some_and(|permission| permission.level() == *level);
        assert!(grants().iter().any(|(.., grant)| has_level(grant)), "`{level}` is not in the small world");
    }
    let table = Table::read(DECIDE);
    let count = check_decisions(&table).unwrap_or_else(|difference| panic!("{difference}"));
    table.assert_used();
    println!("world: {count} decisions, {} rows", table.rows.len());
}

/// An actor: none, or a key in a state, with its cells.
fn actors() -> Vec<([&'static str; 3], Option<MatchedKey>, i64)> {
    let mut actors = vec![(["system", "-", "-"], None, 150), (["user", "-", "-"], None, 150)];
    let keys = [
        ("personal key", personal("ada")),
        ("full key", team("core", full("all"))),
        ("inference key", team("core", inference("all", "all"))),
        ("metrics key", team("core", metrics("all"))),
        ("custom key", team("core", custom("call deploy manage export_metrics keys:create", "all", "all"))),
    ];
    for (kind, grant) in keys {
        for (status, of_key) in STATUSES {
            for (time, now) in TIMES {
                actors.push(([kind, status, time], Some(common::key(grant.clone(), validity(), of_key, 1)), now));
            }
        }
    }
    for (status, of_key) in STATUSES {
        let key = common::key(personal("ada"), Validity::NEVER_EXPIRES, of_key, 1);
        actors.push((["lasting key", status, "-"], Some(key), 150));
    }
    actors
}

/// The record of an actor's own key.
fn itself(key: &MatchedKey) -> Arc<KeyRecord> {
    let mintable = if key.user().is_some() { personal("ada") } else { team("core", full("all")) };
    let minted = issue(mintable, Validity::NEVER_EXPIRES, 1);
    assert_eq!(minted.token.id(), key.id(), "equal seeds give equal keys");
    let record = changed(minted.key.record(), |parts| {
        parts.grant = key.grant().clone();
        (parts.not_before, parts.expires_at) = (key.validity().not_before(), key.validity().expires_at());
        parts.status = key.status();
    });
    assert_eq!(open(&minted.token, &record, at(0)).id(), key.id());
    record
}

/// When a target ends: the keys that act end at 200, or never.
const ENDS: [(&str, Option<i64>); 4] =
    [("never", None), ("later", Some(201)), ("same", Some(200)), ("before", Some(199))];

/// The targets of an actor, with their cells: keys of the owners of a small world, and the key itself.
fn targets(key: Option<&MatchedKey>) -> Vec<([&'static str; 2], Arc<KeyRecord>)> {
    let owners = [
        ("own", personal("ada")),
        ("user", personal("bob")),
        ("user", personal("Ada")),
        // A user and a team of the same name are not the same.
        ("user", personal("core")),
        ("team", team("core", full("all"))),
        ("labs", team("labs", metrics("all"))),
        ("labs", team("ada", metrics("all"))),
    ];
    let mut targets = Vec::new();
    for (name, grant) in owners {
        let other = issue(grant, Validity::NEVER_EXPIRES, 2);
        for (end, expires_at) in ENDS {
            let record = changed(other.key.record(), |parts| parts.expires_at = expires_at.map(at));
            targets.push(([name, end], record));
        }
    }
    if let Some(key) = key {
        let end = if key.validity().expires_at().is_some() { "same" } else { "never" };
        targets.push((["itself", end], itself(key)));
    }
    targets
}

fn check_managements(table: &Table) -> Result<usize, String> {
    let (mut count, root, ada) = (0, root(), text("ada"));
    for ([actor, status, time], key, now) in actors() {
        let who = match (&key, actor) {
            (Some(key), _) => Acting::Key(key),
            (None, "system") => Acting::System(&root),
            (None, _) => Acting::User(&ada),
        };
        for ([target, end], record) in targets(key.as_ref()) {
            // There is no record yet to create or import, and no single one to list.
            let is_there = |operation: &&OperationKind| {
                let has_record =
                    !matches!(operation, OperationKind::Create | OperationKind::Import | OperationKind::List);
                has_record || target != "itself"
            };
            for operation in OperationKind::ALL.iter().filter(is_there) {
                for (membership, role) in ROLES {
                    let case = [actor, status, time, membership, operation.as_str(), target, end];
                    let outcome = manage(who, *operation, &record, role.map(Membership::from), at(now));
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
    who: Acting<'_>,
    operation: OperationKind,
    record: &Arc<KeyRecord>,
    membership: Option<Membership>,
    now: UnixTime,
) -> String {
    fn may<O: Operation>(who: Acting<'_>, operation: O, membership: Option<Membership>, now: UnixTime) -> String {
        let answer = authorize_operation(KG, who, operation, membership, now).map_err(|denial| {
            let reveals = if denial.reveals_existence() { ", reveals" } else { "" };
            format!("{}{reveals}", denial.reason())
        });
        allow_or(answer)
    }
    const OLD: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 32, 32);
    let (grant, validity) = (record.grant().clone(), record.validity());
    let (owner, record): (Owner, _) = (grant.owner(), Arc::clone(record));
    match operation {
        OperationKind::Create => may(who, Create { grant, validity }, membership, now),
        OperationKind::Import => {
            let key = OLD.stored(None, text(&"5c".repeat(32))).unwrap();
            let import = Import::new(key, grant, text("laptop"), validity, at(0));
            may(who, import, membership, now)
        }
        OperationKind::List => may(who, List(owner), membership, now),
        OperationKind::Rename => may(who, Rename(record), membership, now),
        OperationKind::SetLabels => may(who, SetLabels(record), membership, now),
        OperationKind::Rotate => may(who, Rotate(record), membership, now),
        OperationKind::EndOverlap => may(who, EndOverlap(record), membership, now),
        OperationKind::Disable => may(who, Disable(record), membership, now),
        OperationKind::Enable => may(who, Enable(record), membership, now),
        OperationKind::Revoke => may(who, Revoke(record), membership, now),
        _ => panic!("`{operation}` is not in the small world"),
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
