//! Sends what is in the outbox, beside everything else: a receiver that is slow or away holds nothing up.
//!
//! A letter is claimed for longer than one attempt takes, so that of several conductors one sends it. What was not taken is
//! sent again with growing pauses, and given up (with an error in the log) after a day. Events that others have written for
//! webhooks become one letter for each address first. What is switched off here is left to other conductors, and removed when none
//! has looked at it for a day.

use crate::announce::{NOTICE, WEBHOOK, webhook as letters_to_all};
use crate::desk::Desk;
use crate::webhook;
use freezer_database::{Letter, Tx};
use freezer_model::Timestamp;
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
/// Between two looks for letters that nobody sends; the first is so long after the start, that those who send them come first.
const TIDY: Duration = Duration::from_secs(3600);
/// Of them removed in one transaction.
const TIDIED: u32 = 500;

/// Runs until told to stop; `began` is when this process did.
pub(crate) async fn deliver(desk: Arc<Desk>, began: Timestamp, mut stopping: watch::Receiver<bool>) {
    let kinds = kinds(&desk);
    let publisher = format!("freezer-conductor.{}", desk.options.host);
    let means = Arc::new(Means {
        notifier: Notifier::new(
            desk.options.notification_bus.as_ref().unwrap_or(&desk.transport),
            publisher,
            desk.options.notifications.clone(),
        ),
        http: if kinds.contains(&WEBHOOK) {
            webhook::client(&desk.options.webhook)
        } else {
            Err("no [webhook] urls".to_owned())
        },
    });
    let pause = LOOK.min(desk.options.poll_interval);
    let mut tidied_at = began;
    while !*stopping.borrow() && stopping.has_changed().is_ok() {
        let now = desk.clock.now();
        if now.since(tidied_at) >= TIDY {
            tidied_at = now;
            if let Err(error) = tidy(&desk, &kinds).await {
                tracing::warn!("letters that nobody sends stay in the outbox for now: {error}");
            }
        }
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

/// Removes what has been due for a day, as letters are given up after it, and is of kinds that are switched off here: whoever sends
/// them would have postponed or removed it.
async fn tidy(desk: &Arc<Desk>, kinds: &[&'static str]) -> Result<(), crate::ConductorError> {
    let off: Vec<_> =
        [NOTICE, WEBHOOK, Letter::EVENT].into_iter().filter(|kind| !kinds.contains(kind)).collect();
    if off.is_empty() {
        return Ok(());
    }
    let day = i64::try_from(GIVEN_UP_AFTER.as_millis()).unwrap_or(i64::MAX);
    loop {
        let off = off.clone();
        let remove = move |desk: &Desk, tx: &mut Tx| {
            let since = Timestamp(desk.clock.now().0.saturating_sub(day));
            tx.outbox().drop_unsent(&off, since, TIDIED)
        };
        let removed = desk.transaction(remove).await?;
        if removed > 0 {
            tracing::warn!("{removed} letters of kinds that are switched off were dropped after a day");
        }
        if removed < TIDIED as usize {
            return Ok(());
        }
    }
}

async fn round(
    desk: &Arc<Desk>,
    means: &Arc<Means>,
    kinds: &[&'static str],
) -> Result<usize, crate::ConductorError> {
    if kinds.is_empty() {
        return Ok(0);
    }
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
