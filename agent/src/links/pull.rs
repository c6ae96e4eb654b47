//! Fetches orders over the HTTPS link and gives them to the executor.

use super::Backoff;
use super::http::HttpLink;
use crate::daemon::{Accepted, Executor};
use freezer_model::rpc::WorkReply;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// An answer without anything new that came faster than this was not waited for.
const TOO_FAST: Duration = Duration::from_secs(1);

/// Asks for work for ever, while the conductor knows this agent.
pub async fn pull_forever(link: Arc<HttpLink>, executor: Arc<Executor>, mut greeted: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(Duration::from_secs(4), Duration::from_secs(30));
    let mut is_told = false;
    while greeted.wait_for(|greeted| *greeted).await.is_ok() {
        let asked_at = Instant::now();
        let pause = match link.work(&executor.known_steps()).await {
            Ok(orders) => {
                is_told = false;
                let news = obey(&executor, orders);
                if news || asked_at.elapsed() >= TOO_FAST {
                    backoff.reset();
                    continue;
                }
                backoff.pause(None)
            }
            Err(error) => {
                // Said once when it begins.
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("{error}; asking again");
                }
                backoff.pause(error.retry_after())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whether anything in it was new.
fn obey(executor: &Arc<Executor>, orders: WorkReply) -> bool {
    let mut news = false;
    for order in orders.run_action {
        let run_id = order.run_id.clone();
        match executor.run_action(order) {
            Ok(accepted) => news |= accepted == Accepted::New,
            Err(error) => tracing::error!("cannot journal run {run_id}, so it is not started: {error}"),
        }
    }
    for order in orders.abort_run {
        news |= executor.abort(&order);
    }
    news
}
