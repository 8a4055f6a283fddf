//! A caller that stops waiting, at each place where an operation waits: a change and its event are both there, or
//! neither.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::collections::BTreeMap;

use keygate::{
    MemoryDirectory,
    legacy::{LegacyFormat, StoredHash, Symbols},
    manage::Import,
    stages::AcceptedKeys,
};

use sha2::Digest as _;

use super::{
    stores::{Wrapped, Yields},
    *,
};

static FORMATS: [LegacyFormat; 1] = [LegacyFormat::opaque("old_", Symbols::Alphanumeric, 32, 32)];
const OLD: &str = "old_4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";

/// A service that is asked once: a store that waits, an acting key, and keys to act on.
struct Service {
    world: World,
    keys: KeyManager<Wrapped<MemoryStore, Yields>, Wrapped<MemoryDirectory, Yields>>,
    actor: Actor,
    target: Token,
    imported: KeyId,
}

impl Service {
    fn new() -> Self {
        let world = world();
        let keys = KeyManager::with_parts(KG, Wrapped(world.store.clone(), Yields), world.clock.reader(), rng(5))
            .with_directory(Wrapped(world.directory.clone(), Yields))
            .with_sink(world.told.clone())
            .with_rules(RULES);
        let own = create(&world, "own", personal("ada")).unwrap().token;
        let actor = Actor::from(&block_on(world.gate.authenticate(own.expose_secret())).unwrap());
        create(&world, "first", team("core", full("all"))).map(drop).unwrap();
        let target = create(&world, "target", team("core", full("all"))).unwrap().token;
        let hash = StoredHash::from_bytes(&sha2::Sha256::digest(OLD)).unwrap();
        let stored = FORMATS[0].stored(None, hash).unwrap();
        let import = Import::new(stored, team("core", full("all")), text("old"), Validity::NEVER_EXPIRES, at(1));
        let imported = block_on(world.keys.import(&root(), import)).unwrap();
        world.told.take();
        Self { world, keys, actor, target, imported }
    }

    fn records(&self) -> BTreeMap<KeyId, Arc<KeyRecord>> {
        let mut query = ListQuery::new();
        query.limit = NonZeroU16::MAX;
        let page = block_on(self.world.store.list(KeysOf::All, query)).unwrap();
        page.records.into_iter().map(|record| (record.id(), record)).collect()
    }
}

type Run = for<'a> fn(&'a Service) -> Pin<Box<dyn Future<Output = bool> + 'a>>;

/// Polls an operation so many times and drops it; returns whether it ended.
fn interrupt(service: &Service, run: Run, polls: usize) -> bool {
    let mut operation = run(service);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(is_done) = operation.as_mut().poll(&mut context) {
            assert!(is_done, "it is permitted, and changes something");
            return true;
        }
    }
    false
}

#[test]
fn a_change_and_its_event_are_one_wherever_the_caller_stops() {
    let operations: [(&str, Run); 13] = [
        ("create", |service| {
            let spec = NewKeySpec::new(team("core", full("all")), text("new"), Validity::NEVER_EXPIRES);
            Box::pin(async { service.keys.create(&service.actor, spec).await.is_ok() })
        }),
        ("import", |service| {
            let key = FORMATS[0].parse(&OLD.replace('4', "5")).unwrap().legacy_key();
            let import = Import::new(key, team("core", full("all")), text("older"), Validity::NEVER_EXPIRES, at(1));
            Box::pin(async { service.keys.import(&root(), import).await.is_ok() })
        }),
        ("rename", |service| {
            Box::pin(async { service.keys.rename(&service.actor, service.target.id(), text("renamed")).await.is_ok() })
        }),
        ("set_labels", |service| {
            let labels = Labels::new([(text("a"), text("b"))]).unwrap();
            Box::pin(async { service.keys.set_labels(&service.actor, service.target.id(), labels).await.is_ok() })
        }),
        ("rotate", |service| {
            Box::pin(async { service.keys.rotate(&service.actor, service.target.id(), START).await.is_ok() })
        }),
        ("end_overlap", |service| {
            rotate(&service.world, service.target.id(), START);
            Box::pin(async { service.keys.end_overlap(&service.actor, service.target.id()).await.is_ok() })
        }),
        ("disable", |service| {
            Box::pin(async { service.keys.disable(&service.actor, service.target.id()).await.is_ok() })
        }),
        ("enable", |service| {
            block_on(service.world.keys.disable(&system(), service.target.id())).unwrap();
            Box::pin(async { service.keys.enable(&service.actor, service.target.id()).await.is_ok() })
        }),
        ("revoke", |service| {
            Box::pin(async { service.keys.revoke(&service.actor, service.target.id(), REQUESTED).await.is_ok() })
        }),
        ("revoke_leaked", |service| {
            Box::pin(async { service.keys.revoke_leaked([service.target.expose_secret()]).await.len() == 1 })
        }),
        ("revoke_all", |service| {
            let owner = Owner::Team(text("core"));
            Box::pin(async { service.keys.revoke_all(&root(), owner, REQUESTED).await.is_ok() })
        }),
        ("upgrade", |service| {
            let presented = AcceptedKeys::new(KG).with_legacy(&FORMATS).parse(OLD).unwrap();
            let key = presented.verify(Some(find(&service.world, service.imported)), at(150)).unwrap();
            Box::pin(async move { service.keys.upgrade(&key).await.unwrap() })
        }),
        ("deprovision", |service| {
            service.world.directory.deprovision(&text("ada"));
            Box::pin(async { service.keys.deprovision(&root(), &text("ada")).await.is_ok() })
        }),
    ];
    for (name, run) in operations {
        let (mut stopped_before, mut stopped_after, mut polls) = (0, 0, 0);
        loop {
            let service = Service::new();
            // Where an operation begins with a change of its own, that is before it is polled.
            let (start, events) = {
                let prepared = run(&service);
                let state = (service.records(), service.world.store.events().len());
                drop(prepared);
                state
            };
            let service = Service::new();
            let is_done = interrupt(&service, run, polls);
            let after = service.records();
            let changed: Vec<_> = after.iter().filter(|(id, record)| start.get(id) != Some(record)).collect();
            let mut logged: Vec<_> =
                service.world.store.events()[events..].iter().map(|event| event.key.unwrap()).collect();
            logged.sort_unstable();
            let expected: Vec<_> = changed.iter().map(|(id, _)| **id).collect();
            assert_eq!(logged, expected, "{name}, after {polls} polls");
            assert!(service.world.told.take_events().is_empty(), "{name}: what is in the log is not told");
            if is_done {
                assert!(!changed.is_empty(), "{name} changes something");
                break;
            }
            if changed.is_empty() {
                stopped_before += 1;
            } else {
                stopped_after += 1;
            }
            polls += 1;
        }
        assert!(stopped_before > 1 && stopped_after > 0, "{name}: {stopped_before}, {stopped_after}");
    }
}
