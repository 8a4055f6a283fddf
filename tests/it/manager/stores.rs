//! Stores and directories around those in memory: what happens before and after each call is the test's.

use core::{
    future::{Future, poll_fn},
    task::Poll,
};

use keygate::{
    Membership, MemoryDirectory, TeamId, UserId, UserStatus,
    store::{Batch, Directory, KeyChange, Logged, NewKey, NotLogged, RevokeAll},
};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("down")]
pub(crate) struct Down;

/// What is done around each call.
pub(crate) trait Around: Clone + Send + Sync {
    fn before(&self, operation: &'static str) -> impl Future<Output = Result<(), Down>> + Send;
    fn after(&self) -> impl Future<Output = ()> + Send;
}

/// Each call waits before it does something, and before it answers.
#[derive(Clone, Copy)]
pub(crate) struct Yields;

impl Around for Yields {
    async fn before(&self, _: &'static str) -> Result<(), Down> {
        yield_once().await;
        Ok(())
    }

    async fn after(&self) {
        yield_once().await;
    }
}

async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Calls a function before each call, which may fail it.
#[derive(Clone)]
pub(crate) struct Hook<F>(pub(crate) F);

impl<F: Fn(&'static str) -> Result<(), Down> + Clone + Send + Sync> Around for Hook<F> {
    async fn before(&self, operation: &'static str) -> Result<(), Down> {
        (self.0)(operation)
    }

    async fn after(&self) {}
}

#[derive(Clone)]
pub(crate) struct Wrapped<T, A>(pub(crate) T, pub(crate) A);

impl<T, A: Around> Wrapped<T, A> {
    async fn around<R: Send>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<R, Infallible>> + Send,
    ) -> Result<R, Down> {
        self.1.before(operation).await?;
        let answer = match call.await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        self.1.after().await;
        Ok(answer)
    }
}

impl<A: Around> KeyStore for Wrapped<MemoryStore, A> {
    type Error = Down;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Down> {
        self.around("find", self.0.find(id)).await
    }
}

impl<A: Around> KeyManagementStore for Wrapped<MemoryStore, A> {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, Down> {
        self.around("insert", self.0.insert(new)).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, Down> {
        self.around("change", self.0.change(change)).await
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Down> {
        self.around("touch", self.0.touch(touches, now)).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Down> {
        self.around("list", self.0.list(keys_of, query)).await
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, Down> {
        self.around("revoke_all", self.0.revoke_all(revoke)).await
    }
}

impl<A: Around> Directory for Wrapped<MemoryDirectory, A> {
    type Error = Down;

    async fn user(&self, user: &UserId) -> Result<UserStatus, Down> {
        self.around("user", self.0.user(user)).await
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, Down> {
        self.around("membership", self.0.membership(user, team)).await
    }
}

/// A store that keeps no log: it hands back what its inner one logged.
#[derive(Clone)]
pub(crate) struct Unlogged(pub(crate) MemoryStore);

impl Unlogged {
    fn last(&self, count: usize) -> NotLogged {
        let mut events = self.0.events();
        NotLogged(events.split_off(events.len() - count))
    }
}

impl KeyStore for Unlogged {
    type Error = Infallible;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(id).await
    }
}

impl KeyManagementStore for Unlogged {
    type Receipt = NotLogged;

    async fn insert(&self, new: NewKey) -> Result<Result<NotLogged, Conflict>, Infallible> {
        Ok(self.0.insert(new).await?.map(|Logged| self.last(1)))
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<NotLogged>, Infallible> {
        Ok(match self.0.change(change).await? {
            Answer::Changed(Logged) => Answer::Changed(self.last(1)),
            Answer::Refused(conflict) => Answer::Refused(conflict),
            Answer::Unchanged(record) => Answer::Unchanged(record),
        })
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Infallible> {
        self.0.touch(touches, now).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Infallible> {
        self.0.list(keys_of, query).await
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<NotLogged>, Infallible> {
        let batch = self.0.revoke_all(revoke).await?;
        let receipt = self.last(batch.ids.len());
        Ok(Batch::new(batch.ids, batch.has_more, receipt))
    }
}
