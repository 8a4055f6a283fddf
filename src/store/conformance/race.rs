//! Running tasks at the same time, on any executor.

use alloc::{boxed::Box, sync::Arc, task::Wake, vec::Vec};
use core::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::{
    sync::{Mutex, PoisonError, RwLock},
    thread,
};

/// A part of a race: a few operations on the store, one after the other.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks at once: on several threads, or at least by turns at each point where one waits.
///
/// See the [module](super) for one on tokio.
///
/// ```
/// use keygate::store::conformance::{Race, Task};
///
/// /// One after the other: legal, and finds no race.
/// struct Queue;
///
/// impl Race for Queue {
///     async fn race(&self, tasks: Vec<Task>) {
///         for task in tasks {
///             task.await;
///         }
///     }
/// }
/// ```
pub trait Race: Send + Sync {
    /// Starts all tasks, and returns when all of them have ended and are dropped.
    ///
    /// A task that panicked has ended, too: the suite finds its result missing and reports that.
    fn race(&self, tasks: Vec<Task>) -> impl Future<Output = ()> + Send;
}

/// [`Race`] without its type, so that the checks need no parameter.
pub(super) trait ObjectRace: Send + Sync {
    fn race_boxed(&self, tasks: Vec<Task>) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<R: Race> ObjectRace for R {
    fn race_boxed(&self, tasks: Vec<Task>) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.race(tasks))
    }
}

/// A thread for each task, all set off together; for stores that need no runtime of their own.
///
/// The caller's thread is not blocked while they run.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
/// use keygate::store::conformance::{Race, Task, Threads};
///
/// let sum = Arc::new(AtomicUsize::new(0));
/// let tasks = (1..=4).map(|number| {
///     let sum = Arc::clone(&sum);
///     Box::pin(async move { sum.fetch_add(number, Ordering::Relaxed); }) as Task
/// });
/// pollster::block_on(Threads.race(tasks.collect()));
/// assert_eq!(sum.load(Ordering::Relaxed), 10);
/// ```
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a name for a way to run, without content")]
pub struct Threads;

impl Race for Threads {
    async fn race(&self, tasks: Vec<Task>) {
        let runners = set_off(tasks);
        poll_fn(|context| runners.poll_finished(context)).await;
    }
}

fn set_off(tasks: Vec<Task>) -> Arc<Runners> {
    let runners = Arc::new(Runners::default());
    // Not a `Barrier`: that would wait for ever for a thread that could not be spawned.
    let start = runners.start.write().unwrap_or_else(PoisonError::into_inner);
    for task in tasks {
        let runner = Runner::of(&runners);
        // If there is no thread to be had, task and runner are dropped: the result is missing, which is reported.
        let _ = thread::Builder::new().spawn(move || {
            drop(runner.0.start.read());
            block_on(task);
            drop(runner);
        });
    }
    drop(start);
    runners
}

#[derive(Default)]
struct Runners {
    // Held for writing until all threads exist, so that none starts before.
    start: RwLock<()>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    count: usize,
    waker: Option<Waker>,
}

impl Runners {
    fn update<T>(&self, change: impl FnOnce(&mut Running) -> T) -> T {
        change(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn poll_finished(&self, context: &Context<'_>) -> Poll<()> {
        self.update(|running| {
            if running.count == 0 {
                return Poll::Ready(());
            }
            running.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

/// Counts as running until it is dropped, be it by a panic.
struct Runner(Arc<Runners>);

impl Runner {
    fn of(runners: &Arc<Runners>) -> Self {
        runners.update(|running| running.count = running.count.saturating_add(1));
        Self(Arc::clone(runners))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let waker = self.0.update(|running| {
            running.count = running.count.saturating_sub(1);
            if running.count == 0 { running.waker.take() } else { None }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn block_on(mut task: Task) {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    while task.as_mut().poll(&mut context).is_pending() {
        thread::park();
    }
}
