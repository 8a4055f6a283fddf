//! What threads share: a million records. Each thread parses, looks up in a map that nobody changes, verifies and
//! decides: what the library adds to a store, without the store's lock.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    hint::black_box,
    num::NonZeroUsize,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use keygate::{KeyId, KeyRecord, MemoryStore, Request, policy::decide, stages::AcceptedKeys, store::KeyStore as _};
use keygate_bench_instructions::scenario::{self, KG, NOW, ready};
use nix::time::{ClockId, clock_gettime};

use crate::at_least;

type Records = HashMap<KeyId, Arc<KeyRecord>>;

const KEYS: usize = 1_000_000;
/// As many undisturbed rounds are enough, and so many are tried to get them.
const ENOUGH: usize = 100;
const ROUNDS: usize = 3000;
/// The median of fewer says nothing.
const FEWEST: usize = 20;
/// Short, so that some rounds are not disturbed even where much else runs.
const ROUND: Duration = Duration::from_millis(5);
/// A round in which a thread ran for less of the time than this was disturbed, and does not count.
const UNDISTURBED: f64 = 0.97;

pub fn bars() -> Result<(), Box<dyn Error>> {
    let mut tokens = Vec::with_capacity(KEYS);
    let (shared, resident) = (MemoryStore::new(), resident_bytes()?);
    let stored = measure(|| fill(&shared, &mut tokens, KEYS));
    let texts: usize = tokens.iter().map(String::capacity).sum();
    // The tokens themselves, and what the allocator puts around each.
    let beside = texts + (16 + size_of::<String>()) * KEYS;
    let resident = resident_bytes()?.saturating_sub(resident + beside);
    println!("    bytes of memory for each of a million keys without model list: {:.0}", resident as f64 / KEYS as f64);
    let asked = (stored.bytes_current as f64 - texts as f64) / KEYS as f64;
    println!("    of these asked of the allocator: {asked:.0}");

    let records = records(&shared, &tokens);
    let (one, ones) = throughput(&[(&records, &tokens)]);
    let (two, twos) = throughput(&[(&records, &tokens), (&records, &tokens)]);
    println!("    undisturbed rounds: {ones} with one thread, {twos} with two");
    let (Some(one), Some(two)) = (one, two) else {
        println!("    too much else runs here, or there is one core: nothing can be said of two threads");
        return Ok(());
    };
    println!("    verified and decided in a second: {one:.0} by one thread, {two:.0} by two");
    at_least("verified and decided by two threads to by one", two / one, 1.9);
    Ok(())
}

/// The records of the tokens, as a store shares them.
fn records(store: &MemoryStore, tokens: &[String]) -> Records {
    let id = |token: &String| AcceptedKeys::new(KG).parse(token).unwrap().id();
    tokens.iter().map(id).map(|id| (id, ready(store.find(id)).unwrap().unwrap())).collect()
}

/// Adds keys, and the texts of their tokens.
pub fn fill(store: &MemoryStore, tokens: &mut Vec<String>, keys: usize) {
    tokens.extend((0..keys).map(|number| scenario::stored_unrestricted(store, number).expose_secret().to_owned()));
}

/// Prints nanoseconds for one request by the number of threads that make them.
pub fn grow() {
    let (store, mut tokens) = (MemoryStore::new(), Vec::new());
    fill(&store, &mut tokens, KEYS);
    let records = records(&store, &tokens);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    for threads in 1..=cores {
        if let (Some(throughput), _) = throughput(&vec![(&records, &tokens[..]); threads]) {
            println!("verify and decide: threads over a million keys,{threads},{:.2}", 1e9 / throughput);
        }
    }
}

/// Requests in a second of all threads together, each for keys all over the map: the median of the rounds in which
/// every thread had a core for itself.
///
/// And how many rounds these were.
fn throughput(threads: &[(&Records, &[String])]) -> (Option<f64>, usize) {
    let rounds = (0..ROUNDS).filter_map(|round| throughput_once(threads, round));
    let mut rounds: Vec<_> = rounds.take(ENOUGH).collect();
    rounds.sort_by(f64::total_cmp);
    (rounds.get(rounds.len() / 2).copied().filter(|_| rounds.len() >= FEWEST), rounds.len())
}

fn throughput_once(threads: &[(&Records, &[String])], round: usize) -> Option<f64> {
    let (stop, start, request) = (AtomicBool::new(false), Barrier::new(threads.len() + 1), scenario::call(0));
    thread::scope(|scope| {
        let workers: Vec<_> = (threads.iter().enumerate())
            .map(|(number, (records, tokens))| {
                let (stop, start, request) = (&stop, &start, &request);
                let place = (round * 7_919 + number * 104_729) % tokens.len();
                scope.spawn(move || {
                    start.wait();
                    let (wall, cpu) = (Instant::now(), cpu_seconds());
                    let requests = work(records, tokens, request, place, stop);
                    let wall = wall.elapsed().as_secs_f64();
                    (cpu_seconds() - cpu > UNDISTURBED * wall).then_some(requests as f64 / wall)
                })
            })
            .collect();
        start.wait();
        thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn work(records: &Records, tokens: &[String], request: &Request, mut place: usize, stop: &AtomicBool) -> u64 {
    let (keys, mut requests) = (AcceptedKeys::new(KG), 0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            // A step without a common divisor with the number of keys: each is visited, far from the last.
            place = (place + 611_953) % tokens.len();
            let presented = keys.parse(black_box(&tokens[place])).unwrap();
            let key = presented.verify(records.get(&presented.id()).cloned(), NOW).unwrap();
            assert!(decide(&key, None, request, NOW).is_allowed());
            requests += 1;
        }
    }
    requests
}

/// For how long this thread has run.
fn cpu_seconds() -> f64 {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap()).as_secs_f64()
}

/// What the process holds of the machine's memory.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
