//! Verifying: two comparisons and no hash, the same whether the key is there or not, and whichever secret it was.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::{hint::black_box, time::Duration};
use std::sync::Arc;

use criterion::Criterion;
use keygate::{
    Grant, KeyRecord, Token,
    manage::Minted,
    store::{PreviousSecret, RecordParts, SecretSlot},
    verify::{UnverifiedToken, verify},
};

#[path = "support/mod.rs"]
mod support;

use support::{KG, NOW, generator, mint};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Minted { token, key, .. } = mint(Grant::personal("ada".parse().unwrap()));
    // The secret before this one, as a rotation leaves it.
    let previous = Token::generate_secret(KG, token.kind(), token.id(), &generator(2)).unwrap();
    let ends_at = NOW.saturating_add(Duration::from_secs(60));
    let mut parts = RecordParts::from(key.record().clone());
    let settled = Arc::new(KeyRecord::try_from(parts.clone()).unwrap());
    parts.previous = Some(PreviousSecret { digest: previous.digest(), ends_at, last_used_at: None });
    let rotating = Arc::new(KeyRecord::try_from(parts).unwrap());

    let cases = [
        ("current", &token, Some(&settled), Some(SecretSlot::Current)),
        ("current_of_two", &token, Some(&rotating), Some(SecretSlot::Current)),
        ("previous", &previous, Some(&rotating), Some(SecretSlot::Previous)),
        ("wrong_secret", &previous, Some(&settled), None),
        ("unknown_id", &token, None, None),
    ];
    for (name, token, record, expected) in cases {
        let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
        criterion.bench_function(&format!("keygate/verify/{name}"), |bencher| {
            bencher.iter(|| {
                let key = verify(black_box(&presented), record.cloned(), black_box(NOW)).ok();
                assert_eq!(key.as_ref().map(keygate::verify::MatchedKey::slot), expected);
                key
            });
        });
    }
    criterion.final_summary();
}
