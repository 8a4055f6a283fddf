//! Which ids and names are taken, and which are free.

use alloc::format;

use super::{
    change::Change,
    fixture::{self, new_key},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    name::KeyName,
    record::RecordParts,
    store::{Conflict, Run},
};

pub(super) async fn check_ids_taken(trial: &mut Trial<'_>) -> Outcome {
    let mut holder = trial.stored_key(fixture::team("core")?).await?;
    for change in [None, Some(Change::Disable), Some(Change::Revoke(fixture::later(1)))] {
        if let Some(change) = change {
            trial.change(&mut holder, change).await?;
        }
        let another = trial.keys.key(fixture::team("core")?)?;
        let others = trial.keys.key(fixture::personal("ada")?)?;
        let same_name = RecordParts { name: holder.name.clone(), ..trial.keys.key(fixture::team("core")?)? };
        for (when, key) in [("another name", &another), ("another owner", &others), ("the same name", &same_name)] {
            let when = format!("insert, a taken id with {when}, {:?}", holder.status);
            let conflict = new_key(&RecordParts { id: holder.id, ..key.clone() })?;
            let answer = trial.store.insert(conflict).await?;
            trial.require_answer(Rule::IdTaken, &when, &answer, &Err(Conflict::IdTaken));
            trial.require_stored(Rule::IdTaken, &when, &holder).await?;
        }
        // What was refused holds no name.
        require_insert(trial, Rule::IdTaken, "insert, the name of a key that was refused", &another, Ok(())).await?;
    }
    Ok(())
}

pub(super) async fn check_names_taken(trial: &mut Trial<'_>) -> Outcome {
    for grant in [fixture::personal("core")?, fixture::team("core")?] {
        let mut holder = trial.stored_key(grant.clone()).await?;
        let other = trial.stored_key(grant.clone()).await?;
        for status in ["active", "disabled"] {
            let newcomer = RecordParts { name: holder.name.clone(), ..trial.keys.key(grant.clone())? };
            let when = format!("insert, the name of a key that is {status}");
            require_insert(trial, Rule::NameTaken, &when, &newcomer, Err(Conflict::NameTaken)).await?;
            let is_absent = trial.store.find(newcomer.id).await?.is_none();
            trial.require(is_absent, Rule::NameTaken, || format!("{when}: stored though refused"));

            let when = format!("rename to the name of a key that is {status}");
            let answer = trial.store.rename(other.id, holder.name.clone()).await?;
            trial.require_answer(Rule::NameTaken, &when, &answer, &Err(Conflict::NameTaken));
            trial.require_stored(Rule::NameTaken, &when, &other).await?;
            trial.require_stored(Rule::NameTaken, &when, &holder).await?;

            // Who was refused another name still has their own.
            let newcomer = RecordParts { name: other.name.clone(), ..trial.keys.key(grant.clone())? };
            let when = "insert, the name of a key that was refused another";
            require_insert(trial, Rule::NameTaken, when, &newcomer, Err(Conflict::NameTaken)).await?;
            if status == "active" {
                trial.change(&mut holder, Change::Disable).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn check_names_free(trial: &mut Trial<'_>) -> Outcome {
    let mut first = trial.stored_key(fixture::team("core")?).await?;
    require_free(trial, "the key's own name", &first, first.name.clone()).await?;
    for owner in [fixture::team("other")?, fixture::personal("core")?] {
        let key = RecordParts { name: first.name.clone(), ..trial.keys.key(owner.clone())? };
        require_insert(trial, Rule::NameFree, "insert, a name that another owner has", &key, Ok(())).await?;
        let key = trial.stored_key(owner).await?;
        let given_up = first.name.clone();
        let rename = Change::Rename(trial.keys.name()?);
        trial.change(&mut first, rename).await?;
        require_free(trial, "a name that another owner has", &key, first.name.clone()).await?;
        require_reused(trial, "a name that was given up", given_up).await?;
    }
    trial.change(&mut first, Change::Revoke(fixture::later(1))).await?;
    require_reused(trial, "the name of a revoked key", first.name.clone()).await?;

    let swept = trial.stored_key(fixture::team("swept")?).await?;
    trial.store.revoke_all(swept.grant.owner(), fixture::later(1), Run::Real).await?;
    let next = RecordParts { name: swept.name.clone(), ..trial.keys.key(swept.grant)? };
    require_insert(trial, Rule::NameFree, "insert, the name of a key ended by revoke_all", &next, Ok(())).await
}

/// A name of the team is free for an insert; when that key is revoked, for a rename; and then it is taken again.
async fn require_reused(trial: &mut Trial<'_>, what: &str, name: KeyName) -> Outcome {
    let mut heir = RecordParts { name: name.clone(), ..trial.keys.key(fixture::team("core")?)? };
    let when = format!("insert, {what}");
    require_insert(trial, Rule::NameFree, &when, &heir, Ok(())).await?;
    if trial.has_failed() {
        return Ok(());
    }
    trial.change(&mut heir, Change::Revoke(fixture::later(2))).await?;
    let next = trial.stored_key(fixture::team("core")?).await?;
    require_free(trial, what, &next, name.clone()).await?;
    let late = RecordParts { name, ..trial.keys.key(fixture::team("core")?)? };
    let when = format!("insert, {what}, after another key got it");
    require_insert(trial, Rule::NameTaken, &when, &late, Err(Conflict::NameTaken)).await
}

/// Renaming `key` to `name` is done.
async fn require_free(trial: &mut Trial<'_>, what: &str, key: &RecordParts, name: KeyName) -> Outcome {
    let when = format!("rename to {what}");
    let answer = trial.store.rename(key.id, name.clone()).await?;
    trial.require_answer(Rule::NameFree, &when, &answer, &Ok(()));
    trial.require_stored(Rule::NameFree, &when, &RecordParts { name, ..key.clone() }).await
}

async fn require_insert(
    trial: &mut Trial<'_>,
    rule: Rule,
    when: &str,
    key: &RecordParts,
    expected: Result<(), Conflict>,
) -> Outcome {
    let answer = trial.store.insert(new_key(key)?).await?;
    trial.require_answer(rule, when, &answer, &expected);
    if expected.is_ok() {
        trial.require_stored(rule, when, key).await?;
    }
    Ok(())
}
