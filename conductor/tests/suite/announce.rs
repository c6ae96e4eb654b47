//! Webhooks against a real HTTP server.

use crate::stage::*;
use freezer_conductor::{ConductorOptions, WebhookOptions};
use freezer_model::*;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

const NOW: &str = "2026-01-01T00:00:00";
const SECRET: &[u8] = b"a long random text";

struct Post {
    headers: HashMap<String, String>,
    body: String,
}

impl Post {
    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn is_signed(&self) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(format!("{}.{}", self.headers["x-freezer-timestamp"], self.body).as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.headers["x-freezer-signature"] == format!("sha256={hex}")
    }
}

/// An HTTP server that answers what it is told to; 0 is nothing at all.
struct Receiver {
    url: String,
    status: Arc<AtomicU16>,
    posts: Mutex<mpsc::UnboundedReceiver<Post>>,
}

impl Receiver {
    async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let status = Arc::new(AtomicU16::new(status));
        let (sender, posts) = mpsc::unbounded_channel();
        let answer = status.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(receive(connection, answer.clone(), sender.clone()));
            }
        });
        Self { url, status, posts: Mutex::new(posts) }
    }

    async fn post(&self) -> Post {
        let next = async { self.posts.lock().await.recv().await };
        tokio::time::timeout(PATIENCE, next).await.expect("a webhook was expected").unwrap()
    }
}

async fn receive(mut connection: TcpStream, answer: Arc<AtomicU16>, posts: mpsc::UnboundedSender<Post>) {
    let (reader, mut writer) = connection.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.to_owned())),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).await.unwrap();
        // Read first: whoever has seen the post may change the answer to the next.
        let status = answer.load(Ordering::SeqCst);
        let _ = posts.send(Post { headers, body: String::from_utf8(body).unwrap() });
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        if writer.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn hooked(options: &mut ConductorOptions, urls: &[&Receiver]) {
    options.webhook = WebhookOptions {
        urls: urls.iter().map(|receiver| receiver.url.clone()).collect(),
        secret: Some(SECRET.to_vec()),
        timeout: Duration::from_secs(30),
    };
}

pub async fn webhooks_tell_of_failed_and_missed_runs(stage: Stage) {
    let receiver = Receiver::start(503).await;
    let conductor = stage.conductor_with(|options| hooked(options, &[&receiver])).await;
    let agent = Agent::start(&stage).await;
    stage.put_job("good", json!({"schedule_date": NOW}), &[backup_of("good")]);
    agent.work(StepOutcome::Success).await;
    stage.put_job("bad", json!({"schedule_date": NOW}), &[backup_of("bad")]);
    agent.work(StepOutcome::Fail).await;
    let first = receiver.post().await;
    assert!(first.is_signed());
    let event = first.event();
    assert_eq!((&event["event"], &event["job_id"]), (&json!("run.failed"), &json!("bad")));
    assert!(event["error"].as_str().unwrap().contains("disk full"));
    // Not taken: it outlives the conductor, and comes again.
    let again = stage.clock.now().plus(Duration::from_secs(5));
    stage
        .eventually("the failed delivery is noted", |stage| {
            stage.db.read(|tx| tx.outbox().next_attention()).unwrap() == Some(again)
        })
        .await;
    conductor.stop().await;
    receiver.status.store(204, Ordering::SeqCst);
    let conductor = stage.conductor_with(|options| hooked(options, &[&receiver])).await;
    stage.clock.set(again);
    let second = receiver.post().await;
    assert!(second.is_signed());
    assert_eq!(second.event(), event);
    assert_eq!(second.headers["x-freezer-delivery"], first.headers["x-freezer-delivery"]);
    // Did not run: refused before it began, and left out because the one before was at work.
    let quota = Quota { stored_bytes: Some(0), ..Quota::default() };
    stage.db.transaction(|tx| tx.quotas().put(&ProjectId::from("p"), &quota)).unwrap();
    stage.put_job("refused", json!({"schedule_date": NOW}), &[backup_of("refused")]);
    let event = receiver.post().await.event();
    assert_eq!((&event["event"], &event["job_id"]), (&json!("run.missed"), &json!("refused")));
    stage.db.transaction(|tx| tx.quotas().delete(&ProjectId::from("p"))).unwrap();
    stage.put_job(
        "long",
        json!({"schedule_interval": "1 hours", "schedule_start_date": NOW}),
        &[backup_of("long")],
    );
    stage.job_is("long", JobStatus::Scheduled).await;
    stage.clock.set(stage.job("long").next_run_at.unwrap());
    let order = agent.order().await;
    agent.started(&order).await;
    let next = stage.job("long").next_run_at.unwrap();
    while stage.clock.now() < next {
        stage.clock.advance(LEASE - Duration::from_secs(1));
        agent.heartbeat(vec![held(&order)]).await;
    }
    let event = receiver.post().await.event();
    assert_eq!(
        (&event["event"], &event["job_id"], &event["run_id"]),
        (&json!("run.missed"), &json!("long"), &Value::Null)
    );
    // A plan that cannot be followed has no run that could tell of it.
    stage.put_job("odd", json!({"schedule_interval": "1 day"}), &[backup_of("odd")]);
    let event = receiver.post().await.event();
    assert_eq!((&event["event"], &event["job_id"]), (&json!("run.missed"), &json!("odd")));
    assert!(event["error"].as_str().unwrap().contains("plan cannot be followed"), "{event}");
    // What the API was told by a scheduler that polls.
    let told = json!({"event": "run.failed", "job_id": "polled"});
    let project = ProjectId::from("p");
    stage.db.transaction(|tx| tx.outbox().put_event(&project, &told, stage.clock.now())).unwrap();
    let post = receiver.post().await;
    assert!(post.is_signed());
    assert_eq!(post.event(), told);
    stage
        .eventually("all are delivered", |stage| {
            stage.db.read(|tx| tx.outbox().next_attention()).unwrap().is_none()
        })
        .await;
    conductor.stop().await;
}

