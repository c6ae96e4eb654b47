//! How long to wait before trying again: doubling pauses with jitter, or what the server asks for.

use crate::options::RetryPolicy;
use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

impl RetryPolicy {
    /// The pause before repetition number `repetition` (from 0). `asked` is the server's `Retry-After`.
    pub(crate) fn pause(&self, repetition: u32, asked: Option<Duration>) -> Duration {
        let grown = self.first_pause.saturating_mul(1 << repetition.min(16)).min(self.longest_pause);
        match asked {
            Some(asked) => asked.min(self.longest_pause),
            None => grown.mul_f64(0.5 + fraction() / 2.0),
        }
    }
}

/// Something between 0 and 1, different each time. Spreads the herd, protects nothing.
fn fraction() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// `Retry-After` as seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn asked(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
        retry_after(&headers, "2026-11-22T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn seconds_dates_and_nonsense() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 22 Nov 2026 10:00:05 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(asked("Sun, 22 Nov 2026 09:00:05 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }

    #[test]
    fn pauses_grow_and_end() {
        let policy = RetryPolicy {
            max_retries: 9,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(1),
        };
        for (repetition, full_ms) in [(0, 100), (1, 200), (3, 800), (4, 1000), (60, 1000)] {
            let pause = policy.pause(repetition, None).as_millis();
            assert!(pause >= full_ms / 2 && pause <= full_ms, "{repetition}: {pause}");
        }
        assert_eq!(policy.pause(0, Some(Duration::from_secs(99))), Duration::from_secs(1));
        assert_eq!(policy.pause(0, Some(Duration::ZERO)), Duration::ZERO);
    }
}
