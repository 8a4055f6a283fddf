//! Random text over 62 symbols, and lower-case hexadecimal.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::randomness::Randomness;

/// Draws `CHARS` symbols of `[A-Za-z0-9]`, uniformly, from `CHARS / 4 * 3` random bytes a draw.
///
/// Base64 maps random bytes to uniform symbols of 64; a text with one of the two symbols that are no letter or digit is
/// drawn again, whole, so what remains is uniform over 62. Taking symbols modulo 62 would be biased, and dividing a
/// big integer by 62 needs more code for the same result.
pub(crate) fn draw_text<const BYTES: usize, const CHARS: usize>(
    randomness: &dyn Randomness,
) -> Result<Zeroizing<[u8; CHARS]>, DrawError> {
    const { assert!(BYTES * 4 == CHARS * 3, "each three bytes make four symbols") }
    let mut bytes = Zeroizing::new([0; BYTES]);
    let mut text = Zeroizing::new([0; CHARS]);
    for _ in 0..MAX_DRAWS {
        randomness.fill(bytes.as_mut_slice()).map_err(|_| DrawError::Generator)?;
        let written = URL_SAFE_NO_PAD.encode_slice(bytes.as_slice(), text.as_mut_slice());
        if written == Ok(CHARS) && is_alphanumeric(&text) {
            return if is_one_symbol(text.as_slice()) { Err(DrawError::Stuck) } else { Ok(text) };
        }
    }
    Err(DrawError::Exhausted)
}

/// Why no text could be drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DrawError {
    Exhausted,
    Generator,
    Stuck,
}

/// Returns `true` if every byte is an ASCII letter or digit, looking at all of them whatever they are.
#[inline]
pub(crate) fn is_alphanumeric<const N: usize>(text: &[u8; N]) -> bool {
    text.iter().fold(0, |beyond, byte| beyond | beyond_alphanumeric(*byte)) == 0
}

/// Zero for an ASCII letter or digit: how far the byte is beyond the nearer of both ranges.
///
/// By numbers and not by `bool`, since so the compiler looks at sixteen symbols at a time.
#[inline]
pub(crate) fn beyond_alphanumeric(byte: u8) -> u8 {
    // Lower case is upper case with this bit set, and nothing else becomes a lower-case letter by it.
    beyond_range(byte | 0x20, b'a', b'z').min(beyond_range(byte, b'0', b'9'))
}

/// Zero for a byte of the range.
#[inline]
pub(crate) fn beyond_range(byte: u8, first: u8, last: u8) -> u8 {
    byte.wrapping_sub(first).saturating_sub(last.wrapping_sub(first))
}

#[inline]
fn is_one_symbol(text: &[u8]) -> bool {
    text.iter().all(|byte| Some(byte) == text.first())
}

/// Writes lower-case hexadecimal, two symbols a byte.
pub(crate) fn write_hex(bytes: &[u8], out: &mut impl core::fmt::Write) -> core::fmt::Result {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).try_for_each(|nibble| out.write_char(hex_digit(nibble)))
}

#[inline]
fn hex_digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' } else { b'a' - 10 }.wrapping_add(nibble))
}

/// Reads exactly `N` bytes, two digits of lower-case hexadecimal each.
pub(crate) fn read_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut pairs = text.chunks_exact(2);
    for byte in &mut bytes {
        let [high, low] = pairs.next()?.first_chunk()?;
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    (pairs.next().is_none() && pairs.remainder().is_empty()).then_some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a' - 10)),
        _ => None,
    }
}

/// At most this many draws: all of them fail with a probability below 2^-80 for 32 symbols.
const MAX_DRAWS: usize = 128;