pub async fn an_agent_that_stays_away_is_told_of(stage: Stage) {
    let receiver = Receiver::start(204).await;
    let conductor = stage.conductor_with(|options| hooked(options, &[&receiver])).await;
    Agent::start(&stage).await.leave().await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[backup_of("j")]);
    stage.until_it_is_given_up("j").await;
    let event = receiver.post().await.event();
    assert_eq!((&event["event"], &event["job_id"]), (&json!("run.missed"), &json!("j")));
    assert!(event["error"].as_str().unwrap().contains("could not be reached"), "{event}");
    conductor.stop().await;
}

pub async fn a_job_that_polls_and_is_silent_is_told_of_once(stage: Stage) {
    let receiver = Receiver::start(204).await;
    let conductors = [
        stage.conductor_with(|options| hooked(options, &[&receiver])).await,
        stage.conductor_with(|options| hooked(options, &[&receiver])).await,
    ];
    let after = |hours: u64| T0.plus(Duration::from_secs(hours * 3600));
    stage.put_poller();
    stage.put_job("j", json!({"schedule_interval": "1 days"}), &[backup_of("j")]);
    // Nobody has heard of it yet: nothing is said of its silence.
    stage.next_look_is(None).await;
    for (heard, told) in [(0, 54), (60, 114)] {
        // Its scheduler says that it has planned it. Two days and a grace later nothing has followed.
        stage.clock.set(after(heard));
        stage.change_job("j", |job| job.state.status = JobStatus::Scheduled);
        stage.hear("j");
        stage.next_look_is(Some(after(told))).await;
        // A run that is under way may take its time; what is stopped or deleted is not waited for.
        stage.put_job("busy", json!({"schedule_interval": "1 hours"}), &[backup_of("busy")]);
        stage.change_job("busy", |job| job.state.status = JobStatus::Running);
        stage.put_job("stopped", json!({"schedule_interval": "1 hours"}), &[backup_of("stopped")]);
        stage.change_job("stopped", |job| job.state.status = JobStatus::Stop);
        stage.hear("busy");
        stage.hear("stopped");
        stage.put_job("gone", json!({"schedule_interval": "3 hours"}), &[backup_of("gone")]);
        stage.hear("gone");
        let ids = ["busy", "stopped", "gone"].map(JobId::from);
        stage.next_look_is(Some(after(heard + 12))).await;
        stage
            .db
            .transaction(|tx| {
                ids.iter().try_for_each(|id| tx.jobs().delete(&ProjectId::from("p"), id).map(drop))
            })
            .unwrap();
        stage.next_look_is(Some(after(told))).await;
        stage.clock.set(after(told));
        let post = receiver.post().await;
        assert!(post.is_signed());
        let event = post.event();
        assert_eq!(
            (&event["event"], &event["job_id"], &event["client_id"], &event["run_id"]),
            (&json!("run.missed"), &json!("j"), &json!("node1"), &Value::Null)
        );
        assert_eq!(event["due_at"], after(heard + 48).secs());
        assert!(event["error"].as_str().unwrap().contains("nothing was heard of the job since"), "{event}");
        stage.next_look_is(None).await;
        // An edit is no word of its scheduler.
        stage.change_job("j", |job| job.description = Some(format!("edited after {told} hours")));
        stage.next_look_is(None).await;
    }
    stage
        .eventually("all are delivered", |stage| {
            stage.db.read(|tx| tx.outbox().next_attention()).unwrap().is_none()
        })
        .await;
    assert!(receiver.posts.lock().await.try_recv().is_err(), "told twice");
    for conductor in conductors {
        conductor.stop().await;
    }
    // Who comes back after an outage lets schedulers speak first, for an hour.
    stage.clock.set(after(120));
    stage.hear("j");
    stage.clock.set(after(200));
    let conductor = stage.conductor_with(|options| hooked(options, &[&receiver])).await;
    stage.next_look_is(Some(after(201))).await;
    assert!(receiver.posts.lock().await.try_recv().is_err(), "told too soon");
    stage.clock.set(after(201));
    assert_eq!(receiver.post().await.event()["due_at"], after(168).secs());
    // Of a project that has much to tell silences wait; another one's do not.
    let [full, other] = ["p", "q"].map(ProjectId::from);
    let far = after(10_000);
    stage
        .db
        .transaction(|tx| (0..100).try_for_each(|_| tx.outbox().put_of(&full, "webhook", &json!({}), far)))
        .unwrap();
    stage.put_job_of("q", "node1", "k", json!({"schedule_interval": "1 days"}), &[backup_of("k")]);
    stage.next_look_is(None).await;
    stage.hear("j");
    let (k, now) = (JobId::from("k"), stage.clock.now());
    stage.db.transaction(|tx| tx.jobs().note_heard(&other, &k, now)).unwrap();
    stage.next_look_is(Some(after(255))).await;
    stage.clock.set(after(255));
    assert_eq!(receiver.post().await.event()["job_id"], "k");
    stage.next_look_is(Some(after(255).plus(Duration::from_secs(600)))).await;
    conductor.stop().await;
}

