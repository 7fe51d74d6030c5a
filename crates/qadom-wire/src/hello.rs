//! What a node says about itself in the handshake, and again in a ping when it changed.

use std::net::{SocketAddrV4, SocketAddrV6};

use bytes::Bytes;

use crate::address::{Addresses, STORING, take_array};

/// The longest hello that this revision packs, in bytes, its length byte included.
pub const HELLO_LENGTH_MAX: usize = 26;

/// What a node says about itself: whether it stores for others, and the addresses it advertises.
///
/// # Examples
///
/// ```
/// use qadom_wire::Hello;
///
/// let hello = Hello { storing: true, v4: None, v6: None };
/// assert_eq!(hello.pack()[..], [1, 1]);
/// assert_eq!(Hello::unpack(&hello.pack())?, hello);
/// # Ok::<(), qadom_wire::HelloError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Whether the node keeps records for others.
    pub storing: bool,
    /// The IPv4 address that it advertises, if it advertises one.
    pub v4: Option<SocketAddrV4>,
    /// The IPv6 address that it advertises, if it advertises one.
    pub v6: Option<SocketAddrV6>,
}

/// The bytes are no hello. Their sender is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Hello, HelloError};
///
/// assert_eq!(Hello::unpack(&[5, 0]), Err(HelloError::Length));
/// assert_eq!(Hello::unpack(&[1, 2]), Err(HelloError::Truncated));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The length byte does not say how many bytes follow it.
    #[error("the hello does not have the length that its first byte says")]
    Length,
    /// The flags announce addresses that do not follow.
    #[error("the hello ends before the addresses that its flags announce")]
    Truncated,
}

impl Hello {
    /// Packs the hello: length of what follows, flags, IPv4 (6 bytes), IPv6 (18 bytes).
    ///
    /// An IPv4-mapped IPv6 address is packed as the IPv4 address it stands for.
    pub fn pack(&self) -> Bytes {
        let addresses = Addresses::new(self.v4, self.v6);
        let mut packed = Vec::with_capacity(HELLO_LENGTH_MAX);
        packed.push(0);
        packed.push(addresses.flags(self.storing));
        addresses.put(&mut packed);
        let following = u8::try_from(packed.len() - 1).unwrap_or(u8::MAX);
        if let Some(length) = packed.first_mut() {
            *length = following;
        }
        packed.into()
    }

    /// Reads a packed hello. What a later revision puts behind the known fields, and flags that
    /// this one does not know, are skipped.
    ///
    /// # Errors
    ///
    /// [`HelloError`] when the length byte is wrong or an announced address is missing.
    pub fn unpack(packed: &[u8]) -> Result<Self, HelloError> {
        let (length, mut rest) = packed.split_first().ok_or(HelloError::Length)?;
        if rest.len() != usize::from(*length) {
            return Err(HelloError::Length);
        }
        let [flags] = take_array(&mut rest).ok_or(HelloError::Truncated)?;
        let addresses = Addresses::take(flags, &mut rest).ok_or(HelloError::Truncated)?;
        Ok(Self {
            storing: flags & STORING != 0,
            v4: addresses.v4,
            v6: addresses.v6,
        })
    }
}
