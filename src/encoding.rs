//! Random text over 62 symbols, and lower-case hexadecimal.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

/// Draws `CHARS` symbols of `[A-Za-z0-9]`, uniformly, from `CHARS / 4 * 3` random bytes a draw.
///
/// Base64 maps random bytes to uniform symbols of 64; a text with one of the two symbols that are no letter or digit is
/// drawn again, whole, so what remains is uniform over 62. Taking symbols modulo 62 would be biased, and dividing a
/// big integer by 62 needs more code for the same result.
pub(crate) fn draw_text<const BYTES: usize, const CHARS: usize, R: TryCryptoRng + ?Sized>(
    rng: &mut R,
) -> Result<Zeroizing<[u8; CHARS]>, DrawError> {
    const { assert!(BYTES * 4 == CHARS * 3, "each three bytes make four symbols") }
    let mut bytes = Zeroizing::new([0; BYTES]);
    let mut text = Zeroizing::new([0; CHARS]);
    for _ in 0..MAX_DRAWS {
        rng.try_fill_bytes(bytes.as_mut_slice()).map_err(|_| DrawError::Generator)?;
        let written = URL_SAFE_NO_PAD.encode_slice(bytes.as_slice(), text.as_mut_slice());
        if written == Ok(CHARS) && is_alphanumeric(text.as_slice()) {
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

/// Tells whether every byte is an ASCII letter or digit, looking at all of them whatever they are.
pub(crate) fn is_alphanumeric(text: &[u8]) -> bool {
    text.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric())
}

fn is_one_symbol(text: &[u8]) -> bool {
    text.iter().all(|byte| Some(byte) == text.first())
}

/// Writes lower-case hexadecimal, two symbols a byte.
pub(crate) fn write_hex(bytes: &[u8], out: &mut impl core::fmt::Write) -> core::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// Reads exactly `N` bytes of lower-case hexadecimal.
pub(crate) fn read_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut pairs = text.chunks_exact(2);
    for byte in &mut bytes {
        let [high, low] = pairs.next()? else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    (pairs.next().is_none() && pairs.remainder().is_empty()).then_some(bytes)
}

fn nibble(symbol: u8) -> Option<u8> {
    match symbol {
        b'0'..=b'9' => Some(symbol & 0x0f),
        // `a` is 0x61: its low four bits are 1.
        b'a'..=b'f' => Some((symbol & 0x0f).wrapping_add(9)),
        _ => None,
    }
}

/// At most this many draws: all of them fail with a probability below 2^-80 for 32 symbols.
const MAX_DRAWS: usize = 128;
