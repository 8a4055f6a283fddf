//! Redaction of text that is written in pieces.

use alloc::{borrow::Cow, vec::Vec};
use core::{fmt, iter, ops::Range};

use zeroize::Zeroizing;

#[cfg(feature = "std")]
use super::redact::bytes_of;
use super::{
    Scanner,
    redact::{Piece, pieces, text_of},
    shape::{Shape, Shapes},
};
use crate::name::Issuer;

/// A writer that leaves out the secrets of tokens, wherever its input is cut into pieces.
///
/// It is a [`fmt::Write`] if the inner writer is one, and a `std::io::Write` likewise (feature `std`). The output is
/// that of [`Scanner::redact_bytes`] for all pieces together.
///
/// Nothing waits in it: whether a byte is seen depends on the 70 before it and on none after it. So each write goes
/// through at once, an interactive prompt shows, and there is nothing to finish: dropping it, or
/// [`RedactingWriter::into_inner`], loses nothing. If the end cuts a token off, the part of the secret that
/// came is left out too. Those 70 bytes are all that it keeps.
///
/// Each write reaches the inner writer in one write, even if something is left out of it: an event that a logger
/// writes at once stays whole, whatever other threads write to the same place. An inner writer that takes less gets the
/// rest in further ones.
///
/// ```
/// use core::fmt::Write;
/// use keygate::{Issuer, scan::Scanner};
///
/// let scanner = Scanner::new(Issuer::from_static("kg"));
/// let mut log = scanner.writer(String::new());
/// for piece in ["key: kgt1_wk59pf", "KL0jFi2YYv_LBpEGbpRuHr", "zDSVdqUC8DwRDe03wkPM1_de91", "3c61\n"] {
///     log.write_str(piece)?;
/// }
/// assert_eq!(log.into_inner(), "key: kgt1_wk59pfKL0jFi2YYv_[redacted]\n");
/// # Ok::<(), core::fmt::Error>(())
/// ```
///
/// # Security
///
/// The kept text may hold a part of a secret, and is wiped on drop. `std::io::Write::write` takes less than it is given
/// if the inner writer fails on the way; if it fails in the middle of `[redacted]`, a retry writes that again. A
/// failed write may be repeated or given up, so after a failure the rest of the current word is redacted.
pub struct RedactingWriter<W> {
    scanner: Scanner,
    inner: W,
    /// The last bytes that came, as far as a token can reach back over them.
    tail: Zeroizing<Vec<u8>>,
    /// Whether the last byte that came was left out.
    is_hiding: bool,
    /// Whether it is unknown what came last: a write failed, and may be given up or tried again.
    is_lost: bool,
}

impl<W> RedactingWriter<W> {
    pub(super) fn new(scanner: Scanner, inner: W) -> Self {
        // Enough for what is kept and as much again: growing would leave copies behind.
        Self {
            scanner,
            inner,
            tail: Zeroizing::new(Vec::with_capacity(REACH.saturating_mul(2))),
            is_hiding: false,
            is_lost: false,
        }
    }

    /// Returns a reference to the inner writer, which has got everything.
    pub const fn inner(&self) -> &W {
        &self.inner
    }

    /// Returns the inner writer, which has got everything.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// Returns the parts of what comes next that must not be seen, in their order.
    fn hidden(&mut self, text: &[u8]) -> Vec<Range<usize>> {
        let mut hidden = self.hidden_of_word(text);
        let known = hidden.last().map_or(0, |last| last.end);
        hidden.extend(self.scanner.hidden(text).filter(|hidden| hidden.start >= known));
        hidden
    }

