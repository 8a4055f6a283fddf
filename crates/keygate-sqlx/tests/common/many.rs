//! Many keys in a database.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use keygate::KeyId;

use crate::common::Place;

/// How many keys: `SQL_KEYS`.
pub(crate) fn count() -> usize {
    std::env::var("SQL_KEYS").map_or(20_000, |count| count.parse().unwrap())
}

/// Copies a key so often, each time with an id of its own; each third of ten belongs to `many`.
pub(crate) async fn fill<P: Place>(place: &P, template: KeyId) {
    let is_postgres = place.url().starts_with("postgres");
    let numbers = if is_postgres {
        format!("generate_series(CAST(1 AS BIGINT), {}) AS numbers (number)", count())
    } else {
        format!(
            "(WITH RECURSIVE counted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < {}) \
             SELECT number FROM counted) AS numbers",
            count()
        )
    };
    // Neither in the order of the ids, nor in that of the times.
    let mixed = "number * 7919 % 1000003";
    let id = if is_postgres { format!("lpad(({mixed})::text, 16, '0')") } else { format!("printf('%016d', {mixed})") };
    let owner = if is_postgres { "(number % 1000)::text" } else { "(number % 1000)" };
    let columns = "issuer, labels, level, actions, environments, models, resources, incarnation, creator_kind, creator_id, \
         not_before, expires_at, last_used_at, status, revoked_at, revoked_cause, current_digest, previous_digest, \
         previous_ends_at, previous_last_used_at, owner_kind";
    // A server does this by itself; with a file nobody does, and then its size does not matter.
    let analyze = if is_postgres { "; ANALYZE" } else { "" };
    place
        .execute(&format!(
            "INSERT INTO keygate_keys (id, name, owner_id, created_at, {columns}) \
             SELECT {id}, 'key-' || number, CASE WHEN number % 10 < 3 THEN 'many' ELSE 'user-' || {owner} END, \
             created_at + {mixed}, {columns} FROM keygate_keys, {numbers} WHERE id = '{template}'{analyze}"
        ))
        .await
        .unwrap();
}

/// The id of a copy, from 1.
pub(crate) fn id(number: usize) -> KeyId {
    format!("{:016}", number * 7919 % 1_000_003).parse().unwrap()
}
