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

/// Reads exactly `N` numbers of eight digits of lower-case hexadecimal.
pub(crate) fn read_words<const N: usize>(text: &[u8]) -> Option<[u32; N]> {
    let mut words = [0; N];
    let mut digits = text.chunks_exact(8);
    for word in &mut words {
        *word = read_word(digits.next()?.first_chunk()?)?;
    }
    (digits.next().is_none() && digits.remainder().is_empty()).then_some(words)
}

/// Reads eight digits at once, as the bytes of one number.
#[inline]
pub(crate) fn read_word(digits: &[u8; 8]) -> Option<u32> {
    if !is_hex(digits) {
        return None;
    }
    let digits = u64::from_be_bytes(*digits);
    // `a` is 0x61: its low four bits are 1, and it has the bit that no figure has.
    let letters = (digits >> 6) & 0x0101_0101_0101_0101;
    let nibbles = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_add(letters.wrapping_mul(9));
    // Moves each nibble to its neighbour, then bytes and pairs of bytes to theirs.
    let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    let [.., a, b, c, d] = (pairs | pairs >> 16).to_be_bytes();
    Some(u32::from_be_bytes([a, b, c, d]))
}

#[inline]
fn is_hex(digits: &[u8; 8]) -> bool {
    digits.iter().fold(0, |beyond, digit| beyond | beyond_hex(*digit)) == 0
}

#[inline]
fn beyond_hex(byte: u8) -> u8 {
    beyond_range(byte, b'a', b'f').min(beyond_range(byte, b'0', b'9'))
}

/// At most this many draws: all of them fail with a probability below 2^-80 for 32 symbols.
const MAX_DRAWS: usize = 128;
