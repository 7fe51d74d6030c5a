//! Counts the items of a message's lists before they are decoded.
//!
//! An item may be two bytes on the wire and a hundred in memory, so a list is bounded before memory
//! is given to it.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::error::DecodeError;
use crate::limits::{BODY_MAX, ITEMS_MAX};

/// The number of the one repeated field in each message that has a list.
const ITEM_FIELD: u32 = 1;

/// Refuses a body that is too long or whose lists are: the lists of those kinds of message whose
/// numbers are in `listing`. A kind that occurs several times is merged, so its items add up.
pub(crate) fn check(body: &[u8], listing: &[u32]) -> Result<(), DecodeError> {
    if body.len() > BODY_MAX {
        return Err(DecodeError::TooLong { length: body.len() });
    }
    let mut count = 0;
    for_each_field(body, |kind, message| {
        if listing.contains(&kind) {
            for_each_field(message, |field, _| {
                count += usize::from(field == ITEM_FIELD);
                Ok(())
            })
        } else {
            Ok(())
        }
    })?;
    if count > ITEMS_MAX {
        return Err(DecodeError::TooManyItems { count });
    }
    Ok(())
}

/// Visits the length-delimited fields of a message, each with its number and its bytes.
fn for_each_field<'a>(
    mut bytes: &'a [u8],
    mut visit: impl FnMut(u32, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while bytes.has_remaining() {
        let (number, wire_type) = decode_key(&mut bytes).map_err(|_| DecodeError::Protobuf)?;
        if wire_type == WireType::LengthDelimited {
            let length = decode_varint(&mut bytes).map_err(|_| DecodeError::Protobuf)?;
            let length = usize::try_from(length).map_err(|_| DecodeError::Protobuf)?;
            let (field, rest) = bytes
                .split_at_checked(length)
                .ok_or(DecodeError::Protobuf)?;
            bytes = rest;
            visit(number, field)?;
        } else {
            skip_field(wire_type, number, &mut bytes, DecodeContext::default())
                .map_err(|_| DecodeError::Protobuf)?;
        }
    }
    Ok(())
}
