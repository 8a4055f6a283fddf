//! A store that others come between, and what is seen of its keys.

use std::{
    cmp,
    collections::HashMap,
    convert::Infallible,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex as Plain,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use keygate::{
    KeyId, KeyRecord, MemoryStore, Status, UnixTime,
    store::{
        Answer, Batch, ChangeFeed, Changes, Conflict, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery,
        Logged, NewKey, Page, Revision, RevokeAll, Touch,
    },
};
use shuttle::{
    future::{block_on, yield_now},
    rand::{Rng, thread_rng},
    thread::{self, ThreadId},
};

pub(crate) type Record = Arc<KeyRecord>;

/// How far a key got.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) exists: bool,
    pub(crate) revoked: bool,
    pub(crate) used: i64,
}

impl Seen {
    pub(crate) fn of(found: Option<&KeyRecord>) -> Self {
        found.map_or(Self::default(), |record| Self {
            exists: true,
            revoked: matches!(record.status(), Status::Revoked { .. }),
            used: record.last_used_at().map_or(0, UnixTime::as_secs),
        })
    }

    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            exists: self.exists || other.exists,
            revoked: self.revoked || other.revoked,
            used: cmp::max(self.used, other.used),
        }
    }

    /// Is at least as far as `other`. An absent key is not known to be revoked, but it opens as little.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.join(other) == self || !self.exists && !other.exists
    }

    /// Without the last use, of which no feed tells.
    pub(crate) fn as_told(self) -> Self {
        Self { used: 0, ..self }
    }
}

/// What a test notes of what happened. Its locks are none of shuttle's: what a test keeps for itself is no step.
#[derive(Default)]
pub(crate) struct Notes {
    /// What each look-up that begins now has to see.
    pub(crate) acknowledged: [Seen; 2],
    /// What was so by which time, after a change that the cache was not told of.
    pub(crate) elsewhere: Vec<(u64, [Seen; 2])>,
    /// What was so when the last step of a thread was made.
    pub(crate) done: HashMap<ThreadId, [Seen; 2]>,
    /// What was acknowledged when the store last answered a thread, and what time it was.
    pub(crate) answered: HashMap<ThreadId, ([Seen; 2], u64)>,
    /// The time.
    pub(crate) now: u64,
}

#[derive(Debug)]
pub(crate) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store is down")
    }
}

impl Error for Down {}

/// How a store fails, before or after it did what it was asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fails {
    AtRandom,
    Never,
    /// The first find, and nothing else.
    Once,
}

/// A store that lets others come between at each step.
pub(crate) struct Slow {
    pub(crate) inner: MemoryStore,
    pub(crate) ids: [KeyId; 2],
    pub(crate) fails: Fails,
    pub(crate) finds: AtomicUsize,
    pub(crate) notes: Plain<Notes>,
    /// Nothing but a step of the model.
    others: shuttle::sync::atomic::AtomicBool,
    history: Plain<History>,
    is_asked_for_changes: AtomicBool,
}

/// Where the history of the store is, which restores change.
#[derive(Clone, Copy, Default)]
struct History {
    life: u8,
    /// The changes that the restored numbers leave out.
    left_out: u64,
    /// The feed says nothing of changes that a known revision does not lead to, instead of "everything". Then only the
    /// revision shows them.
    is_silent: bool,
}

impl Slow {
    pub(crate) fn new(inner: MemoryStore, ids: [KeyId; 2], fails: Fails) -> Self {
        let notes = Plain::default();
        let slow = Self {
            inner,
            ids,
            fails,
            finds: AtomicUsize::new(0),
            notes,
            others: shuttle::sync::atomic::AtomicBool::new(false),
            history: Plain::default(),
            is_asked_for_changes: AtomicBool::new(false),
        };
        slow.notes.lock().unwrap().acknowledged = slow.seen();
        slow
    }