pub async fn a_silent_receiver_holds_nothing_up(stage: Stage) {
    let (silent, well) = (Receiver::start(0).await, Receiver::start(200).await);
    let conductor = stage.conductor_with(|options| hooked(options, &[&silent, &well])).await;
    let agent = Agent::start(&stage).await;
    for round in 0..3 {
        let name = format!("j{round}");
        stage.put_job(&name, json!({"schedule_date": NOW}), &[backup_of(&name)]);
        agent.work(StepOutcome::Fail).await;
    }
    silent.post().await;
    assert_eq!(well.post().await.event()["event"], "run.failed");
    stage.put_job("next", json!({"schedule_date": NOW}), &[backup_of("next")]);
    agent.work(StepOutcome::Success).await;
    conductor.stop().await;
}

/// Of a day ago, and of two hours later.
pub async fn letters_of_kinds_that_are_switched_off_go_after_a_day(stage: Stage) {
    let (old, young) = (stage.clock.now(), stage.clock.now().plus(Duration::from_secs(2 * 3600)));
    let project = ProjectId::from("p");
    for at in [old, young] {
        stage
            .db
            .transaction(|tx| {
                tx.outbox().put("notice", &json!({}), at)?;
                tx.outbox().put("webhook", &json!({}), at)?;
                tx.outbox().put_event(&project, &json!({}), at)
            })
            .unwrap();
    }
    let waiting = |stage: &Stage| stage.db.read(|tx| tx.outbox().count_events(&project)).unwrap();
    let next = |stage: &Stage| stage.db.read(|tx| tx.outbox().next_attention()).unwrap();
    assert_eq!((waiting(&stage), next(&stage)), (2, Some(old)));
    let conductor = stage.conductor().await;
    stage.clock.advance(Duration::from_secs(25 * 3600));
    stage.eventually("what nobody sends is gone", |stage| next(stage) == Some(young)).await;
    assert_eq!(waiting(&stage), 1);
    stage.clock.advance(Duration::from_secs(2 * 3600));
    stage.eventually("so are those of later", |stage| next(stage).is_none()).await;
    conductor.stop().await;
}
