//! Keys and owners are the same if their bytes are.

use alloc::{format, vec::Vec};
use core::num::NonZeroU16;

use super::{change::Change, fixture, report::Outcome, rule::Rule, tested::Sweep, trial::Trial};
use crate::{
    grant::Grant,
    id::KeyId,
    record::{Creator, KeyRecord},
    store::{KeysOf, ListQuery},
};

pub(super) async fn check_key_ids(trial: &mut Trial<'_>) -> Outcome {
    let [mixed, lower, upper] = ["aBcDeFgHiJkLmN01", "abcdefghijklmn01", "ABCDEFGHIJKLMN01"];
    let [mixed, lower, upper]: [KeyId; 3] = [mixed.parse()?, lower.parse()?, upper.parse()?];
    let mut first = KeyRecord { id: mixed, ..trial.keys.key(fixture::team("core")?)? };
    let second = KeyRecord { id: lower, ..trial.keys.key(fixture::team("core")?)? };
    trial.insert(&first).await?;

    let found = trial.store.find(lower).await?;
    trial.require(found.is_none(), Rule::IdsByteByByte, || "find: a key whose id differs in case".into());
    let answer = trial.store.insert(&second).await?;
    trial.require_answer(Rule::IdsByteByByte, "insert, an id that differs in case", &answer, &Ok(()));

    trial.change(&mut first, Change::DISABLE).await?;
    let changes = [
        Change::DISABLE,
        Change::end_overlap(&second),
        Change::touch(fixture::later(1)),
        Change::revoke(fixture::later(1)),
    ];
    for change in changes {
        // Of an id that is not stored: nothing that is may change.
        let _ = trial.store.ask(upper, &change, None).await?;
    }
    for key in [&first, &second] {
        let when = "after a change of an id that differs in case";
        trial.require_stored(Rule::IdsByteByByte, when, key).await?;
    }
    Ok(())
}

/// Ids that differ in case, and ids that match as patterns or as prefixes.
pub(super) async fn check_owner_ids(trial: &mut Trial<'_>) -> Outcome {
    for (one, other) in [("Ada", "ada"), ("a_c", "abc"), ("%", "b%"), ("core", "cor"), ("01", "1"), ("\\", "\\\\")] {
        let users = [fixture::personal(one)?, fixture::personal(other)?];
        let teams = [fixture::team(one)?, fixture::team(other)?];
        for [one_owner, other_owner] in [users, teams] {
            require_apart(trial, Rule::IdsByteByByte, (one_owner, one), (other_owner, other)).await?;
        }
    }
    Ok(())
}

pub(super) async fn check_owner_kinds(trial: &mut Trial<'_>) -> Outcome {
    for (one, other) in
        [(fixture::personal("core")?, fixture::team("core")?), (fixture::team("x")?, fixture::personal("x")?)]
    {
        require_apart(trial, Rule::OwnersByKind, (one, "ada"), (other, "bob")).await?;
    }
    Ok(())
}

/// Two owners, each with a key of the same name created by their own creator, have nothing to do with each other.
async fn require_apart(
    trial: &mut Trial<'_>,
    rule: Rule,
    (one, one_creator): (Grant, &str),
    (other, other_creator): (Grant, &str),
) -> Outcome {
    let mut one = KeyRecord { created_by: Creator::User(one_creator.parse()?), ..trial.keys.key(one)? };
    let (name, created_by) = (one.name.clone(), Creator::User(other_creator.parse()?));
    let other = KeyRecord { name, created_by, ..trial.keys.key(other)? };
    for key in [&one, &other] {
        let answer = trial.store.insert(key).await?;
        trial.require_answer(rule, "insert, a name that another owner has", &answer, &Ok(()));
    }
    for key in [&one, &other] {
        let by_owner = ("owner", KeysOf::Owner(key.grant.owner()));
        for (by, keys_of) in [by_owner, ("creator", KeysOf::Creator(key.created_by.clone()))] {
            let page = trial.store.list(keys_of, ListQuery { limit: NonZeroU16::MAX, ..ListQuery::new() }).await?;
            // By creator there may be keys of earlier pairs, but never the other one of this pair.
            let stranger = if key.id == one.id { other.id } else { one.id };
            let ids: Vec<_> = page.records.iter().map(|record| record.id()).collect();
            let is_apart = ids.contains(&key.id) && !ids.contains(&stranger);
            trial.require(is_apart, rule, || format!("list: by {by}, keys of two are mixed up"));
        }
    }
    let sweep = Sweep::of(one.grant.owner(), fixture::later(1));
    let batch = trial.store.revoke_all(&sweep).await?;
    trial.require(!batch.ids.contains(&other.id), rule, || "revoke_all: revoked a key of another owner".into());
    sweep.change().apply(&mut one);
    trial.require_stored(rule, "after revoke_all", &one).await?;
    trial.require_stored(rule, "after revoke_all of another owner", &other).await
}
