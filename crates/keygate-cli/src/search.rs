//! The search of a stream, piece by piece: in bounded memory, with the line and column of each find.

use std::io::{self, ErrorKind, Read};

use keygate::{
    Issuer, Token,
    scan::{Scanner, TokenMatch},
};
use memchr::{memchr_iter, memrchr};

/// Searches one stream after the other.
pub(crate) struct Search<'s> {
    scanner: &'s Scanner,
    buffer: Vec<u8>,
}

/// Where something begins: from 1, the column in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl<'s> Search<'s> {
    pub(crate) fn new(scanner: &'s Scanner) -> Self {
        Self { scanner, buffer: vec![0; PIECE] }
    }

    /// Reads to the end, and reports each token and how much was read.
    pub(crate) fn search(
        &mut self,
        mut stream: impl Read,
        mut report: impl FnMut(Place, TokenMatch<'_>) -> io::Result<()>,
        mut read_on: impl FnMut(u64),
    ) -> io::Result<()> {
        let mut place = Place { line: 1, column: 1 };
        let mut kept = 0;
        loop {
            let read = match stream.read(self.buffer.get_mut(kept..).unwrap_or_default()) {
                // The kept bytes were searched.
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            read_on(u64::try_from(read).unwrap_or(u64::MAX));
            let end = kept.saturating_add(read);
            let text = self.buffer.get(..end).unwrap_or_default();
            let (mut passed, mut searched) = (0, 0);
            for found in self.scanner.find(text) {
                let range = found.range();
                place = place.behind(text.get(passed..range.start).unwrap_or_default());
                report(place, found)?;
                (passed, searched) = (range.start, range.end);
            }
            // A token that is not whole yet begins in the last bytes, and not in one that was found.
            let from = end.saturating_sub(LONGEST.saturating_sub(1)).max(searched);
            place = place.behind(text.get(passed..from).unwrap_or_default());
            self.buffer.copy_within(from..end, 0);
            kept = end.saturating_sub(from);
        }
    }
}

impl Place {
    /// Returns the place after a text that begins here.
    fn behind(self, text: &[u8]) -> Self {
        let length = |text: usize| u64::try_from(text).unwrap_or(u64::MAX);
        match memrchr(b'\n', text) {
            None => Self { column: self.column.saturating_add(length(text.len())), ..self },
            Some(last) => Self {
                line: self.line.saturating_add(length(memchr_iter(b'\n', text).count())),
                column: length(text.len().saturating_sub(last)),
            },
        }
    }
}

/// The size of one read: it fits the caches nearest to a processor, and the read itself costs little in comparison.
const PIECE: usize = 1 << 17;
const LONGEST: usize = Issuer::MAX_LENGTH.saturating_add(Token::LENGTH_AFTER_ISSUER);