    pub(crate) fn seen(&self) -> [Seen; 2] {
        self.ids.map(|id| Seen::of(sure(block_on(self.inner.find(id))).as_deref()))
    }

    /// Goes on in another life.
    pub(crate) fn restore(&self, goes_back: bool, is_silent: bool) {
        let number = self.inner_revision().number();
        let mut history = self.history.lock().unwrap();
        *history = History { life: history.life + 1, left_out: if goes_back { number } else { 0 }, is_silent };
    }

    /// Goes back to the beginning, in the same life.
    pub(crate) fn go_back(&self) {
        let number = self.inner_revision().number();
        let mut history = self.history.lock().unwrap();
        *history = History { left_out: number, is_silent: true, ..*history };
    }

    fn inner_revision(&self) -> Revision {
        sure(block_on(self.inner.changes_since(None))).revision()
    }

    pub(crate) fn revision(&self) -> Revision {
        let History { life, left_out, .. } = *self.history.lock().unwrap();
        Revision::new([life; 16], self.inner_revision().number() - left_out)
    }

    fn changes(&self, since: Option<Revision>) -> Changes {
        let (revision, history) = (self.revision(), *self.history.lock().unwrap());
        let Some(since) = since else { return Changes::Everything { revision } };
        if !revision.follows(since) {
            return if history.is_silent {
                Changes::Keys { ids: vec![], revision }
            } else {
                Changes::Everything { revision }
            };
        }
        let since = Revision::new(self.inner_revision().life(), since.number() + history.left_out);
        match sure(block_on(self.inner.changes_since(Some(since)))) {
            Changes::Keys { ids, .. } => Changes::Keys { ids, revision },
            Changes::Everything { .. } => Changes::Everything { revision },
        }
    }

    /// Lets others come between: in the middle, so that who goes on stays first, or by giving way, so that a caller
    /// that gives up can do so here.
    async fn pause(&self) {
        if thread_rng().gen_bool(0.5) {
            self.others.load(SeqCst);
        } else {
            yield_now().await;
        }
    }

    async fn step<T>(&self, fails: bool, work: impl Future<Output = Result<T, Infallible>>) -> Result<T, Down> {
        let fails = || fails || self.fails == Fails::AtRandom && thread_rng().gen_bool(0.1);
        self.pause().await;
        if fails() {
            return Err(Down);
        }
        let answer = sure(work.await);
        let (me, seen) = (thread::current().id(), self.seen());
        self.notes.lock().unwrap().done.insert(me, seen);
        self.pause().await;
        let mut notes = self.notes.lock().unwrap();
        let answered = (notes.acknowledged, notes.now);
        notes.answered.insert(me, answered);
        if fails() { Err(Down) } else { Ok(answer) }
    }
}

pub(crate) fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl KeyStore for Slow {
    type Error = Down;

    async fn find(&self, id: KeyId) -> Result<Option<Record>, Down> {
        let is_first = self.finds.fetch_add(1, SeqCst) == 0;
        self.step(is_first && self.fails == Fails::Once, self.inner.find(id)).await
    }
}

impl KeyManagementStore for Slow {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, Down> {
        self.step(false, self.inner.insert(new)).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, Down> {
        self.step(false, self.inner.change(change)).await
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Down> {
        self.step(false, self.inner.touch(touches, now)).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Down> {
        self.step(false, self.inner.list(keys_of, query)).await
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, Down> {
        self.step(false, self.inner.revoke_all(revoke)).await
    }
}

impl ChangeFeed for Slow {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, Down> {
        let _asking = Asking::begin(&self.is_asked_for_changes);
        self.step(false, async { Ok(self.changes(since)) }).await
    }
}

/// Held while the feed is asked, also by a tick that is dropped.
struct Asking<'a>(&'a AtomicBool);

impl<'a> Asking<'a> {
    fn begin(is_asking: &'a AtomicBool) -> Self {
        assert!(!is_asking.swap(true, SeqCst), "two ticks at once");
        Self(is_asking)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}
