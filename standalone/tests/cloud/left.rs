//! What agents that were killed have left in a project, until others have removed it.

use super::{LOOK, PATIENCE};
use std::time::Instant;

/// Runs `next`, which looks for it, until `all` that the project holds is as `before`.
///
/// A service goes on with a request that was under way when its agent was killed. What it makes of that may come when
/// the next agent has looked already, and only one that looks later can remove it. What was there when an agent began
/// must be gone when that one has ended.
pub async fn goes_with_the_next(before: &[String], all: impl AsyncFn() -> Vec<String>, next: impl AsyncFn()) {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = all().await;
        next().await;
        let left = all().await;
        if left == before {
            return;
        }
        let lost: Vec<&String> = before.iter().filter(|row| !left.contains(row)).collect();
        assert!(lost.is_empty(), "{lost:?} went, too; there is {left:?}");
        let stays: Vec<&String> =
            left.iter().filter(|row| found.contains(row) && !before.contains(row)).collect();
        assert!(stays.is_empty(), "{stays:?} was there and stays");
        assert!(Instant::now() < end, "more and more comes: {left:?}");
        tokio::time::sleep(LOOK).await;
    }
}
