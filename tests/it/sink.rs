//! The bounded sink: no message pushes out one of another kind, nothing waits, and what is lost is counted.

use core::time::Duration;
use std::{
    sync::{Arc, Barrier, mpsc},
    thread,
};

use keygate::{
    Gate, KeyId, KeyManager, MemoryDirectory, MemoryStore, RevocationCause, Token, Validity, Verdict,
    audit::{Event, EventKind, Principal, RefusalReason},
    sink::{AuditSink, ChannelSink, Lost, Message, NoSink, SinkCapacity, SinkReceivers},
    store::{KeyManagementStore as _, KeyStore as _, SecretSlot, Touch},
};
use pollster::block_on;

use crate::common::{self, at, call, full, request, rng, system, team, text, world::World};

fn capacity(each: u16) -> SinkCapacity {
    let mut capacity = SinkCapacity::default();
    (capacity.events, capacity.strangers, capacity.failures, capacity.touches) = (each, each, each, each.into());
    capacity
}

fn lost(events: u64, strangers: u64, failures: u64, touches: u64) -> Lost {
    let mut lost = Lost::default();
    (lost.events, lost.strangers, lost.failures, lost.touches) = (events, strangers, failures, touches);
    lost
}

fn refused(reason: &str) -> Event {
    Event::refused(at(1), system().principal(), None, None, text(reason))
}

/// Some id; equal numbers give equal ids.
fn id(number: u8) -> KeyId {
    Token::generate(common::KG, keygate::KeyKind::Team, &rng(number)).unwrap().id()
}

/// A service whose gate and manager tell a channel.
fn service(capacity: SinkCapacity) -> (World, ChannelSink, SinkReceivers) {
    let world = World::new();
    let (sink, receivers) = ChannelSink::new(capacity);
    let gate = world.gate.clone().with_sink(sink.clone());
    let keys = world.keys.clone().with_sink(sink.clone());
    (World { gate, keys, ..world }, sink, receivers)
}

fn count(mut counts: impl Iterator<Item = (RefusalReason, u64)>, reason: &str) -> u64 {
    counts.find(|(name, _)| name.as_str() == reason).unwrap().1
}

#[test]
fn strangers_push_out_no_event_of_a_valid_key() {
    let (world, sink, receivers) = service(capacity(10));
    let token = world.create("key", team("core", full("all")), Validity::NEVER_EXPIRES).token;
    // Nobody reads, and strangers come at full speed.
    for _ in 0..1_000 {
        let verdict = world
            .check(&Token::generate(common::KG, token.kind(), &rng(9)).unwrap(), &request("core", call("m1", None)));
        assert!(matches!(verdict, Verdict::Unauthenticated(_)));
        assert!(block_on(world.gate.check("made up", &request("core", call("m1", None)))).is_ok());
    }
    assert!(matches!(world.check(&token, &request("core", call("m1", None))), Verdict::Allowed(_)));
    for _ in 0..10 {
        assert!(matches!(world.check(&token, &request("other", call("m1", None))), Verdict::Denied { .. }));
    }
    assert_eq!(sink.lost(), lost(0, 1_990, 0, 0));
    let events: Vec<_> = receivers.events.try_iter().collect();
    assert_eq!(events.len(), 10, "each refusal of the valid key");
    assert!(events.iter().all(|event| event.key == Some(token.id())));
    assert_eq!(receivers.touches.take(), [Touch::new(token.id(), SecretSlot::Current, at(100))]);
    // Of strangers there is a sample, and every one is counted.
    let sample: Vec<_> = receivers.strangers.try_iter().collect();
    assert!(sample.len() == 10 && sample.iter().all(|event| matches!(event.by, Principal::Unverified { .. })));
    assert_eq!(count(sink.strangers(), "invalid_key"), 1_000);
    assert_eq!(count(sink.strangers(), "foreign_issuer"), 1_000);
    assert_eq!((count(sink.refused(), "other_team"), count(sink.refused(), "invalid_key")), (10, 0));
    assert_eq!(sink.allowed(), 1);
}

#[test]
fn counts_begin_at_0_for_every_reason() {
    let (sink, _receivers) = ChannelSink::new(SinkCapacity::default());
    let all: Vec<_> = RefusalReason::ALL.iter().map(|reason| (*reason, 0)).collect();
    assert_eq!(sink.refused().collect::<Vec<_>>(), all);
    assert_eq!(sink.strangers().collect::<Vec<_>>(), all);
    assert_eq!((sink.allowed(), sink.lost()), (0, Lost::default()));
    for reason in RefusalReason::ALL {
        sink.tell(Message::Event(refused(reason.as_str())));
        sink.tell(Message::Stranger(refused(reason.as_str())));
        sink.tell(Message::Stranger(refused(reason.as_str())));
    }
    assert!(sink.refused().all(|(_, count)| count == 1));
    assert!(sink.strangers().all(|(_, count)| count == 2));
}

