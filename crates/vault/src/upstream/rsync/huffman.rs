//! Codes of deflate (RFC 1951), for a reader that tries where a block may begin.

use super::stored::{Spot, Stored};
use std::io;

const MOST_BITS: usize = 15;
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LENGTHS: [(u16, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
const DISTANCES: [(u16, u32); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// A canonical code.
#[derive(Debug)]
struct Code {
    /// How many codes have so many bits.
    counts: [u16; MOST_BITS + 1],
    /// Symbols in the order of their codes.
    symbols: Vec<u16>,
}

/// The codes of a block.
#[derive(Debug)]
pub(super) struct Tables {
    literals: Code,
    distances: Code,
    /// The code of the block's end, its first bit lowest, and how many bits it has.
    pub end: (u32, u32),
}

/// A block that begins somewhere.
#[derive(Debug)]
pub(super) struct Block {
    /// Behind its head.
    pub spot: Spot,
    pub content: Content,
    pub is_last: bool,
}

/// What follows the head of a block.
#[derive(Debug)]
pub(super) enum Content {
    /// So many bytes as they are.
    Plain(u64),
    /// Symbols of the codes that need no description.
    Fixed(Box<Tables>),
    /// Symbols of codes that the head describes. That could not well be something else.
    Own(Box<Tables>),
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a code that means nothing")
}

impl Code {
    /// `None` when the lengths are those of no code. One that is not complete may be of a single symbol only.
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0u16; MOST_BITS + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        let used = lengths.iter().filter(|length| **length > 0).count();
        counts[0] = 0;
        let mut left = 1i32;
        for count in counts.iter().skip(1) {
            left = left * 2 - i32::from(*count);
            if left < 0 {
                return None;
            }
        }
        if left > 0 && !(used <= 1 && usize::from(counts[1]) == used) {
            return None;
        }
        let mut symbols = Vec::with_capacity(used);
        for wanted in 1..=MOST_BITS as u8 {
            symbols.extend(
                (0..).zip(lengths).filter(|(_, length)| **length == wanted).map(|(symbol, _)| symbol),
            );
        }
        Some(Self { counts, symbols })
    }

    /// The symbol whose code `bits` begin with, and how many bits that has.
    fn find(&self, bits: u32) -> Option<(u16, u32)> {
        let (mut code, mut first, mut index) = (0i32, 0i32, 0i32);
        for length in 1..=MOST_BITS {
            code |= ((bits >> (length - 1)) & 1) as i32;
            let count = i32::from(*self.counts.get(length)?);
            if code - count < first {
                let symbol = self.symbols.get(usize::try_from(index + code - first).ok()?)?;
                return Some((*symbol, length as u32));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// The code of a symbol, its first bit lowest, and how many bits it has.
    fn code_of(&self, wanted: u16) -> Option<(u32, u32)> {
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=MOST_BITS {
            let count = usize::from(*self.counts.get(length)?);
            let group = self.symbols.get(index..index + count)?;
            if let Some(at) = group.iter().position(|symbol| *symbol == wanted) {
                let code = code + at as u32;
                return Some((code.reverse_bits() >> (32 - length), length as u32));
            }
            index += count;
            code = (code + count as u32) << 1;
        }
        None
    }

    fn take(&self, stored: &mut Stored, spot: &mut Spot) -> io::Result<u16> {
        let bits = stored.peek(*spot, MOST_BITS as u32)?;
        let (symbol, length) = self.find(bits).ok_or_else(nonsense)?;
        stored.advance(spot, length)?;
        Ok(symbol)
    }
}

impl Tables {
    fn new(literals: &[u8], distances: &[u8]) -> Option<Self> {
        let (literals, distances) = (Code::new(literals)?, Code::new(distances)?);
        let end = literals.code_of(256)?;
        Some(Self { literals, distances, end })
    }

    fn fixed() -> Option<Self> {
        let mut lengths = [8u8; 288];
        lengths.get_mut(144..256)?.fill(9);
        lengths.get_mut(256..280)?.fill(7);
        // Two of the thirty-two distances are never used.
        Self::new(&lengths, &[5; 32])
    }

    pub(super) fn symbol(&self, stored: &mut Stored, spot: &mut Spot) -> io::Result<u16> {
        self.literals.take(stored, spot)
    }

    /// Goes behind the next symbol and what belongs to it; whether it was the block's end.
    pub(super) fn pass(&self, stored: &mut Stored, spot: &mut Spot) -> io::Result<bool> {
        match self.symbol(stored, spot)? {
            0..=255 => Ok(false),
            256 => Ok(true),
            length => self.copy(length, stored, spot).map(|_| false),
        }
    }

    /// Length and distance of a repetition whose length has `symbol`.
    pub(super) fn copy(
        &self,
        symbol: u16,
        stored: &mut Stored,
        spot: &mut Spot,
    ) -> io::Result<(usize, usize)> {
        let of =
            |list: &[(u16, u32)], symbol: u16| list.get(usize::from(symbol)).copied().ok_or_else(nonsense);
        let (base, extra) = of(&LENGTHS, symbol.wrapping_sub(257))?;
        let length = u32::from(base) + stored.take(spot, extra)?;
        let symbol = self.distances.take(stored, spot)?;
        let (base, extra) = of(&DISTANCES, symbol)?;
        let distance = u32::from(base) + stored.take(spot, extra)?;
        Ok((length as usize, distance as usize))
    }
}

/// The head of the block at `spot`; `None` when what stands there is none.
pub(super) fn head(stored: &mut Stored, mut spot: Spot) -> io::Result<Option<Block>> {
    let is_last = stored.take(&mut spot, 1)? == 1;
    let content = match stored.take(&mut spot, 2)? {
        0 => {
            spot.at = spot.at.div_ceil(8) * 8;
            let length = stored.take(&mut spot, 16)?;
            let check = stored.take(&mut spot, 16)?;
            (length == !check & 0xffff).then_some(Content::Plain(u64::from(length)))
        }
        1 => Tables::fixed().map(Box::new).map(Content::Fixed),
        2 => dynamic(stored, &mut spot)?.map(Box::new).map(Content::Own),
        _ => None,
    };
    Ok(content.map(|content| Block { spot, content, is_last }))
}

fn dynamic(stored: &mut Stored, spot: &mut Spot) -> io::Result<Option<Tables>> {
    let literals = stored.take(spot, 5)? as usize + 257;
    let distances = stored.take(spot, 5)? as usize + 1;
    let count = stored.take(spot, 4)? as usize + 4;
    if literals > 286 || distances > 30 {
        return Ok(None);
    }
    let mut lengths = [0u8; 19];
    for place in ORDER.iter().take(count) {
        let length = stored.take(spot, 3)? as u8;
        if let Some(entry) = lengths.get_mut(*place) {
            *entry = length;
        }
    }
    let Some(code) = Code::new(&lengths) else { return Ok(None) };
    let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let Some((symbol, bits)) = code.find(stored.peek(*spot, MOST_BITS as u32)?) else { return Ok(None) };
        stored.advance(spot, bits)?;
        let (value, times) = match symbol {
            0..=15 => (symbol as u8, 1),
            16 => match lengths.last() {
                Some(last) => (*last, 3 + stored.take(spot, 2)?),
                None => return Ok(None),
            },
            17 => (0, 3 + stored.take(spot, 3)?),
            _ => (0, 11 + stored.take(spot, 7)?),
        };
        lengths.extend(std::iter::repeat_n(value, times as usize));
    }
    let Some((literal, distance)) = lengths.split_at_checked(literals) else { return Ok(None) };
    if distance.len() != distances {
        return Ok(None);
    }
    Ok(Tables::new(literal, distance))
}
