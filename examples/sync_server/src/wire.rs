//! HTTP/1.1 on a socket, as much as is needed: one request, one response, everything bounded in size and time.

use core::time::Duration;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::Instant,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri,
    header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
};

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: Uri,
    pub(crate) headers: HeaderMap,
    /// The bytes of the body that came with the head.
    body: Vec<u8>,
}

/// Why there is no request to answer.
#[derive(Debug)]
pub(crate) enum Bad {
    /// The client gets an answer.
    Status(StatusCode),
    /// There is nobody to tell.
    Gone,
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Status(StatusCode::REQUEST_TIMEOUT),
            _ => Self::Gone,
        }
    }
}

/// A connection whose reads all end by one deadline: a client that sends a byte now and then holds no thread for long.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    deadline: Instant,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let deadline = Instant::now().checked_add(PATIENCE).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { stream, deadline })
    }

    pub(crate) fn read_head(&mut self) -> Result<Head, Bad> {
        let mut received = Vec::new();
        loop {
            if received.len() >= MAX_HEAD {
                return Err(Bad::Status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
            }
            let start = received.len();
            if self.read_more(&mut received)? == 0 {
                return Err(Bad::Gone);
            }
            // A head ends with a line, so there is nothing to parse before the next one is complete.
            let is_line_complete = received.get(start..).is_some_and(|new| new.contains(&b'\n'));
            let head = if is_line_complete { parse_head(&received)? } else { None };
            if let Some(head) = head {
                return Ok(head);
            }
        }
    }

    /// Reads the body that the head announces.
    pub(crate) fn read_body(&mut self, head: &mut Head) -> Result<Vec<u8>, Bad> {
        let length = content_length(&head.headers)?;
        if head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = core::mem::take(&mut head.body);
        while body.len() < length {
            if self.read_more(&mut body)? == 0 {
                return Err(Bad::Gone);
            }
        }
        body.truncate(length);
        Ok(body)
    }

    fn read_more(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        let left = self.deadline.saturating_duration_since(Instant::now());
        // A timeout of zero would mean none.
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = self.stream.read(&mut buffer)?;
        to.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Answers, and closes.
    pub(crate) fn finish(mut self, response: &Response<String>) -> io::Result<()> {
        let mut reply = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
        for (name, value) in response.headers() {
            reply.extend_from_slice(name.as_str().as_bytes());
            reply.extend_from_slice(b": ");
            reply.extend_from_slice(value.as_bytes());
            reply.extend_from_slice(b"\r\n");
        }
        let body = response.body();
        reply
            .extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).as_bytes());
        self.stream.write_all(&reply)?;
        self.stream.shutdown(Shutdown::Write)?;
        // Closing with unread bytes resets the connection, and the answer could get lost: so take the rest, only a
        // little of it and not for long.
        self.deadline = self.deadline.min(Instant::now().checked_add(LINGER).unwrap_or(self.deadline));
        let mut rest = Vec::new();
        while rest.len() < MAX_BODY && self.read_more(&mut rest)? > 0 {}
        Ok(())
    }
}

/// Returns nothing as long as the head is not complete.
fn parse_head(received: &[u8]) -> Result<Option<Head>, Bad> {
    let bad = || Bad::Status(StatusCode::BAD_REQUEST);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Bad::Status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)),
        Err(_) => return Err(bad()),
    };
    let mut headers = HeaderMap::new();
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| bad())?;
        // Appended, not inserted: that a field comes twice must stay visible.
        headers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| bad())?);
    }
    let target = request.path.filter(|target| target.starts_with('/')).ok_or_else(bad)?;
    Ok(Some(Head {
        method: request.method.ok_or_else(bad)?.into(),
        target: target.parse().map_err(|_| bad())?,
        headers,
        body: received.get(length..).unwrap_or_default().into(),
    }))
}

/// Two lengths, or a length and chunks, are what request smuggling is made of: one plain length, or none.
fn content_length(headers: &HeaderMap) -> Result<usize, Bad> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(Bad::Status(StatusCode::LENGTH_REQUIRED));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => return Ok(0),
        (Some(length), None) => length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())),
        (Some(_), Some(_)) => None,
    };
    let length: usize = length.and_then(|text| text.parse().ok()).ok_or(Bad::Status(StatusCode::BAD_REQUEST))?;
    if length > MAX_BODY { Err(Bad::Status(StatusCode::PAYLOAD_TOO_LARGE)) } else { Ok(length) }
}

const LINGER: Duration = Duration::from_millis(500);
const MAX_BODY: usize = 256 * 1024;
const MAX_HEAD: usize = 16 * 1024;
/// How long a whole request may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
