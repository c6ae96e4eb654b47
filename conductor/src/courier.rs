//! Sends what is in the outbox, beside everything else: a receiver that is slow or away holds nothing up.
//!
//! A letter is claimed for longer than one attempt takes, so that of several conductors one sends it. What was not taken is
//! sent again with growing pauses, and given up (with an error in the log) after a day. Events that others have written for
//! webhooks become one letter for each address first.

use crate::announce::{NOTICE, WEBHOOK, webhook as letters_to_all};
use crate::desk::Desk;
use crate::webhook;
use freezer_database::{Letter, Tx};
use oslo_messaging::{Context, Notifier, Priority};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Letters under way at a time.
const BATCH: u32 = 16;
/// Longer than any attempt.
const HOLD: Duration = Duration::from_secs(180);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Between two looks at the outbox when nobody asks for one.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until told to stop.
pub(crate) async fn deliver(desk: Arc<Desk>, mut stopping: watch::Receiver<bool>) {
    if !desk.options.announces() && desk.options.webhook.urls.is_empty() {
        return;
    }
    let publisher = format!("freezer-conductor.{}", desk.options.host);
    let means = Arc::new(Means {
        notifier: Notifier::new(
            desk.options.notification_bus.as_ref().unwrap_or(&desk.transport),
            publisher,
            desk.options.notifications.clone(),
        ),
        http: webhook::client(&desk.options.webhook),
    });
    let pause = LOOK.min(desk.options.poll_interval);
    let kinds = kinds(&desk);
    while !*stopping.borrow() && stopping.has_changed().is_ok() {
        match round(&desk, &means, &kinds).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::warn!("the outbox could not be looked at: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => {}
        }
    }
}

struct Means {
    notifier: Notifier,
    http: Result<reqwest::Client, String>,
}

/// What this process can send. The rest is left to others.
fn kinds(desk: &Desk) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    if desk.options.announces() {
        kinds.push(NOTICE);
    }
    if !desk.options.webhook.urls.is_empty() {
        kinds.extend([WEBHOOK, Letter::EVENT]);
    }
    kinds
}

async fn round(
    desk: &Arc<Desk>,
    means: &Arc<Means>,
    kinds: &[&'static str],
) -> Result<usize, crate::ConductorError> {
    let wanted = kinds.to_vec();
    let claim = move |desk: &Desk, tx: &mut Tx| tx.outbox().claim_due(&wanted, desk.clock.now(), BATCH, HOLD);
    let letters = desk.transaction(claim).await?;
    let count = letters.len();
    let mut sending = JoinSet::new();
    for letter in letters {
        if letter.kind == Letter::EVENT {
            if let Err(error) = share(desk, letter).await {
                tracing::warn!("an event is not shared out yet, it will be looked at again: {error}");
            }
            continue;
        }
        let (desk, means) = (desk.clone(), means.clone());
        sending.spawn(async move {
            let outcome = send(&desk, &means, &letter).await;
            if let Err(error) = settle(&desk, letter, outcome).await {
                tracing::warn!("a letter's fate could not be noted, it may be sent again: {error}");
            }
        });
    }
    while sending.join_next().await.is_some() {}
    Ok(count)
}

/// Makes letters to all addresses of an event.
async fn share(desk: &Arc<Desk>, letter: Letter) -> Result<(), crate::ConductorError> {
    desk.transaction(move |desk, tx| {
        // Claimed anew by another in the meantime, it may be shared out already.
        if tx.outbox().remove(&letter.id)? {
            letters_to_all(desk, tx, &letter.body, desk.clock.now())
        } else {
            Ok(())
        }
    })
    .await
}

async fn send(desk: &Desk, means: &Means, letter: &Letter) -> Result<(), String> {
    match letter.kind.as_str() {
        WEBHOOK => webhook::post(&means.http, &desk.options.webhook, letter, desk.clock.now()).await,
        NOTICE => notify(&means.notifier, &letter.body).await,
        other => {
            tracing::error!(letter = %letter.id, "a letter of unknown kind {other:?} is dropped");
            Ok(())
        }
    }
}

async fn notify(notifier: &Notifier, body: &Value) -> Result<(), String> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let priority = if text("priority") == "ERROR" { Priority::Error } else { Priority::Info };
    let context: Map<String, Value> =
        body.get("context").and_then(Value::as_object).cloned().unwrap_or_default();
    let payload = body.get("payload").cloned().unwrap_or(Value::Null);
    notifier
        .notify(&Context::from(context), priority, text("event_type"), payload)
        .await
        .map_err(|error| error.to_string())
}

async fn settle(
    desk: &Arc<Desk>,
    letter: Letter,
    outcome: Result<(), String>,
) -> Result<(), crate::ConductorError> {
    desk.transaction(move |desk, tx| {
        let now = desk.clock.now();
        let Err(error) = &outcome else { return tx.outbox().remove(&letter.id).map(|_| ()) };
        if now.since(letter.created_at) >= GIVEN_UP_AFTER {
            tracing::error!(letter = %letter.id, kind = %letter.kind, "given up after {} attempts: {error}", letter.attempts);
            return tx.outbox().remove(&letter.id).map(|_| ());
        }
        let doublings = u32::try_from(letter.attempts.saturating_sub(1)).unwrap_or(0).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        tracing::warn!(letter = %letter.id, kind = %letter.kind, "not delivered, trying again in {pause:?}: {error}");
        tx.outbox().postpone(&letter.id, now.plus(pause), error)
    })
    .await
}
