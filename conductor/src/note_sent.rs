//! Notes which orders the broker has taken: from then on an agent has a whole lease to be heard.
//!
//! In batches, a moment late: most steps have been reported as begun by then and cost nothing more.

use crate::ConductorError;
use crate::desk::Desk;
use freezer_model::{Epoch, RunId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// An order that the broker has confirmed.
pub(crate) type Sent = (RunId, Epoch);

/// Orders noted by one statement.
const BATCH: usize = 500;
/// How long orders are gathered.
const GATHER: Duration = Duration::from_millis(50);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Runs until all senders are gone and what they sent is noted.
pub(crate) async fn note_sent(desk: Arc<Desk>, mut sent: UnboundedReceiver<Sent>) {
    let mut orders = Vec::new();
    while sent.recv_many(&mut orders, BATCH).await > 0 {
        tokio::time::sleep(GATHER).await;
        while orders.len() < BATCH
            && let Ok(order) = sent.try_recv()
        {
            orders.push(order);
        }
        while let Err(error) = note(&desk, orders.clone()).await {
            tracing::warn!("{} orders were sent and could not be noted as such: {error}", orders.len());
            if sent.is_closed() {
                // The process ends: another conductor hands these out again, under higher epochs.
                return;
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
        orders.clear();
    }
}

async fn note(desk: &Arc<Desk>, orders: Vec<Sent>) -> Result<(), ConductorError> {
    desk.transaction(move |desk, tx| {
        let lease_end = desk.clock.now().plus(desk.options.lease);
        tx.runs().note_sent(&orders, lease_end).map(drop)
    })
    .await
}
