//! Pieces of messages in any order, true ones among false ones.

use std::sync::OnceLock;

use super::input::Input;
use crate::assembly::{Assemblies, AssemblyId, Noted};
use crate::config::MESSAGE_MAX;
use crate::frame::{Direction, Frame, PIECE, Piece, pieces as count_of};

/// Messages under way at once.
const LIMIT: usize = 9;
/// Sessions that send.
const SESSIONS: usize = 3;

/// Gives pieces to the reassembly: arbitrary frames, and pieces of known messages in an order
/// that follows from the bytes.
///
/// # Panics
///
/// When a message of true pieces alone is not what was sent, or more is kept than the limit.
pub fn pieces(data: &[u8]) {
    let mut input = Input::new(data);
    let mut assemblies = Assemblies::new(LIMIT);
    while step(&mut input, &mut assemblies).is_some() {
        assert!(assemblies.len() <= LIMIT);
    }
}

fn step(input: &mut Input<'_>, assemblies: &mut Assemblies) -> Option<()> {
    let session = u32::try_from(input.choice(SESSIONS)?).ok()?;
    match input.choice(8)? {
        0 => {
            let frame = input.bytes(1200)?;
            if let Some(Frame::Piece(piece)) = Frame::parse(frame) {
                // Known messages begin with an id that no false piece may have.
                let is_false = piece.id.first() != Some(&0);
                let noted = is_false.then(|| assemblies.on_piece(session, &piece));
                if let Some(Noted::Complete(message)) = noted {
                    assert_eq!(message.len(), usize::from(piece.total));
                }
            }
        }
        1 => {
            let id = AssemblyId {
                session,
                request: request(input.choice(4)?),
                direction: direction(input.choice(2)?),
            };
            if let Some(bitmap) = assemblies.on_silence(&id) {
                assert_ne!(bitmap, 0, "nothing is missing and yet it is kept");
            }
        }
        _ => known(input, assemblies, session)?,
    }
    Some(())
}

/// A piece of one of a few known messages.
fn known(input: &mut Input<'_>, assemblies: &mut Assemblies, session: u32) -> Option<()> {
    let number = input.choice(4)?;
    let total = [1121, 2240, 2241, 5000, 8192, 8960]
        .get(input.choice(6)?)
        .copied()?;
    let message = message(number, total)?;
    let count = count_of(total);
    let index = u8::try_from(input.choice(count.into())?).ok()?;
    let start = usize::from(index) * PIECE;
    let piece = Piece {
        id: request(number),
        direction: direction(input.choice(2)?),
        index,
        count,
        total: u16::try_from(total).ok()?,
        bytes: message.get(start..total.min(start + PIECE))?,
    };
    match assemblies.on_piece(session, &piece) {
        Noted::Complete(whole) => assert!(whole == message, "another message than was sent"),
        Noted::Ask(bitmap) => {
            assert_ne!(bitmap, 0);
            assert_eq!(u16::from(bitmap) >> count, 0, "asks for what there is not");
        }
        Noted::Waiting | Noted::Copy | Noted::NoRoom => {}
    }
    Some(())
}

fn request(number: usize) -> [u8; 8] {
    let mut id = [0; 8];
    id.iter_mut()
        .skip(1)
        .for_each(|byte| *byte = u8::try_from(number).unwrap_or_default());
    id
}

const fn direction(choice: usize) -> Direction {
    if choice == 0 {
        Direction::Request
    } else {
        Direction::Answer
    }
}

/// The message of this number and length: a part of one long row of bytes.
fn message(number: usize, total: usize) -> Option<&'static [u8]> {
    static ROW: OnceLock<Vec<u8>> = OnceLock::new();
    ROW.get_or_init(|| (0..251).cycle().take(MESSAGE_MAX + 4).collect())
        .get(number..number + total)
}
