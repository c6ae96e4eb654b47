//! Choosing a part of a backup's pieces to look at: the same part for the same seed, another one for another.

use sha2::{Digest, Sha256};

/// How much is looked at, and which part.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Above 0, up to 100. Of each level at least one piece is read.
    pub percent: f64,
    /// Such as the day: every piece comes up some day.
    pub seed: String,
}

impl Sample {
    /// Which of `count` pieces, each known by a name, are read.
    pub(crate) fn choose(&self, names: &[String]) -> Vec<bool> {
        let draws: Vec<u64> = names.iter().map(|name| self.draw(name)).collect();
        // Exact enough: a draw is one of 2^32 lots.
        let limit = (self.percent.clamp(0.0, 100.0) / 100.0 * (1u64 << 32) as f64) as u64;
        let least = draws.iter().copied().min();
        let mut has_one = false;
        let mut chosen: Vec<bool> = draws
            .iter()
            .map(|draw| {
                has_one |= *draw < limit;
                *draw < limit
            })
            .collect();
        if !has_one
            && let Some(place) = draws.iter().position(|draw| Some(*draw) == least)
            && let Some(choice) = chosen.get_mut(place)
        {
            *choice = true;
        }
        chosen
    }

    /// One of 2^32 lots.
    fn draw(&self, name: &str) -> u64 {
        let digest = Sha256::digest(format!("{}\0{name}", self.seed));
        digest.iter().take(4).fold(0, |lot, byte| lot << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chosen(percent: f64, seed: &str) -> Vec<bool> {
        let names: Vec<String> = (0..1000).map(|number| format!("piece {number}")).collect();
        Sample { percent, seed: seed.to_owned() }.choose(&names)
    }

    fn count(chosen: &[bool]) -> usize {
        chosen.iter().filter(|chosen| **chosen).count()
    }

    #[test]
    fn a_sample_has_its_size_and_another_day_another_one() {
        assert_eq!(chosen(10.0, "a"), chosen(10.0, "a"));
        assert_ne!(chosen(10.0, "a"), chosen(10.0, "b"));
        assert!((60..140).contains(&count(&chosen(10.0, "a"))), "{}", count(&chosen(10.0, "a")));
        assert_eq!(count(&chosen(100.0, "a")), 1000);
        assert_eq!(count(&chosen(0.000_001, "a")), 1, "never nothing");
        assert!(Sample { percent: 1.0, seed: String::new() }.choose(&[]).is_empty());
    }

    #[test]
    fn every_piece_comes_up() {
        let mut seen = vec![false; 1000];
        for day in 0..150 {
            for (seen, now) in seen.iter_mut().zip(chosen(10.0, &day.to_string())) {
                *seen |= now;
            }
        }
        assert_eq!(count(&seen), 1000);
    }
}
