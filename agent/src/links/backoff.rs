//! Pauses between tries: doubling, spread widely (a thousand agents lose their service at one moment), and never shorter than
//! the server asked for.

use std::time::Duration;

/// Pauses of one task.
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

/// Whatever a server asks for: an agent looks at least this often.
const ASKED_AT_MOST: Duration = Duration::from_secs(300);

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The last try went well.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The pause after one that did not. `asked` is the server's `Retry-After`: spread upwards, so that a thousand agents
    /// that were sent away together do not come back together.
    pub fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let grown = self.next.mul_f64(0.1 + fraction() * 0.9);
        self.next = (self.next * 2).min(self.longest);
        match asked {
            Some(asked) => asked.min(ASKED_AT_MOST).mul_f64(1.0 + fraction() / 4.0).max(grown),
            None => grown,
        }
    }
}

/// Something from 0 to 1, different each time.
fn fraction() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The version's bits are among the lower ones.
    f64::from(u32::try_from(high >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_limit_and_heeds_what_is_asked() {
        let secs = Duration::from_secs;
        let mut backoff = Backoff::new(secs(1), secs(8));
        for limit in [1, 2, 4, 8, 8, 8] {
            let pause = backoff.pause(None);
            assert!(pause >= secs(limit) / 10 && pause <= secs(limit), "{pause:?} of {limit}");
        }
        let asked = backoff.pause(Some(secs(20)));
        assert!(asked >= secs(20) && asked <= secs(25), "{asked:?}");
        assert!(backoff.pause(Some(secs(1_000_000))) <= secs(375));
        backoff.reset();
        assert!(backoff.pause(None) <= secs(1));
    }
}
