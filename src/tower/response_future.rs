//! The future of both layers: a check, and then the inner service.

use alloc::{boxed::Box, string::String};
use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Reply;

/// A check that has to wait: a request's parts go in, and come back unless it is refused.
pub(crate) type Check = Pin<Box<dyn Future<Output = Result<Parts, Reply>> + Send>>;

pin_project! {
    /// The response future of [`Authenticate`](super::Authenticate) and [`Authorize`](super::Authorize).
    ///
    /// Like other futures it is not to be polled again after it is ready.
    pub struct ResponseFuture<I, B>
    where
        I: Service<Request<B>>,
    {
        #[pin]
        state: State<I, B, I::Future>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<I, B, F> {
        Checking { check: Check, body: Option<B>, inner: I },
        Inner { #[pin] future: F },
        Refused { reply: Option<Reply> },
    }
}

impl<I: Service<Request<B>> + Clone, B> ResponseFuture<I, B> {
    /// Goes on with `inner`, which was polled ready, unless the check refused.
    pub(crate) fn done(check: Result<(), Reply>, parts: Parts, body: B, inner: &mut I) -> Self {
        let state = match check {
            Ok(()) => State::Inner { future: inner.call(Request::from_parts(parts, body)) },
            Err(reply) => State::Refused { reply: Some(reply) },
        };
        Self { state }
    }

    /// Waits for a check in front of `inner`, which was polled ready.
    pub(crate) fn later(check: Check, body: B, inner: &mut I) -> Self {
        // The clone stays with the caller; the one that was polled ready goes with the request.
        let clone = inner.clone();
        Self { state: State::Checking { check, body: Some(body), inner: mem::replace(inner, clone) } }
    }
}

impl<I, B, ResponseBody> Future for ResponseFuture<I, B>
where
    I: Service<Request<B>, Response = Response<ResponseBody>>,
    ResponseBody: From<String>,
{
    type Output = Result<I::Response, I::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Projected::Inner { future } => return future.poll(context),
                Projected::Refused { reply } => {
                    return reply
                        .take()
                        .map_or(Poll::Pending, |reply| Poll::Ready(Ok((*reply).map(ResponseBody::from))));
                }
                Projected::Checking { check, body, inner } => match (ready!(check.as_mut().poll(context)), body.take())
                {
                    (Ok(parts), Some(body)) => State::Inner { future: inner.call(Request::from_parts(parts, body)) },
                    (Err(reply), _) => State::Refused { reply: Some(reply) },
                    // The body leaves only together with this state.
                    (Ok(_), None) => State::Refused { reply: None },
                },
            };
            state.set(next);
        }
    }
}
