//! The future of both layers: a check, and then the inner service.

use alloc::{boxed::Box, string::String};
use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use ::http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

/// A check of a request: its parts go in, and come back unless it is refused.
pub(crate) type Check = Pin<Box<dyn Future<Output = Result<Parts, Response<String>>> + Send>>;

pin_project! {
    /// The response future of [`Authenticate`](super::Authenticate) and [`Authorize`](super::Authorize).
    ///
    /// The check begins with `call`, before this future is polled: poll it or drop it soon. Parked, it may hold what a
    /// look-up holds, such as a connection, or the place in a cache for which others wait. Like other futures it is not
    /// to be polled again after it is ready.
    pub struct Checked<I, B>
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
        Refused { reply: Option<Response<String>> },
    }
}

impl<I: Service<Request<B>> + Clone, B> Checked<I, B> {
    /// Starts a check in front of `inner`, which was polled ready.
    ///
    /// Most checks need not wait: the key is in memory. So the check is polled at once, and only if it has to wait is the
    /// inner service cloned, since it is needed later then. That poll wakes nobody: whoever polls this future polls the
    /// check again, with a waker of their own.
    pub(crate) fn begin(mut check: Check, body: B, inner: &mut I) -> Self {
        let state = match check.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(parts)) => State::Inner { future: inner.call(Request::from_parts(parts, body)) },
            Poll::Ready(Err(reply)) => State::Refused { reply: Some(reply) },
            Poll::Pending => {
                // The clone stays with the caller; the one that was polled ready goes with the request.
                let clone = inner.clone();
                State::Checking { check, body: Some(body), inner: mem::replace(inner, clone) }
            }
        };
        Self { state }
    }
}

impl<I, B, ResponseBody> Future for Checked<I, B>
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
                    return reply.take().map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply.map(ResponseBody::from))));
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
