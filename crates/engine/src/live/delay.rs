//! How long records wait to be judged, since this start: counted, and in no entry, since a replay judges at another time.

use std::time::Duration;

use super::Live;

/// How often records of a source waited how long, as Prometheus counts it: from when the source had read a record and handed
/// it over, over the queue, masking and sealing, to when its findings were known; sealing and telling those comes after.
///
/// Of records that are judged at once, so none in quarantine. One that must be joined with its next is counted when it was
/// taken to be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Records by the first of [`Self::BOUNDS`] they didn't exceed; those that exceed all are in none.
    within: [u64; Self::BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Delay {
    /// Upper bounds, from less to more.
    pub const BOUNDS: [Duration; 12] = [
        Duration::from_micros(1000),
        Duration::from_micros(2500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_secs(1),
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_secs(300),
    ];

    /// Counts a record that waited so long.
    pub fn add(&mut self, waited: Duration) {
        let bounds = Self::BOUNDS.iter().zip(&mut self.within);
        if let Some((_, within)) = bounds.into_iter().find(|(bound, _)| waited <= **bound) {
            *within += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(waited);
    }

    /// How many records waited no longer than each bound, those of lesser bounds included.
    pub fn up_to(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut up_to = 0;
        Self::BOUNDS
            .into_iter()
            .zip(self.within)
            .map(move |(bound, within)| {
                up_to += within;
                (bound, up_to)
            })
    }

    /// Records counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long all of them waited together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

impl Live {
    /// Counts how long what was just judged waited for it.
    pub(super) fn note_delays(&mut self) {
        let Some(judged) = self.pipeline.judged() else {
            return;
        };
        for (entry, given) in self.waiting.iter().zip(self.given.drain(..)) {
            if !entry.quarantined
                && let Some(track) = self.tracks.get_mut(&entry.source)
            {
                track.delay.add(judged.saturating_duration_since(given));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Delay;

    /// How many of those that waited so many microseconds waited no longer than 1, 2.5, 5 and 10 ms, and than the last bound.
    #[track_caller]
    fn check(micros: &[u64], expected: [u64; 5]) {
        let mut delay = Delay::default();
        for waited in micros {
            delay.add(Duration::from_micros(*waited));
        }
        let counts: Vec<_> = delay.up_to().map(|(_, count)| count).collect();
        assert_eq!(counts.len(), Delay::BOUNDS.len());
        let shown = [counts[0], counts[1], counts[2], counts[3], counts[11]];
        assert_eq!(shown, expected);
        assert_eq!(delay.count(), micros.len() as u64);
        assert_eq!(delay.sum(), Duration::from_micros(micros.iter().sum()));
    }

    #[test]
    fn counts_each_bound_with_those_below() {
        check(&[], [0; 5]);
        // A bound holds what is just as long.
        check(&[0, 1000, 1001], [2, 3, 3, 3, 3]);
        check(&[9_999, 10_001, 4_000], [0, 0, 1, 2, 3]);
        // What is longer than all is counted, within none.
        check(&[300_000_001], [0; 5]);
    }

    #[test]
    fn bounds_rise() {
        assert!(Delay::BOUNDS.is_sorted_by(|one, next| one < next));
    }
}
