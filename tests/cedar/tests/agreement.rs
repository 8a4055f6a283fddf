//! Both engines say the same, with the same reason; and a rule that is left out shows.
//!
//! `CEDAR_CASES` is the number of random cases, 10,000 where nothing is said, and `CEDAR_SEED` chooses others.

use std::{env, fmt::Debug, thread};

use keygate_cedar::{
    cedar::Rules,
    library,
    world::{Outcome, Random, all_managements, all_uses},
};

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Compares case by case, and returns how many there were and how many of them were allowed.
fn agree<C: Debug>(
    cases: impl Iterator<Item = C>,
    library: impl Fn(&C) -> Outcome,
    cedar: impl Fn(&C) -> Outcome,
) -> (u64, u64) {
    let (mut count, mut allowed) = (0, 0);
    for case in cases {
        let outcome = library(&case);
        assert_eq!(outcome, cedar(&case), "keygate on the left, Cedar on the right: {case:?}");
        count += 1;
        allowed += u64::from(outcome.is_ok());
    }
    (count, allowed)
}

#[test]
fn cedar_finds_no_fault_with_the_policies() {
    assert_eq!(Rules::decide().faults(), Vec::<String>::new());
    assert_eq!(Rules::manage().faults(), Vec::<String>::new());
}

#[test]
fn all_uses_of_the_small_world_agree() {
    let rules = Rules::decide();
    let (count, allowed) = agree(all_uses(), library::use_of, |case| rules.use_of(case));
    println!("cedar: {count} uses of the small world agree, {allowed} are allowed");
    assert!(count > 50_000 && allowed > 500);
}

#[test]
fn all_managements_of_the_small_world_agree() {
    let rules = Rules::manage();
    let (count, allowed) = agree(all_managements(), library::management, |case| rules.management(case));
    println!("cedar: {count} managements of the small world agree, {allowed} are allowed");
    assert!(count > 50_000 && allowed > 500);
}

#[test]
fn random_cases_agree() {
    let (cases, seed) = (number("CEDAR_CASES", 10_000), number("CEDAR_SEED", 1));
    let threads = 2;
    let (mut count, mut allowed) = (0, 0);
    thread::scope(|scope| {
        let share = |thread| {
            let part = usize::try_from(cases / threads / 2).expect("not that many");
            move || {
                let (decide, manage) = (Rules::decide(), Rules::manage());
                let mut random = Random::new(seed * threads + thread);
                let uses = agree(random.uses().take(part), library::use_of, |case| decide.use_of(case));
                let managements =
                    agree(random.managements().take(part), library::management, |case| manage.management(case));
                (uses.0 + managements.0, uses.1 + managements.1)
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(share(thread))).collect();
        for one in running {
            let (counted, were_allowed) = one.join().expect("they agree");
            count += counted;
            allowed += were_allowed;
        }
    });
    println!("cedar: {count} random cases agree, {allowed} are allowed (seed {seed})");
    // Neither all nor nothing is allowed: what always says one thing would not do.
    assert!(count == cases / 4 * 4 && allowed > count / 20 && allowed < count / 2);
}

/// The control: leave a rule out, and the comparison finds a case that tells.
#[test]
fn no_policy_can_be_left_out() {
    const ENOUGH: usize = 50_000;
    for (policy, rules) in Rules::decide().each_without_one() {
        let differs = Random::new(2).uses().take(ENOUGH).any(|case| library::use_of(&case) != rules.use_of(&case));
        assert!(differs, "nobody misses this policy: {policy}");
    }
    for (policy, rules) in Rules::manage().each_without_one() {
        let mut random = Random::new(2);
        let mut cases = random.managements().take(ENOUGH);
        assert!(
            cases.any(|case| library::management(&case) != rules.management(&case)),
            "nobody misses this policy: {policy}"
        );
    }
}
