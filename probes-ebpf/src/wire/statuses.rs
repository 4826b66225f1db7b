//! The statuses that nearly all answers have.

/// Counted in [`Latency`](super::Latency), which is at hand when an answer is timed; others have a counter
/// of their own.
pub const STATUSES: [u16; 16] = [
    200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 429, 500, 502, 503,
];

const FIRST: u16 = STATUSES[0];
const LAST: u16 = STATUSES[STATUSES.len() - 1];

/// The place of a status among [`STATUSES`]; of all others one behind their end.
#[inline(always)]
#[must_use]
pub fn place_of_status(status: u16) -> usize {
    let index = usize::from(status.wrapping_sub(FIRST));
    if index < PLACES.len() {
        usize::from(PLACES[index])
    } else {
        STATUSES.len()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "places are few")]
static PLACES: [u8; (LAST - FIRST + 1) as usize] = {
    let mut places = [STATUSES.len() as u8; (LAST - FIRST + 1) as usize];
    let mut place = 0;
    while place < STATUSES.len() {
        places[(STATUSES[place] - FIRST) as usize] = place as u8;
        place += 1;
    }
    places
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_own_place_or_none() {
        for status in 0..=u16::MAX {
            let place = STATUSES.iter().position(|counted| *counted == status);
            assert_eq!(place_of_status(status), place.unwrap_or(STATUSES.len()));
        }
    }
}
