//! The future of both layers: a check, and then the inner service.

use alloc::boxed::Box;
use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::http::{Request, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

/// A request's parts go in, and come back unless it is refused.
type Check<R> = Pin<Box<dyn Future<Output = Result<Parts, R>> + Send>>;

pin_project! {
    /// The response future of [`Authenticate`](super::Authenticate) and [`Authorize`](super::Authorize).
    ///
    /// Like other futures it is not to be polled again after it is ready.
    pub struct ResponseFuture<I, B>
    where
        I: Service<Request<B>>,
    {
        #[pin]
        state: State<I, B, I::Future, I::Response>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<I, B, F, R> {
        Checking { check: Check<R>, body: Option<B>, inner: I },
        Inner { #[pin] future: F },
        Refused,
    }
}

impl<I: Service<Request<B>> + Clone, B> ResponseFuture<I, B> {
    /// Checks in front of `inner`, which was polled ready.
    pub(crate) fn new(
        check: impl Future<Output = Result<Parts, I::Response>> + Send + 'static,
        body: B,
        inner: &mut I,
    ) -> Self {
        // The clone stays with the caller. The one that was polled ready goes with the request: it is called, or
        // dropped with the place that it holds.
        let clone = inner.clone();
        let inner = mem::replace(inner, clone);
        Self { state: State::Checking { check: Box::pin(check), body: Some(body), inner } }
    }
}

impl<I: Service<Request<B>>, B> Future for ResponseFuture<I, B> {
    type Output = Result<I::Response, I::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                Projected::Inner { future } => return future.poll(context),
                Projected::Checking { check, body, inner } => match (ready!(check.as_mut().poll(context)), body.take())
                {
                    (Ok(parts), Some(body)) => {
                        let future = inner.call(Request::from_parts(parts, body));
                        state.set(State::Inner { future });
                    }
                    (Err(answer), _) => {
                        state.set(State::Refused);
                        return Poll::Ready(Ok(answer));
                    }
                    // The body leaves only together with this state.
                    (Ok(_), None) => state.set(State::Refused),
                },
                Projected::Refused => return Poll::Pending,
            }
        }
    }
}
