//! Which ids and names are taken, and which are free.

use alloc::format;

use super::{
    change::{Change, Told},
    fixture,
    report::Outcome,
    rule::Rule,
    tested::Sweep,
    trial::Trial,
};
use crate::{name::KeyName, record::KeyRecord, store::Conflict};

pub(super) async fn check_ids_taken(trial: &mut Trial<'_>) -> Outcome {
    let mut holder = trial.stored_key(fixture::team("core")?).await?;
    for change in [None, Some(Change::DISABLE), Some(Change::revoke(fixture::later(1)))] {
        if let Some(change) = change {
            trial.change(&mut holder, change).await?;
        }
        let another = trial.keys.key(fixture::team("core")?)?;
        let others = trial.keys.key(fixture::personal("ada")?)?;
        let same_name = KeyRecord { name: holder.name.clone(), ..trial.keys.key(fixture::team("core")?)? };
        for (when, key) in [("another name", &another), ("another owner", &others), ("the same name", &same_name)] {
            let when = format!("insert, a taken id with {when}, {}", holder.status);
            let conflict = KeyRecord { id: holder.id, ..key.clone() };
            let answer = trial.store.insert(&conflict).await?;
            trial.require_answer(Rule::IdTaken, &when, &answer, &Err(Conflict::IdTaken));
            trial.require_stored(Rule::IdTaken, &when, &holder).await?;
        }
        // A refused key holds no name.
        require_insert(trial, Rule::IdTaken, "insert, the name of a key that was refused", &another, Ok(())).await?;
    }
    Ok(())
}

pub(super) async fn check_names_taken(trial: &mut Trial<'_>) -> Outcome {
    for grant in [fixture::personal("core")?, fixture::team("core")?] {
        let mut holder = trial.stored_key(grant.clone()).await?;
        let other = trial.stored_key(grant.clone()).await?;
        for status in ["active", "disabled"] {
            let newcomer = KeyRecord { name: holder.name.clone(), ..trial.keys.key(grant.clone())? };
            let when = format!("insert, the name of a key that is {status}");
            require_insert(trial, Rule::NameTaken, &when, &newcomer, Err(Conflict::NameTaken)).await?;
            let is_absent = trial.store.find(newcomer.id).await?.is_none();
            trial.require(is_absent, Rule::NameTaken, || format!("{when}: stored though refused"));

            let when = format!("rename to the name of a key that is {status}");
            let told = rename(trial, &other, holder.name.clone()).await?;
            trial.require_told(Rule::NameTaken, &when, &told, &Told::Refused(Conflict::NameTaken));
            trial.require_stored(Rule::NameTaken, &when, &other).await?;
            trial.require_stored(Rule::NameTaken, &when, &holder).await?;

            // A key whose rename was refused keeps its name.
            let newcomer = KeyRecord { name: other.name.clone(), ..trial.keys.key(grant.clone())? };
            let when = "insert, the name of a key that was refused another";
            require_insert(trial, Rule::NameTaken, when, &newcomer, Err(Conflict::NameTaken)).await?;
            if status == "active" {
                trial.change(&mut holder, Change::DISABLE).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn check_names_free(trial: &mut Trial<'_>) -> Outcome {
    let mut first = trial.stored_key(fixture::team("core")?).await?;
    require_free(trial, "the key's own name", &first, first.name.clone()).await?;
    for owner in [fixture::team("other")?, fixture::personal("core")?] {
        let key = KeyRecord { name: first.name.clone(), ..trial.keys.key(owner.clone())? };
        require_insert(trial, Rule::NameFree, "insert, a name that another owner has", &key, Ok(())).await?;
        let key = trial.stored_key(owner).await?;
        let given_up = first.name.clone();
        let rename = Change::rename(trial.keys.name()?);
        trial.change(&mut first, rename).await?;
        require_free(trial, "a name that another owner has", &key, first.name.clone()).await?;
        require_reused(trial, "a name that was given up", given_up).await?;
    }
    trial.change(&mut first, Change::revoke(fixture::later(1))).await?;
    require_reused(trial, "the name of a revoked key", first.name.clone()).await?;

    let swept = trial.stored_key(fixture::team("swept")?).await?;
    let _ = trial.store.revoke_all(&Sweep::of(swept.grant.owner(), fixture::later(1))).await?;
    let next = KeyRecord { name: swept.name.clone(), ..trial.keys.key(swept.grant)? };
    require_insert(trial, Rule::NameFree, "insert, the name of a key revoked by revoke_all", &next, Ok(())).await
}

/// A name of the team is free for an insert; when that key is revoked, for a rename; and then it is taken again.
async fn require_reused(trial: &mut Trial<'_>, what: &str, name: KeyName) -> Outcome {
    let mut heir = KeyRecord { name: name.clone(), ..trial.keys.key(fixture::team("core")?)? };
    let when = format!("insert, {what}");
    require_insert(trial, Rule::NameFree, &when, &heir, Ok(())).await?;
    if trial.has_failed() {
        return Ok(());
    }
    trial.change(&mut heir, Change::revoke(fixture::later(2))).await?;
    let next = trial.stored_key(fixture::team("core")?).await?;
    require_free(trial, what, &next, name.clone()).await?;
    let late = KeyRecord { name, ..trial.keys.key(fixture::team("core")?)? };
    let when = format!("insert, {what}, after another key got it");
    require_insert(trial, Rule::NameTaken, &when, &late, Err(Conflict::NameTaken)).await
}

async fn rename(trial: &Trial<'_>, key: &KeyRecord, name: KeyName) -> Outcome<Told> {
    trial.store.ask(key.id, &Change::rename(name), Some(key)).await
}

/// Renaming `key` to `name` is not refused; to its own name, it changes nothing.
async fn require_free(trial: &mut Trial<'_>, what: &str, key: &KeyRecord, name: KeyName) -> Outcome {
    let when = format!("rename to {what}");
    let (after, expected) = Change::rename(name.clone()).outcome(key);
    let told = rename(trial, key, name).await?;
    trial.require_told(Rule::NameFree, &when, &told, &expected);
    trial.require_stored(Rule::NameFree, &when, &after).await
}

async fn require_insert(
    trial: &mut Trial<'_>,
    rule: Rule,
    when: &str,
    key: &KeyRecord,
    expected: Result<(), Conflict>,
) -> Outcome {
    let answer = trial.store.insert(key).await?;
    trial.require_answer(rule, when, &answer, &expected);
    if expected.is_ok() {
        trial.require_stored(rule, when, key).await?;
    }
    Ok(())
}
