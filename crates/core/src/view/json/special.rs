//! Finds special bytes inside a JSON string: its end, an escape, or a control character, which is
//! not allowed there.
//!
//! The bytes are examined in blocks of 64, with the machine's vector instructions, and the result
//! is kept as one bit for each byte. So the end of the next short string is usually known already,
//! and the processor does not have to wait for the search of one string before it knows where the
//! next begins.

// Measured: a tenth of all instructions of a request depends on it.
#![allow(clippy::inline_always)]

use wide::i8x16;

/// Number of bytes that are examined together, one for each bit of a word.
const BLOCK: usize = u64::BITS as usize;
/// Number of bytes in a vector.
const VECTOR: usize = 16;

/// The block of a text that was examined last. All slices passed to one instance must be remainders
/// of the same text, each no longer than the previous one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Specials {
    /// Number of bytes from the beginning of the block to the end of the text.
    left: usize,
    /// One bit for each byte of the block, set if the byte is special; the first byte has the
    /// lowest bit.
    marks: u64,
}

impl Specials {
    /// Creates a state without a block.
    pub(super) const fn unknown() -> Self {
        Self { left: 0, marks: 0 }
    }

    /// Returns the bytes from the first special byte on.
    #[inline(always)]
    pub(super) fn find<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        // Without a block this wraps around to a value far beyond the block.
        let offset = self.left.wrapping_sub(rest.len());
        if offset >= BLOCK {
            return self.find_in_blocks(rest);
        }
        let marks = self.marks >> offset;
        if marks != 0 {
            return rest.get(marks.trailing_zeros() as usize..);
        }
        self.find_in_blocks(rest.get(BLOCK - offset..)?)
    }

    /// Searches bytes that have not been examined yet.
    #[inline(never)]
    fn find_in_blocks<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = rest;
        loop {
            let Some((block, after)) = rest.split_first_chunk() else {
                return self.find_in_last(rest);
            };
            let marks = marks(block);
            if marks != 0 {
                *self = Self { left: rest.len(), marks };
                return rest.get(marks.trailing_zeros() as usize..);
            }
            rest = after;
        }
    }

    /// Searches the last bytes, which are fewer than a block.
    #[cold]
    #[inline(never)]
    fn find_in_last<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        // Padded with spaces, which are not special.
        let mut block = [b' '; BLOCK];
        block.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        let marks = marks(&block);
        *self = Self { left: rest.len(), marks };
        rest.get(marks.trailing_zeros() as usize..).filter(|found| !found.is_empty())
    }
}

/// Returns one bit for each byte, set if the byte is special; the first byte has the lowest bit.
#[inline(always)]
fn marks(block: &[u8; BLOCK]) -> u64 {
    let (vectors, _) = block.as_chunks::<VECTOR>();
    let mut marks = 0;
    for vector in vectors.iter().rev() {
        marks = marks << VECTOR | u64::from(marks_of_vector(vector.map(u8::cast_signed)));
    }
    marks
}

#[inline(always)]
fn marks_of_vector(bytes: [i8; VECTOR]) -> u32 {
    let bytes = i8x16::new(bytes);
    // The vector instruction compares signed bytes. Flipping the highest bit (0x80) maps unsigned
    // order to signed order. Flipping 0x02 as well moves the quote (0x22) to 0x20, directly after
    // the control characters (0x00 to 0x1f), and the space (0x20) to 0x22: one comparison with 0x21
    // finds both.
    let turned = bytes ^ i8x16::splat((0x80_u8 | 0x02).cast_signed());
    let is_low = turned.simd_lt(i8x16::splat((0x80_u8 | 0x21).cast_signed()));
    (is_low | bytes.simd_eq(i8x16::splat(b'\\'.cast_signed()))).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_classified_at_every_position() {
        for length in [1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200] {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    let expected =
                        if matches!(byte, b'"' | b'\\' | ..b' ') { place } else { length };
                    let found = Specials::unknown().find(&text);
                    assert_eq!(
                        length - found.map_or(0, <[u8]>::len),
                        expected,
                        "{byte} at {place} of {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_looked_at_is_looked_up_from_any_place() {
        let text: Vec<u8> =
            (0..500).map(|n: u32| if n * n % 23 < 2 { b'"' } else { b'.' }).collect();
        let expected = |from: usize| {
            let rest = &text[from..];
            rest.iter().position(|byte| *byte == b'"').map(|place| &rest[place..])
        };
        for step in 1..150 {
            let mut specials = Specials::unknown();
            for from in (0..=text.len()).step_by(step) {
                assert_eq!(specials.find(&text[from..]), expected(from), "{step} {from}");
            }
        }
    }
}
