//! The search for texts that may be tokens.

use super::HEAD_LENGTH;
use crate::id::KeyId;

/// Finds the next kind that has both separators at their distance.
///
/// These three bytes are the same for every issuer, and rare together. They are compared in blocks, which a compiler
/// turns into instructions for many bytes at once: no search for a text is needed, nor the crate that has one, and many
/// issuers cost what one costs. In any text, a byte is looked at a bounded number of times for each of the
/// bounded number of places that it can belong to.
pub(crate) fn skeleton(text: &[u8], from: usize) -> Option<usize> {
    let kinds = text.get(from..)?;
    let (firsts, seconds) = (kinds.get(FIRST..)?, kinds.get(SECOND..)?);
    let mut blocks = kinds.chunks_exact(BLOCK).zip(firsts.chunks_exact(BLOCK)).zip(seconds.chunks_exact(BLOCK)).map(
        |((kinds, firsts), seconds)| {
            let bytes = kinds.iter().zip(firsts).zip(seconds);
            bytes.fold(0, |found, ((kind, first), second)| found | is_skeleton(*kind, *first, *second)) != 0
        },
    );
    let rest = blocks.position(|is_found| is_found).unwrap_or(seconds.len() / BLOCK).saturating_mul(BLOCK);
    let (kinds, firsts, seconds) = (kinds.get(rest..)?, firsts.get(rest..)?, seconds.get(rest..)?);
    let mut bytes = kinds.iter().zip(firsts).zip(seconds);
    let place = bytes.position(|((kind, first), second)| is_skeleton(*kind, *first, *second) != 0)?;
    from.checked_add(rest)?.checked_add(place)
}

/// One where the bytes are a kind and two separators.
fn is_skeleton(kind: u8, first: u8, second: u8) -> u8 {
    u8::from(matches!(kind, b'p' | b't')) & u8::from(first == b'_') & u8::from(second == b'_')
}

/// From the kind to the separator before the id, and to the one after it.
const FIRST: usize = HEAD_LENGTH.saturating_sub(1);
pub(crate) const SECOND: usize = HEAD_LENGTH.saturating_add(KeyId::LENGTH);
/// Enough for several of the widest instructions.
const BLOCK: usize = 64;
