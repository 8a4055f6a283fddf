//! Look-ups of which each asks for another model than the last, so that caches of the processor help little.

use std::{collections::HashSet, hint::black_box};

use keygate::{ModelId, Request, policy::decide};
use keygate_bench_instructions::{
    Work,
    scenario::{self, NOW},
};

/// As many requests whatever the key holds, so that only what the key holds makes the difference.
fn requests(size: u32) -> Vec<Request> {
    (0..1024_u32).map(|number| scenario::call(number * 611_953 % size)).collect()
}

pub fn decision(size: u32) -> Work {
    let (key, requests, mut place) = (scenario::key(scenario::caller_of(size)), requests(size), 0);
    Box::new(move || {
        place = (place + 1) % requests.len();
        assert!(decide(black_box(&key), None, &requests[place], NOW).is_allowed());
    })
}

/// The standard library's set of the same ids, and nothing around it.
pub fn hash_set(size: u32) -> Work {
    let set: HashSet<ModelId> = (0..size).map(scenario::model).collect();
    let (requests, mut place) = (requests(size), 0);
    Box::new(move || {
        place = (place + 1) % requests.len();
        assert!(black_box(&set).contains(requests[place].action.model().unwrap()));
    })
}
