//! How many requests may be unanswered at one peer.
//!
//! What must stay true: between 1 and 256 requests; one more for each answer, half for a loss, at
//! most once in a round trip.

use core::time::Duration;

const FIRST: u16 = 4;
const LARGEST: u16 = 256;

/// The window of one peer and its use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    limit: u16,
    in_flight: u16,
    /// When it was halved last, in microseconds modulo 2^32, to stay small; never, while zero.
    halved: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            limit: FIRST,
            in_flight: 0,
            halved: 0,
        }
    }
}

impl Window {
    /// Whether one more request may be sent.
    pub(crate) const fn has_room(self) -> bool {
        self.in_flight < self.limit
    }

    pub(crate) const fn in_flight(self) -> u16 {
        self.in_flight
    }

    pub(crate) fn on_sent(&mut self) {
        self.in_flight += 1;
    }

    /// A request left the window without an answer.
    pub(crate) fn on_ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// An answer came.
    pub(crate) fn on_answer(&mut self) {
        self.limit = (self.limit + 1).min(LARGEST);
    }

    /// A datagram was lost at `now`; losses within one round trip count as one.
    pub(crate) fn on_loss(&mut self, now: Duration, round_trip: Duration) {
        let now = micros(now);
        // A loss exactly 71.6 minutes later, give or take a round trip, goes without notice.
        let since = Duration::from_micros(now.wrapping_sub(self.halved).into());
        if self.halved == 0 || since >= round_trip {
            self.limit = (self.limit / 2).max(1);
            self.halved = now;
        }
    }
}

/// Never zero, which stands for never.
fn micros(now: Duration) -> u32 {
    let [a, b, c, d, ..] = now.as_micros().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_by_one_to_256_and_halves_once_in_a_round_trip() {
        let mut window = Window::default();
        let room = |window: &Window| {
            let mut probe = *window;
            while probe.has_room() {
                probe.on_sent();
            }
            probe.in_flight()
        };
        assert_eq!(room(&window), 4);
        for _ in 0..1000 {
            window.on_answer();
        }
        assert_eq!(room(&window), 256);
        let trip = Duration::from_millis(10);
        window.on_loss(Duration::from_millis(100), trip);
        window.on_loss(Duration::from_millis(105), trip);
        assert_eq!(room(&window), 128);
        for late in 11..40u64 {
            window.on_loss(Duration::from_millis(100 * late), trip);
        }
        assert_eq!(room(&window), 1);
    }

    #[test]
    fn losses_count_where_the_clock_of_32_bits_turns_over() {
        let mut window = Window::default();
        let trip = Duration::from_millis(10);
        let turn = Duration::from_micros(1 << 32);
        let before = turn.saturating_sub(Duration::from_millis(4));
        window.on_loss(before, trip);
        assert_eq!(window.limit, 2);
        window.on_loss(turn, trip);
        assert_eq!(window.limit, 2, "within one round trip");
        window.on_loss(before + trip, trip);
        assert_eq!(window.limit, 1);
    }
}
