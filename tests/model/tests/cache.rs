//! The cache over a store that is slow, that fails, and that others change: what it answers is what it promises.
//!
//! All changes to a key go in one direction here: it is created, used later and later, and revoked. So an answer is
//! right if it is between what had to be seen when it was asked for, when the store gave it or when it was decided, and
//! what was so in the end.

#[path = "cache/slow.rs"]
mod slow;
#[path = "cache/world.rs"]
mod world;

use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use keygate::store::KeyLookup;
use keygate_model::sample;
use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::Arc,
    thread,
};

use slow::Fails;
use world::{BOUND, Setup, World};

/// What a thread does.
type Work = fn(&World);

/// Does different things at once; each is done by a thread.
fn together(world: World, works: &[Work]) -> Arc<World> {
    let world = Arc::new(world);
    let start = |work: &Work| {
        let (world, work) = (world.clone(), *work);
        thread::spawn(move || work(&world))
    };
    for running in works.iter().map(start).collect::<Vec<_>>() {
        running.join().unwrap();
    }
    world
}

/// What came of it is found at once, or after the bound where others made it; and nobody holds a place for ever.
fn look_at_the_end(world: &World) {
    for _ in 0..=BOUND {
        world.find(0);
        world.find(1);
        world.advance();
    }
}

fn at_random(is_ticked: bool) -> Setup {
    let mut rng = thread_rng();
    Setup {
        stored: rng.gen_range(0..=2),
        places: if rng.gen_bool(0.5) { 1 } else { 100 },
        fails: if rng.gen_bool(0.5) { Fails::AtRandom } else { Fails::Never },
        // The lease is longer than the second between two looks, or shorter.
        unit: Duration::from_millis(if rng.gen_bool(0.5) { 1000 } else { 250 }),
        is_ticked,
    }
}

#[test]
fn no_answer_is_older_than_what_was_promised() {
    let act: Work = |world| (0..4).for_each(|_| world.act());
    for is_ticked in [false, true] {
        let name = if is_ticked { "cache, with ticks" } else { "cache, without ticks" };
        sample(name, move || {
            let world = if is_ticked { at_random(true).known() } else { at_random(false).build() };
            look_at_the_end(&together(world, &[act; 3]));
        });
    }
}

const FIND: Work = |world| (0..2).for_each(|_| world.find(0));

const LOOK: Work = |world| {
    world.look_again(world.found_before.as_ref().unwrap(), false);
    world.find(0);
};

/// The lease: what others did is seen after the bound, with ticks in between or without.
#[test]
fn what_others_changed_is_seen_after_the_bound() {
    let change: Work = |world| {
        world.revoke_elsewhere(0);
        (0..BOUND).for_each(|_| world.advance());
    };
    sample("cache, the bound of loads", move || {
        let world = together(Setup { is_ticked: false, ..Setup::ONE_KEY }.build(), &[change, FIND, FIND]);
        world.find(0);
    });
    for milliseconds in [1000, 250] {
        sample(&format!("cache, the bound of looks, {milliseconds} ms a tick"), move || {
            let unit = Duration::from_millis(milliseconds);
            together(Setup { unit, ..Setup::ONE_KEY }.known(), &[change, FIND, LOOK]).find(0);
        });
    }
}

/// A tick confirms what is left when it has forgotten what changed, as of before its question. What was read out of the
/// cache before that is not confirmed by it.
#[test]
fn a_tick_confirms_nothing_that_it_forgot() {
    let change: Work = |world| {
        world.revoke_elsewhere(0);
        world.advance();
        world.tick();
        world.advance();
    };
    sample("cache, confirmed while it is read", move || {
        together(Setup::ONE_KEY.known(), &[change, FIND]);
    });
    sample("cache, confirmed while it is looked at", move || {
        let unit = Duration::from_millis(250);
        let world = Setup { unit, ..Setup::ONE_KEY }.known();
        LOOK(&world);
        together(world, &[change, LOOK, LOOK]);
    });
    sample("cache, confirmed while it is waited for", move || {
        let world = Setup::ONE_KEY.known();
        world.cached.forget(world.store.ids[0]);
        together(world, &[change, FIND, FIND]);
    });
}

#[test]
fn a_tick_confirms_as_of_before_its_question() {
    let tick: Work = |world| {
        world.tick();
        world.find(0);
    };
    let change: Work = |world| {
        world.revoke_elsewhere(0);
        (0..BOUND).for_each(|_| world.advance());
    };
    sample("cache, a tick that takes long", move || {
        together(Setup::ONE_KEY.known(), &[tick, change, FIND]).find(0);
    });
    let change: Work = |world| {
        world.revoke_elsewhere(0);
        world.advance();
        world.tick();
    };
    sample("cache, a tick that forgets", move || {
        together(Setup::ONE_KEY.known(), &[change, |world| world.advance(), FIND]);
    });
}

