//! Redaction of what is written in pieces.

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::{Scanner, is_word, redact::MARK, shape::Shape};

/// A writer that leaves out the secrets of tokens, wherever the pieces are cut that it is given.
///
/// It is a [`fmt::Write`] where the inner writer is one, and a `std::io::Write` likewise (feature `std`). The output is
/// that of [`Scanner::redact_bytes`] for all pieces together.
///
/// Nothing waits in it: whether a byte is seen depends on the 70 before it and on none after it. So each write goes
/// through at once, an interactive prompt shows, and there is nothing to finish: dropping it, or
/// [`RedactingWriter::into_inner`], loses nothing. Of a token that the end cuts off, the part of the secret that came
/// is left out too. Those 70 bytes are all that it keeps.
///
/// What is written at once reaches the inner writer in several pieces where something is left out of it. If several
/// threads write to one place, lock it first, as in `scanner.writer(std::io::stdout().lock())`.
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
/// What it keeps may hold a part of a secret, and is wiped on drop. `std::io::Write::write` may take less than it is
/// given, as ever; if the inner writer fails in the middle of `[redacted]`, a retry writes that again. Whether what failed
/// is tried again or given up, nobody can tell: after a failure, other than that it was interrupted, the rest of the word
/// that goes on is left out.
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

/// The next bytes that are treated alike.
struct Step {
    length: usize,
    is_hidden: bool,
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

    /// Says how the next bytes are treated. At least one is, unless there is none.
    fn step(&mut self, text: &[u8]) -> Step {
        if self.is_lost {
            let word = text.iter().take_while(|byte| is_word(byte)).count();
            if word > 0 {
                return Step { length: word, is_hidden: true };
            }
            self.is_lost = false;
            self.is_hiding = false;
            self.tail.clear();
        }
        self.step_of_word(text).unwrap_or_else(|| {
            let hidden = self.scanner.hidden(text).next();
            Step { length: hidden.map_or(text.len(), |hidden| hidden.start), is_hidden: false }
        })
    }

    /// Says how a word that began before goes on, if something is hidden of what it goes on with.
    fn step_of_word(&mut self, text: &[u8]) -> Option<Step> {
        let kept = self.tail.len();
        if kept == 0 {
            return None;
        }
        // A token reaches only so far.
        self.tail.extend(text.iter().take(REACH).take_while(|byte| is_word(byte)));
        let hidden = self.scanner.hidden(&self.tail).find(|hidden| hidden.end > kept);
        self.tail.truncate(kept);
        let hidden = hidden?;
        Some(match hidden.start.checked_sub(kept) {
            None | Some(0) => Step { length: hidden.end.saturating_sub(kept), is_hidden: true },
            Some(length) => Step { length, is_hidden: false },
        })
    }

    /// Remembers what a step was about.
    fn took(&mut self, text: &[u8], is_hidden: bool) {
        let run = text.iter().rev().take(REACH).take_while(|byte| is_word(byte)).count();
        if run < text.len() {
            self.tail.clear();
        }
        self.tail.extend_from_slice(text.get(text.len().saturating_sub(run)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(REACH);
        self.tail.drain(..excess);
        self.is_hiding = is_hidden;
    }
}

impl<W: fmt::Write> fmt::Write for RedactingWriter<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while !rest.is_empty() {
            let Step { length, is_hidden } = self.step(rest.as_bytes());
            // INVARIANT: what is hidden is ASCII, so a text is cut between characters.
            let (piece, after) = rest.split_at_checked(length).ok_or(fmt::Error)?;
            let was_hiding = core::mem::replace(&mut self.is_hiding, is_hidden);
            let written = match (is_hidden, was_hiding) {
                (false, _) => self.inner.write_str(piece),
                (true, false) => self.inner.write_str(MARK),
                (true, true) => Ok(()),
            };
            self.is_lost |= written.is_err();
            written?;
            self.took(piece.as_bytes(), is_hidden);
            rest = after;
        }
        Ok(())
    }
}

#[cfg(feature = "std")]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
impl<W: std::io::Write> std::io::Write for RedactingWriter<W> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        // One step a call, so that what was taken is known even where the inner writer takes little or fails; and not
        // too much at once, since what it does not take is looked at again.
        let text = text.get(..AT_ONCE).unwrap_or(text);
        if text.is_empty() {
            return Ok(0);
        }
        let Step { length, is_hidden } = self.step(text);
        let piece = text.get(..length).unwrap_or_default();
        let written = match (is_hidden, self.is_hiding) {
            (false, _) => self.inner.write(piece),
            (true, false) => self.inner.write_all(MARK.as_bytes()).map(|()| length),
            (true, true) => Ok(length),
        };
        match written {
            Ok(length) => self.took(piece.get(..length).unwrap_or(piece), is_hidden),
            // Everybody tries that again with the same bytes.
            Err(ref error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.is_lost = true,
        }
        written
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
#[cfg(feature = "std")]
const AT_ONCE: usize = 65_536;
