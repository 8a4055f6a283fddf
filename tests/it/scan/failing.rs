//! Inner writers that fail: what comes after it must show no secret.

use core::fmt;
use std::io;

use super::{P, SCANNER, SECRET, T};

/// Fails once, in one call of many.
struct FailsOnce {
    taken: String,
    calls_before: usize,
}

impl FailsOnce {
    fn take(&mut self, text: &str) -> Result<(), ()> {
        if self.calls_before == 0 {
            self.calls_before = usize::MAX;
            return Err(());
        }
        self.calls_before -= 1;
        self.taken.push_str(text);
        Ok(())
    }
}

impl io::Write for FailsOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = core::str::from_utf8(bytes).unwrap();
        self.take(text).map(|()| bytes.len()).map_err(|()| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for FailsOnce {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.take(text).map_err(|()| fmt::Error)
    }
}

/// A logger drops what it could not write, and goes on; or tries it again. Neither lets the rest of a token through.
#[test]
fn what_comes_after_a_failure_shows_no_secret() {
    let text = format!("one {T} two {P} three");
    for size in 1..=text.len() {
        for calls_before in 0..=text.len().div_ceil(size) {
            for tries in [1, 2] {
                let inner = || FailsOnce { taken: String::new(), calls_before };
                let mut written = SCANNER.writer(inner());
                let mut formatted = SCANNER.writer(inner());
                for piece in text.as_bytes().chunks(size).map(|piece| core::str::from_utf8(piece).unwrap()) {
                    let _ = (0..tries).find(|_| io::Write::write_all(&mut written, piece.as_bytes()).is_ok());
                    let _ = (0..tries).find(|_| fmt::Write::write_str(&mut formatted, piece).is_ok());
                }
                // At most one of these fails.
                for piece in [" it goes on,", "so there", " it goes on,", "so there"] {
                    let _ = io::Write::write_all(&mut written, piece.as_bytes());
                    let _ = fmt::Write::write_str(&mut formatted, piece);
                }
                for seen in [written.into_inner().taken, formatted.into_inner().taken] {
                    for part in SECRET.as_bytes().windows(8) {
                        let part = core::str::from_utf8(part).unwrap();
                        assert!(!seen.contains(part), "{size} {calls_before} {tries}: {seen}");
                    }
                    assert!(seen.contains("it goes on,") && seen.contains("so there"), "{seen}");
                }
            }
        }
    }
}

/// Takes a little at a time, and fails once: before the byte that is counted.
struct FailsAt {
    taken: Vec<u8>,
    fails_at: Option<usize>,
}

impl io::Write for FailsAt {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut length = bytes.len().min(7);
        if let Some(left) = self.fails_at.map(|at| at.saturating_sub(self.taken.len())) {
            if left == 0 {
                self.fails_at = None;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            length = length.min(left);
        }
        self.taken.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came through before the failure is said, so that who goes on from there writes nothing twice; a mark is not
/// cut.
#[test]
fn what_came_through_before_a_failure_is_said() {
    let text = format!("one {T} two {P}{P} and {T}");
    let redacted = SCANNER.redact(&text).into_owned();
    for at in 1..redacted.len() {
        let mut writer = SCANNER.writer(FailsAt { taken: Vec::new(), fails_at: Some(at) });
        let mut rest = text.as_bytes();
        let mut calls = 0;
        while !rest.is_empty() {
            let taken = io::Write::write(&mut writer, rest).unwrap();
            rest = &rest[taken..];
            calls += 1;
        }
        assert_eq!(calls, 2, "{at}");
        let begun = redacted[..at].rfind('[').filter(|begun| at - begun < 10);
        let expected = format!("{}{}", &redacted[..at], &redacted[begun.unwrap_or(at)..]);
        assert_eq!(String::from_utf8(writer.into_inner().taken).unwrap(), expected, "{at}");
    }
}

/// A writer that is full takes nothing, and says so.
#[test]
fn a_writer_that_is_full_ends_it() {
    let mut room = [0; 8];
    let mut writer = SCANNER.writer(&mut room[..]);
    assert_eq!(io::Write::write(&mut writer, b"more than that").unwrap(), 8);
    assert_eq!(io::Write::write(&mut writer, b"an that").unwrap(), 0);
    let failed = io::Write::write_all(&mut writer, T.as_bytes()).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::WriteZero);
    assert_eq!(&room, b"more tha");
}