/// When a tick that told of a revocation is over, nobody finds the key active: not in what is remembered, and not by a
/// load or a second look that began before.
#[test]
fn what_a_tick_told_is_seen_by_loads_and_looks() {
    let change: Work = |world| {
        world.revoke_elsewhere(0);
        world.tick();
        world.find(0);
    };
    sample("cache, a tick against loads", move || {
        let world = Setup::ONE_KEY.known();
        world.cached.forget(world.store.ids[0]);
        together(world, &[change, FIND, FIND]);
    });
    sample("cache, a first tick against loads", move || {
        together(Setup::ONE_KEY.build(), &[change, FIND, FIND]);
    });
    sample("cache, a tick against looks", move || {
        together(Setup::ONE_KEY.known(), &[change, LOOK, LOOK]);
    });
    sample("cache, a tick against a load and a look", move || {
        together(Setup::ONE_KEY.known(), &[change, LOOK, FIND]);
    });
}

/// The same of a change through the cache, also where its caller gives up.
#[test]
fn what_was_changed_here_is_seen_by_loads_and_looks() {
    let change: Work = |world| {
        world.revoke(0);
        world.find(0);
    };
    sample("cache, a change against a load and a look", move || {
        together(Setup::ONE_KEY.known(), &[change, LOOK, FIND]);
    });
    sample("cache, a change against those who waited for a failure", move || {
        together(Setup { fails: Fails::Once, ..Setup::ONE_KEY }.build(), &[change, FIND, FIND]);
    });
    let empty: Work = |world| {
        world.revoke_elsewhere(0);
        world.forget_everything();
        world.find(0);
    };
    sample("cache, emptied against a load and a look", move || {
        together(Setup::ONE_KEY.known(), &[empty, LOOK, FIND]);
    });
}

/// One asks, and the other returns. One that is dropped lets the next one ask.
#[test]
fn one_tick_runs_at_a_time() {
    let tick: Work = |world| {
        world.tick();
        world.find(0);
    };
    let change: Work = |world| {
        world.revoke_elsewhere(0);
        world.tick_and_give_up();
        world.tick();
    };
    sample("cache, three ticks", move || {
        let world = together(Setup::ONE_KEY.known(), &[tick, tick, change]);
        world.tick();
        assert_eq!(world.cached.revision(), Some(world.store.revision()), "no tick ran");
        world.find(0);
    });
}

/// The store goes on in another life, in which the key is revoked, and in which nothing is told of before; or it goes
/// back.
#[test]
fn a_restore_empties_the_cache() {
    let tick: Work = |world| {
        world.tick();
        world.find(0);
    };
    let restores: [(&str, Work); 3] = [
        ("goes on in another life", |world| {
            world.revoke_elsewhere(0);
            world.store.restore(false, true);
        }),
        ("begins another life", |world| {
            world.revoke_elsewhere(0);
            world.store.restore(true, true);
        }),
        ("goes back", |world| {
            world.revoke_elsewhere(0);
            world.store.go_back();
        }),
    ];
    for (what, restore) in restores {
        sample(&format!("cache, a store that {what}"), move || {
            let world = together(Setup::ONE_KEY.known(), &[restore, tick, FIND]);
            world.tick();
            world.find(0);
        });
    }
}

#[test]
fn who_comes_during_a_look_up_waits_for_it() {
    let find: Work = |world| world.find(0);
    for stored in [0, 1] {
        sample(&format!("cache, one look-up of {stored} keys"), move || {
            let world = together(Setup { stored, ..Setup::ONE_KEY }.build(), &[find; 3]);
            assert_eq!(world.store.finds.load(SeqCst), 1, "more than one look-up");
        });
    }
}

#[test]
fn who_waited_for_a_look_up_that_failed_asks_alone() {
    sample("cache, a look-up that fails", || {
        static FAILED: AtomicUsize = AtomicUsize::new(0);
        FAILED.store(0, SeqCst);
        let find: Work = |world| {
            if block_on(world.cached.look_up(world.store.ids[0])).is_err() {
                FAILED.fetch_add(1, SeqCst);
            }
        };
        together(Setup { fails: Fails::Once, ..Setup::ONE_KEY }.build(), &[find; 3]);
        assert_eq!(FAILED.load(SeqCst), 1, "one failed, and the others ask by themselves");
    });
}

/// At most one look in a second, also where the last one is older than that.
#[test]
fn who_looks_again_at_the_same_time_shares_the_look() {
    let look: Work = |world| world.look_again(world.found_before.as_ref().unwrap(), false);
    for looked_before in [false, true] {
        let name = if looked_before { "cache, one look after another" } else { "cache, one look" };
        sample(name, move || {
            let world = Setup::ONE_KEY.known();
            if looked_before {
                look(&world);
                world.advance_by(Duration::from_secs(1));
            }
            let before = world.store.finds.load(SeqCst);
            let world = together(world, &[look; 3]);
            assert_eq!(world.store.finds.load(SeqCst), before + 1, "more than one look");
        });
    }
}