    /// Returns what must not be seen of the word that began before.
    fn hidden_of_word(&mut self, text: &[u8]) -> Vec<Range<usize>> {
        let word = text.iter().take_while(|byte| is_word(byte));
        if self.is_lost {
            return iter::once(0..word.count()).filter(|word| !word.is_empty()).collect();
        }
        let kept = self.tail.len();
        if kept == 0 {
            return Vec::new();
        }
        // A token that began before reaches only so far, and its kind only so.
        self.tail.extend(word.take(REACH));
        let last_kind = kept.saturating_add(Issuer::MAX_LENGTH);
        let began = Shapes::new(&self.scanner, &self.tail).take_while(|shape| shape.kind < last_kind);
        let shifted = began.map(|shape| shape.hidden(&self.tail)).map(|Range { start, end }| {
            // What is before the text was left out when it came.
            start.saturating_sub(kept)..end.saturating_sub(kept)
        });
        let hidden = shifted.filter(|hidden| !hidden.is_empty()).collect();
        self.tail.truncate(kept);
        hidden
    }

    /// Returns the pieces that go on to the inner writer. A secret that is hidden in two writes has one mark.
    fn pieces(&self, hidden: &[Range<usize>], length: usize) -> impl Iterator<Item = Piece> {
        let is_marked = self.is_hiding && hidden.first().is_some_and(|first| first.start == 0);
        let pieces = pieces(hidden.iter().cloned(), length).enumerate();
        pieces.map(move |(place, (visible, mark))| (visible, if is_marked && place == 0 { "" } else { mark }))
    }

    /// Returns how many bytes have come through where so many of the pieces have.
    #[cfg(feature = "std")]
    fn taken(&self, hidden: &[Range<usize>], length: usize, mut written: usize) -> usize {
        for (Range { start, end }, mark) in self.pieces(hidden, length) {
            let taken = start.saturating_add(written).min(end);
            written = written.saturating_sub(taken.saturating_sub(start));
            if taken < end || written < mark.len() {
                return taken;
            }
            written = written.saturating_sub(mark.len());
        }
        length
    }

    /// Remembers what came through.
    fn took(&mut self, text: &[u8], hidden: &[Range<usize>]) {
        self.is_lost = self.is_lost && text.iter().all(is_word);
        let run = text.iter().rev().take(REACH).take_while(|byte| is_word(byte)).count();
        if run < text.len() {
            self.tail.clear();
        }
        self.tail.extend_from_slice(text.get(text.len().saturating_sub(run)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(REACH);
        self.tail.drain(..excess);
        let last = text.len().checked_sub(1);
        self.is_hiding = last.map_or(self.is_hiding, |last| hidden.iter().any(|hidden| hidden.contains(&last)));
    }
}

impl<W: fmt::Write> fmt::Write for RedactingWriter<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let hidden = self.hidden(text.as_bytes());
        let visible = match hidden.is_empty() {
            true => Cow::Borrowed(text),
            false => Cow::Owned(text_of(self.pieces(&hidden, text.len()), text)),
        };
        if !visible.is_empty() && self.inner.write_str(&visible).is_err() {
            self.is_lost = true;
            return Err(fmt::Error);
        }
        self.took(text.as_bytes(), &hidden);
        Ok(())
    }
}

#[cfg(feature = "std")]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
impl<W: std::io::Write> std::io::Write for RedactingWriter<W> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let hidden = self.hidden(text);
        let visible = match hidden.is_empty() {
            true => Cow::Borrowed(text),
            false => Cow::Owned(bytes_of(self.pieces(&hidden, text.len()), text)),
        };
        let mut rest = &*visible;
        // All of it, since what was not taken would be searched again.
        let mut failed = Ok(());
        while !rest.is_empty() && failed.is_ok() {
            match self.inner.write(rest) {
                Ok(0) => break,
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => failed = Err(error),
            }
        }
        let taken = self.taken(&hidden, text.len(), visible.len().saturating_sub(rest.len()));
        if let (0, Err(error)) = (taken, failed) {
            self.is_lost = true;
            return Err(error);
        }
        self.took(text.get(..taken).unwrap_or_default(), &hidden);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<W> fmt::Debug for RedactingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactingWriter").field("scanner", &self.scanner).finish_non_exhaustive()
    }
}

/// How far back a token can reach from one of its bytes.
const REACH: usize = Shape::MAX_LENGTH.saturating_sub(1);

/// Returns `true` for a symbol of a token.
fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}
