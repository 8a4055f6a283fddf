//! What runs the library under shuttle, which decides which thread goes on at each lock, counter and channel.
//!
//! The cache and the bounded sink use what synchronizes threads in the standard library, so their sources are compiled
//! here once more, with this crate in the place of `core` and `std`: all that they take from them is below, with
//! shuttle's locks, counters and channels. `quick_cache`, which the cache uses, has a feature that builds it in this
//! way.

extern crate alloc;
extern crate core as real_core;
extern crate self as core;
extern crate self as std;
extern crate std as real_std;

pub use real_core::{error, fmt, future, iter, mem, option};
pub use real_std::collections;

pub mod sync {
    pub use real_std::sync::PoisonError;
    pub use shuttle::sync::*;
}

pub mod time {
    pub use keygate::UnixTime;
    pub use real_core::time::Duration;
    pub use real_std::time::Instant;
}

mod record {
    pub(crate) use keygate::{KeyRecord, store::SecretSlot};
}

use keygate as id;
use keygate::{Authorization, audit, store};

#[path = "../../../src/cache.rs"]
pub mod cache;
#[path = "../../../src/sink/channel.rs"]
pub mod channel;

/// The library's own, which is open to additions outside it: then the sink's `match` would not compile here.
#[derive(Debug)]
pub enum Message<'a> {
    Allowed(&'a Authorization),
    Event(audit::Event),
    Failed(&'a (dyn error::Error + 'static)),
    Stranger(audit::Event),
    Touch(store::Touch),
}

/// The library's own, of that message.
pub trait AuditSink: Send + Sync {
    fn tell(&self, message: Message<'_>);
}

use real_std::{env, println, str::FromStr, sync::Arc};
use shuttle::{
    Config, Runner,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler},
};

/// Tries a test in many orders: `MODEL_SCHEDULES` of them, the same ones for the same `MODEL_SEED`.
///
/// Half of them are random. The others go by priorities, which change at three places (PCT): mistakes that take few
/// switches at just the right places come up more often this way.
pub fn sample(name: &str, test: impl Fn() + Send + Sync + 'static) {
    let half = variable("MODEL_SCHEDULES", 1000_usize).div_ceil(2);
    let seed = variable("MODEL_SEED", 1);
    let test = Arc::new(test);
    let tried = run(RandomScheduler::new_from_seed(seed, half), test.clone())
        + run(PctScheduler::new_from_seed(seed, 3, half), test);
    println!("model: {name}: {tried} schedules");
}

/// Tries a test in every order there is.
pub fn exhaust(name: &str, test: impl Fn() + Send + Sync + 'static) {
    let tried = run(DfsScheduler::new(None, false), Arc::new(test));
    println!("model: {name}: all {tried} schedules");
}

fn run(scheduler: impl Scheduler + 'static, test: Arc<impl Fn() + Send + Sync + 'static>) -> usize {
    let mut config = Config::new();
    // Assertions that fail need more than the default.
    config.stack_size = 1 << 18;
    // What shuttle does not model is said in docs/assurance.md: every atomic operation is sequentially consistent.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || test())
}

fn variable<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