#[test]
fn touches_are_one_for_each_key_and_secret() {
    let (sink, receivers) = ChannelSink::new(capacity(3));
    let tell = |key, slot, seconds| sink.tell(Message::Touch(Touch::new(id(key), slot, at(seconds))));
    for seconds in [5, 7, 6] {
        tell(1, SecretSlot::Current, seconds);
        tell(1, SecretSlot::Previous, seconds - 1);
        tell(2, SecretSlot::Current, seconds + 1);
    }
    // A fourth does not fit; those that are there still move.
    tell(3, SecretSlot::Current, 9);
    tell(1, SecretSlot::Current, 10);
    assert_eq!(sink.lost(), lost(0, 0, 0, 1));
    let taken = || {
        let mut touches = receivers.touches.take();
        touches.sort_by_key(|touch| (touch.used_at, touch.slot == SecretSlot::Current));
        touches
    };
    let (current, previous) = (SecretSlot::Current, SecretSlot::Previous);
    let expected =
        [Touch::new(id(1), previous, at(6)), Touch::new(id(2), current, at(8)), Touch::new(id(1), current, at(10))];
    assert_eq!(taken(), expected);
    // What was taken leaves room.
    assert_eq!(taken(), []);
    tell(3, SecretSlot::Current, 9);
    assert_eq!((taken().len(), sink.lost().touches), (1, 1));
}

/// A store that is slow to write gets one touch for many uses, and the log is not held up by it.
#[test]
fn many_uses_of_a_cold_store_are_one_write() {
    let (world, sink, receivers) = service(capacity(100));
    let token = world.create("key", team("core", full("all")), Validity::NEVER_EXPIRES).token;
    for seconds in 0..1_000 {
        world.clock.set(200 + seconds);
        assert!(matches!(world.check(&token, &request("core", call("m1", None))), Verdict::Allowed(_)));
    }
    assert_eq!((sink.lost(), sink.allowed()), (Lost::default(), 1_000));
    let touches = receivers.touches.take();
    assert_eq!(touches, [Touch::new(token.id(), SecretSlot::Current, at(1_199))]);
    block_on(world.store.touch(touches, world.clock.now())).unwrap();
    assert_eq!(block_on(world.store.find(token.id())).unwrap().unwrap().last_used_at(), Some(at(1_199)));
    // Written now: no touch is due for a minute.
    assert!(matches!(world.check(&token, &request("core", call("m1", None))), Verdict::Allowed(_)));
    assert_eq!(receivers.touches.take(), []);
}

#[test]
fn each_queue_is_full_for_itself() {
    let (sink, receivers) = ChannelSink::new(capacity(2));
    let fill = || {
        for number in 1..=5 {
            sink.tell(Message::Event(refused("revoked")));
            sink.tell(Message::Stranger(refused("malformed")));
            sink.tell(Message::Failed(&core::fmt::Error));
            sink.tell(Message::Touch(Touch::new(id(number), SecretSlot::Current, at(1))));
        }
    };
    fill();
    assert_eq!(sink.lost(), lost(3, 3, 3, 3));
    assert_eq!(receivers.events.try_iter().count(), 2);
    fill();
    assert_eq!(sink.lost(), lost(6, 8, 8, 6), "touches of the same keys are no more than before");
    // Clones count as one.
    let clone = sink.clone();
    clone.tell(Message::Event(refused("revoked")));
    assert_eq!((sink.lost().events, clone.lost()), (7, sink.lost()));
    assert_eq!(count(sink.refused(), "revoked"), 11);
    // A queue without room is one that takes nothing.
    let (sink, _receivers) = ChannelSink::new(capacity(0));
    sink.tell(Message::Event(refused("revoked")));
    sink.tell(Message::Touch(Touch::new(id(1), SecretSlot::Current, at(1))));
    assert_eq!(sink.lost(), lost(1, 0, 0, 1));
}

/// The largest capacity is one that every machine has room for.
#[test]
fn no_capacity_is_too_large() {
    let mut capacity = capacity(u16::MAX);
    capacity.touches = usize::MAX;
    let (sink, _receivers) = ChannelSink::new(capacity);
    sink.tell(Message::Event(refused("revoked")));
    sink.tell(Message::Touch(Touch::new(id(1), SecretSlot::Current, at(1))));
    assert_eq!(sink.lost(), Lost::default());
}

/// An error that is its own source is told, and the one who tells it goes on.
#[test]
fn an_error_without_an_end_is_cut_off() {
    #[derive(Debug, thiserror::Error)]
    #[error("endless")]
    struct Endless;

    #[derive(Debug, thiserror::Error)]
    #[error("down")]
    struct Own(#[source] Loop);

    #[derive(Debug)]
    struct Loop;

    impl core::fmt::Display for Loop {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("again")
        }
    }

    impl core::error::Error for Loop {
        fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
            Some(self)
        }
    }

    let (sink, receivers) = ChannelSink::new(capacity(2));
    sink.tell(Message::Failed(&Endless));
    assert_eq!(receivers.failures.recv().unwrap(), "endless");
    sink.tell(Message::Failed(&Own(Loop)));
    let told = receivers.failures.recv().unwrap();
    assert!(told.starts_with("down: again: again") && told.len() < 200, "{told}");
}

