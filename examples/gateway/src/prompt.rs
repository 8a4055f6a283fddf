//! Connections that say nothing are ended.
//!
//! The limit for the head of a request begins with the head. Before it, the server waits for as many bytes as tell HTTP/1
//! from HTTP/2, and that without a limit of its own.

use core::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::io;

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Accepts as another acceptor does, and gives each connection a time to begin.
#[derive(Clone, Debug)]
pub(crate) struct Prompt<A> {
    pub(crate) inner: A,
    pub(crate) limit: Duration,
}

impl<I, S, A> Accept<I, S> for Prompt<A>
where
    A: Accept<I, S, Future: Send + 'static>,
{
    type Stream = Prompted<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, A::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepted, limit) = (self.inner.accept(stream, service), self.limit);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Prompted { stream, limit: Some(Box::pin(sleep(limit))), matched: 0 }, service))
        })
    }
}

/// A connection that has a limit until it is clear which HTTP it speaks.
pub(crate) struct Prompted<S> {
    stream: S,
    limit: Option<Pin<Box<Sleep>>>,
    /// How much of the beginning of HTTP/2 came.
    matched: usize,
}

impl<S> Prompted<S> {
    /// Ends the limit where the bytes are not those that HTTP/2 begins with, or all of them.
    fn look_at(&mut self, bytes: &[u8]) {
        let expected = PREFACE.get(self.matched..).unwrap_or_default();
        let is_http_2 = bytes.iter().zip(expected).all(|(byte, expected)| byte == expected);
        self.matched = self.matched.saturating_add(bytes.len());
        if !is_http_2 || self.matched >= PREFACE.len() {
            self.limit = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(limit) = &mut self.limit else { return read };
        if read.is_pending() {
            return limit.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        self.look_at(buffer.filled().get(before..).unwrap_or_default());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