/// A log that is gone, or never read, blocks nothing and keeps nothing alive.
#[test]
fn a_receiver_that_is_gone_or_never_reads_blocks_nothing() {
    for is_gone in [false, true] {
        // In a thread of its own: should something wait, this test fails and does not hang.
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let (world, sink, receivers) = service(capacity(1));
            let token = world.create("key", team("core", full("all")), Validity::NEVER_EXPIRES).token;
            let kept = (!is_gone).then_some(receivers);
            for _ in 0..100 {
                assert!(matches!(world.check(&token, &request("core", call("m1", None))), Verdict::Allowed(_)));
                assert!(matches!(world.check(&token, &request("other", call("m1", None))), Verdict::Denied { .. }));
                assert!(block_on(world.gate.check("made up", &request("core", call("m1", None)))).is_ok());
                let absent = block_on(world.keys.revoke(&system(), id(9), RevocationCause::Unused));
                assert!(absent.is_err());
                sink.tell(Message::Failed(&core::fmt::Error));
            }
            let (room, told) = if is_gone { (0, 100) } else { (1, 100) };
            assert_eq!(sink.lost(), lost(2 * told - room, told - room, told - room, 0));
            assert_eq!(count(sink.refused(), "absent"), 100);
            // Everything is dropped, in an order that a process that ends has.
            drop((world, sink));
            drop(kept);
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("nothing waits");
    }
}

/// A reader waits for messages until the last sink is dropped, and no longer.
#[test]
fn a_reader_ends_with_the_last_sink() {
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let reader = thread::spawn(move || receivers.events.iter().count());
    let clone = sink.clone();
    sink.tell(Message::Event(refused("revoked")));
    drop(sink);
    clone.tell(Message::Event(refused("revoked")));
    drop(clone);
    assert_eq!(reader.join().unwrap(), 2);
}

#[test]
fn many_threads_lose_nothing_uncounted() {
    const THREADS: u64 = 8;
    const EACH: u64 = 1_000;
    let (sink, receivers) = ChannelSink::new(capacity(100));
    let barrier = Arc::new(Barrier::new(usize::try_from(THREADS).unwrap() + 1));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (sink, barrier) = (sink.clone(), Arc::clone(&barrier));
            scope.spawn(move || {
                barrier.wait();
                let key = id(u8::try_from(number).unwrap());
                for seconds in 0..EACH {
                    sink.tell(Message::Event(refused("revoked")));
                    let seconds = i64::try_from(seconds).unwrap();
                    sink.tell(Message::Touch(Touch::new(key, SecretSlot::Current, at(seconds))));
                }
            });
        }
        barrier.wait();
        let mut taken = Vec::new();
        for _ in 0..100 {
            taken.extend(receivers.touches.take());
            thread::yield_now();
        }
    });
    let read = u64::try_from(receivers.events.try_iter().count()).unwrap();
    assert_eq!(read + sink.lost().events, THREADS * EACH);
    assert_eq!(count(sink.refused(), "revoked"), THREADS * EACH);
    assert_eq!(sink.lost().touches, 0);
    // The latest use of each key is the last that was taken of it.
    assert!(receivers.touches.take().iter().all(|touch| touch.used_at < at(1_000)));
}

/// A failure is told with its sources, each once.
#[test]
fn failures_are_told_with_their_sources() {
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let failed = keygate::Unavailable::<core::fmt::Error, core::fmt::Error>::Store(core::fmt::Error);
    sink.tell(Message::Failed(&failed));
    let told = receivers.failures.try_recv().unwrap();
    assert_eq!(told, format!("the look-up of a key failed: {}", core::fmt::Error));
}

/// Behind pointers, and where nobody listens.
#[test]
fn sinks_are_told_through_pointers() {
    fn tell(sink: impl AuditSink) {
        sink.tell(Message::Event(refused("revoked")));
    }
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    tell(&sink);
    tell(Arc::new(sink.clone()));
    tell(Arc::new(sink) as Arc<dyn AuditSink>);
    tell(NoSink);
    let events: Vec<_> = receivers.events.try_iter().collect();
    assert!(events.len() == 3 && events.iter().all(|event| matches!(event.kind, EventKind::Refused { .. })));
    // Without one, nothing is told, and everything works.
    let store = MemoryStore::new();
    let keys =
        KeyManager::with_parts(common::KG, store.clone(), || at(1), rng(1)).with_directory(MemoryDirectory::new());
    assert!(block_on(keys.revoke(&system(), id(1), RevocationCause::Unused)).is_err());
    let gate = Gate::with_clock(common::KG, store, || at(1));
    assert!(block_on(gate.check("made up", &request("core", call("m1", None)))).is_ok());
}
