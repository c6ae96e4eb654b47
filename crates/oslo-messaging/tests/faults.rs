//! What goes wrong with a broker, and how everything comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stage;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use oslo_messaging::{
    AckPolicy, Context, Error, RabbitOptions, Request, ServerOptions, Transport, decode_body, encode_body,
};
use serde_json::{Value, json};
use stage::relay::Relay;
use stage::{Desk, Vhost, client, connect, eventually, in_time, quick, serve, serve_with};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn ctx() -> Context {
    Context::new()
}

/// Makes the broker close all connections until both sides saw it.
async fn break_connections(vhost: &Vhost, transports: &[&Transport]) {
    let mut watches: Vec<_> = transports.iter().map(|transport| transport.watch_connection()).collect();
    for watch in &mut watches {
        in_time("the connection", watch.wait_for(|connected| *connected)).await.unwrap();
        watch.mark_unchanged();
    }
    vhost.close_all_connections();
    for watch in &mut watches {
        in_time("the loss of the connection", watch.changed()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_under_the_same_names() {
    let vhost = Vhost::new();
    let (there, here) = (connect(&vhost.url()), connect(&vhost.url()));
    let desk = Desk::new("host1");
    let server = serve(&there, &desk).await;
    let caller = client(&here);
    caller.call(&ctx(), "echo", json!({})).await.unwrap();
    let names = |vhost: &Vhost| {
        let mut names: Vec<_> = vhost.queues().into_keys().collect();
        names.sort();
        names
    };
    let before = names(&vhost);
    assert_eq!(before.len(), 4, "{before:?}");
    for round in 1..=3 {
        break_connections(&vhost, &[&there, &here]).await;
        assert_eq!(caller.call(&ctx(), "whoami", json!({})).await.unwrap(), "host1", "round {round}");
        in_time("the connections", there.connected()).await;
        caller.prepare().fanout(true).cast(&ctx(), "nothing", json!({})).await.unwrap();
        eventually("the fanout", || desk.count("nothing") == round).await;
        assert_eq!(names(&vhost), before, "round {round}");
    }
    server.stop().await;
    here.close().await;
    assert_eq!(names(&vhost), ["t", "t.host1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_survive_a_lost_connection() {
    let vhost = Vhost::new();
    let (there, here) = (connect(&vhost.url()), connect(&vhost.url()));
    let desk = Desk::new("host1");
    let server = serve(&there, &desk).await;
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let caller = client(&here);
            tokio::spawn(async move { caller.call(&ctx(), "hold", json!({})).await })
        })
        .collect();
    eventually("five at work", || desk.running.load(Ordering::SeqCst) == 5).await;
    break_connections(&vhost, &[&there, &here]).await;
    desk.gate.add_permits(5);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "let go");
    }
    assert_eq!(desk.count("hold"), 5, "each ran once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivered_request_is_not_run_beside_itself() {
    let vhost = Vhost::new();
    let (there, here) = (connect(&vhost.url()), connect(&vhost.url()));
    let desk = Desk::new("host1");
    let options = ServerOptions { ack: AckPolicy::AfterWork, ..ServerOptions::default() };
    let server = serve_with(&there, &desk, options).await;
    let caller = client(&here);
    let call = tokio::spawn(async move { caller.call(&ctx(), "hold", json!({})).await });
    eventually("it at work", || desk.running.load(Ordering::SeqCst) == 1).await;
    break_connections(&vhost, &[&there]).await; // not acknowledged: it is delivered again
    in_time("the connection", there.connected()).await;
    client(&here).call(&ctx(), "whoami", json!({})).await.unwrap(); // passed behind the redelivered one
    assert_eq!(desk.count("hold"), 1);
    desk.gate.add_permits(2);
    assert_eq!(call.await.unwrap().unwrap(), "let go");
    server.stop().await;
    assert_eq!(desk.count("hold"), 1);
    assert_eq!(vhost.queues()["t"], 0, "its second delivery was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_while_connections_break() {
    let vhost = Vhost::new();
    let durable =
        || Transport::connect(&vhost.url(), RabbitOptions { amqp_durable_queues: true, ..quick() }).unwrap();
    let (there, here) = (durable(), durable());
    let desk = Desk::new("host1");
    let options = ServerOptions { ack: AckPolicy::AfterWork, ..ServerOptions::default() };
    let server = serve_with(&there, &desk, options).await;
    let caller = client(&here).send_timeout(Duration::from_secs(30));
    let casts = tokio::spawn(async move {
        let mut confirmed = 0;
        for _ in 0..600 {
            caller.cast(&ctx(), "echo", json!({})).await.unwrap();
            confirmed += 1;
            tokio::time::sleep(Duration::from_millis(2)).await; // so that the breaks fall in between
        }
        confirmed
    });
    for _ in 0..3 {
        break_connections(&vhost, &[&there, &here]).await;
        in_time("the connections", async { tokio::join!(there.connected(), here.connected()) }).await;
    }
    let confirmed = in_time("the casts", casts).await.unwrap();
    eventually("all of them", || desk.count("echo") >= confirmed).await;
    server.stop().await;
    assert_eq!(desk.count("echo"), confirmed, "and none ran twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_wait_for_the_broker_and_then_fail() {
    let vhost = Vhost::new();
    let mut relay = Relay::start(&vhost.address()).await;
    let near = connect(&vhost.url());
    let desk = Desk::new("host1");
    let server = serve(&near, &desk).await;
    let far = connect(&vhost.url_at(&relay.address));
    let caller = client(&far).send_timeout(Duration::from_millis(500));
    // The way to the broker is made with it.
    caller.prepare().send_timeout(Duration::from_secs(30)).cast(&ctx(), "echo", json!({})).await.unwrap();
    relay.stop();
    let mut watch = far.watch_connection();
    in_time("the loss", watch.wait_for(|connected| !connected)).await.unwrap();
    assert!(!far.is_connected());
    let started = Instant::now();
    let error = caller.cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&relay.address), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(500));
    let error = caller.prepare().timeout(Duration::from_millis(300)).call(&ctx(), "echo", json!({})).await;
    assert!(error.unwrap_err().is_transient());
    let patient = caller.prepare().send_timeout(Duration::from_secs(30));
    let waiting = tokio::spawn(async move { patient.cast(&ctx(), "nothing", json!({})).await });
    relay.restart().await;
    in_time("the waiting cast", waiting).await.unwrap().unwrap();
    eventually("the cast", || desk.count("nothing") == 1).await;
    assert_eq!(desk.count("echo"), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_host_takes_over() {
    let vhost = Vhost::new();
    let (mut first, mut second) =
        (Relay::start(&vhost.address()).await, Relay::start(&vhost.address()).await);
    let one = vhost.url_at(&first.address);
    let (head, tail) = one.rsplit_once('/').unwrap();
    let credentials = head.trim_start_matches("rabbit://").rsplit_once('@').unwrap().0;
    let url = format!("{head},{credentials}@{},{credentials}@127.0.0.1:1/{tail}", second.address);
    let transport = Transport::connect(&url, quick()).unwrap();
    let desk = Desk::new("host1");
    let server = serve(&transport, &desk).await;
    for round in 0..3 {
        let (dies, lives) =
            if round % 2 == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
        if round > 0 {
            lives.restart().await;
        }
        dies.stop();
        let answer = client(&transport).call(&ctx(), "whoami", json!({})).await.unwrap();
        assert_eq!(answer, "host1", "round {round}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_reported_at_once() {
    let vhost = Vhost::new();
    let wrong = format!("rabbit://nobody:wr0ng@{}/{}", vhost.address(), vhost.name);
    let error =
        in_time("a refusal", client(&connect(&wrong)).cast(&ctx(), "echo", json!({}))).await.unwrap_err();
    assert!(matches!(&error, Error::AccessRefused { user, .. } if user == "nobody"), "{error}");
    assert!(!error.to_string().contains("wr0ng"));
    let no_vhost = connect(&vhost.url().replace(&vhost.name, "there-is-no-such-vhost"));
    let error = in_time("a refusal", client(&no_vhost).call(&ctx(), "echo", json!({}))).await.unwrap_err();
    assert!(matches!(&error, Error::AccessRefused { vhost, .. } if vhost.contains("no-such")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quarrels_about_queues_and_endless_names_are_reported() {
    let vhost = Vhost::new();
    serve(&connect(&vhost.url()), &Desk::new("host1")).await.stop().await;
    let quorum =
        Transport::connect(&vhost.url(), RabbitOptions { rabbit_quorum_queue: true, ..quick() }).unwrap();
    let endpoints: Vec<std::sync::Arc<dyn oslo_messaging::Endpoint>> = vec![Desk::new("host1")];
    let start = oslo_messaging::RpcServer::start(
        &quorum,
        stage::target().server("host1"),
        endpoints,
        ServerOptions::default(),
    );
    let error = in_time("a refusal", start).await.unwrap_err();
    assert!(matches!(&error, Error::Declaration { what, .. } if what == "queue t"), "{error}");
    let endless = client(&connect(&vhost.url())).topic("x".repeat(300));
    let error = endless.cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(error, Error::Declaration { .. }), "{error}");
}

/// A bare AMQP client beside ours.
struct Bare {
    _connection: Connection,
    channel: lapin::Channel,
}

impl Bare {
    async fn new(vhost: &Vhost) -> Self {
        let connection = Connection::connect(&vhost.amqp(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { _connection: connection, channel }
    }

    async fn publish(&self, key: &str, properties: BasicProperties, body: &[u8]) {
        let (exchange, options) = ("ex".into(), BasicPublishOptions::default());
        self.channel.basic_publish(exchange, key.into(), options, body, properties).await.unwrap();
    }

    async fn queue(&self, name: &str) -> lapin::Consumer {
        self.channel
            .queue_declare(name.into(), QueueDeclareOptions::default(), FieldTable::default())
            .await
            .unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        self.channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await.unwrap()
    }
}

fn request(method: &str, msg_id: &str, reply_q: &str) -> Request {
    Request {
        method: method.to_owned(),
        args: json!({}),
        namespace: None,
        version: None,
        msg_id: Some(msg_id.to_owned()),
        reply_q: Some(reply_q.to_owned()),
        monitor_timeout: None,
        unique_id: Some(uuid::Uuid::new_v4().simple().to_string()),
        context: Context::new(),
    }
}

fn json_properties() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}

async fn next_reply(replies: &mut lapin::Consumer) -> Value {
    let delivery = in_time("a reply", replies.next()).await.unwrap().unwrap();
    Value::Object(decode_body(&delivery.data, Some("application/json"), None).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_captured_oddities_are_treated_as_python_treats_them() {
    let vector = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/18.3.1/tolerance.json");
    let vector: Value = serde_json::from_slice(&std::fs::read(vector).unwrap()).unwrap();
    let vhost = Vhost::new();
    let transport = connect(&vhost.url());
    let desk = Desk::new("host1");
    let server = serve(&transport, &desk).await;
    let bare = Bare::new(&vhost).await;
    let mut replies = bare.queue("answers-3c0f00f7").await;
    let ran =
        || ["echo", "nothing", "sleep", "context"].iter().map(|method| desk.count(method)).sum::<usize>();
    let mut tried = 0;
    for case in vector["requests-to-a-real-server"].as_array().unwrap() {
        let (what, body) = (case["what"].as_str().unwrap(), case["body"].as_str().unwrap());
        // Binary bodies are not in the vector; we remember more ids and read a null version as the default.
        if body == "(binary)"
            || what.contains("sixteen others")
            || what == "version null"
            || what.contains("1.3")
            || what == "fifteen others"
            || what == "_msg_id without _reply_q"
            || what.contains("2.5 s")
        {
            continue;
        }
        let before = ran();
        let mut properties = json_properties();
        if let Some(content_type) = case["properties"].get("content_type") {
            properties = content_type.as_str().map_or_else(BasicProperties::default, |text| {
                BasicProperties::default().with_content_type(text.into())
            });
        }
        for _ in 0..case["sent"].as_u64().unwrap() {
            bare.publish("t", properties.clone(), body.as_bytes()).await;
        }
        let expected = case["replies"].as_array().unwrap();
        for expected in expected {
            let reply = next_reply(&mut replies).await;
            assert_eq!(reply["failure"].is_null(), expected["failure"].is_null(), "{what}: {reply}");
            assert_eq!(reply["result"], expected["result"], "{what}");
            assert_eq!(reply["ending"], expected["ending"], "{what}");
        }
        // A plain call behind it: the odd one was dealt with, and the server lives.
        bare.publish(
            "t",
            json_properties(),
            &encode_body(&request("whoami", "m-1", "answers-3c0f00f7").to_value()),
        )
        .await;
        let reply = next_reply(&mut replies).await;
        assert_eq!(
            (&reply["result"], &reply["_msg_id"]),
            (&json!("host1"), &json!("m-1")),
            "{what}: {reply}"
        );
        let dispatched = case["dispatched"].as_array().unwrap().len();
        eventually("the dispatch", || ran() - before == dispatched || dispatched == 0).await;
        assert_eq!(ran() - before, dispatched, "{what}");
        tried += 1;
    }
    assert!(tried > 35, "only {tried} cases");
    server.stop().await;
    assert_eq!(vhost.queues()["t"], 0, "rejected for good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_does_not_stop_a_server_or_a_caller() {
    let vhost = Vhost::new();
    let transport = connect(&vhost.url());
    let server = serve(&transport, &Desk::new("host1")).await;
    let bare = Bare::new(&vhost).await;
    let caller = client(&transport);
    caller.call(&ctx(), "whoami", json!({})).await.unwrap();
    let reply_q = vhost.queues().into_keys().find(|name| name.starts_with("reply_")).unwrap();
    let mut bodies: Vec<Vec<u8>> =
        vec![b"\xff\xfe\x00".to_vec(), b"{\"oslo.version\": \"2.0\"".to_vec(), vec![b'['; 200_000]];
    bodies.push(
        br#"{"oslo.version": "2.0", "oslo.message": "{\"method\": \"echo\", \"args\": {\"n\": NaN}}"}"#
            .to_vec(),
    );
    bodies.push(encode_body(&json!({"_msg_id": "unknown", "result": 1, "failure": null, "ending": true})));
    bodies.push(encode_body(&request("echo", "m", &"q".repeat(300)).to_value())); // a reply queue that cannot be
    for body in &bodies {
        bare.publish("t", json_properties(), body).await;
        let (exchange, options) = ("".into(), BasicPublishOptions::default());
        bare.channel
            .basic_publish(exchange, reply_q.as_str().into(), options, body, json_properties())
            .await
            .unwrap();
    }
    for _ in 0..3 {
        assert_eq!(caller.call(&ctx(), "whoami", json!({})).await.unwrap(), "host1");
    }
    server.stop().await;
    assert_eq!((vhost.queues()["t"], vhost.queues()[&reply_q]), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_queue_that_is_missing_is_looked_for_and_then_given_up() {
    let vhost = Vhost::new();
    let options = RabbitOptions { kombu_missing_consumer_retry_timeout: Duration::from_secs(3), ..quick() };
    let transport = Transport::connect(&vhost.url(), options).unwrap();
    let desk = Desk::new("host1");
    let server = serve(&transport, &desk).await;
    let bare = Bare::new(&vhost).await;
    bare.publish("t", json_properties(), &encode_body(&request("echo", "m-1", "late").to_value())).await;
    eventually("the method", || desk.count("echo") == 1).await;
    let mut late = bare.queue("late").await; // it comes while the server is looking for it
    assert_eq!(next_reply(&mut late).await["_msg_id"], "m-1");
    bare.publish("t", json_properties(), &encode_body(&request("echo", "m-2", "never").to_value())).await;
    eventually("the method", || desk.count("echo") == 2).await;
    assert_eq!(
        client(&transport).call(&ctx(), "whoami", json!({})).await.unwrap(),
        "host1",
        "others are served"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_replies_are_read_as_python_reads_them() {
    let vector = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/18.3.1/tolerance.json");
    let vector: Value = serde_json::from_slice(&std::fs::read(vector).unwrap()).unwrap();
    let vhost = Vhost::new();
    serve(&connect(&vhost.url()), &Desk::new("host1")).await.stop().await; // makes exchange and queue
    let transport = connect(&vhost.url());
    let bare = Bare::new(&vhost).await;
    let mut requests = bare.queue("t").await;
    let mut tried = 0;
    for case in vector["replies-to-a-real-client"].as_array().unwrap() {
        let what = case["what"].as_str().unwrap();
        let expected = &case["caller-got"];
        let patience =
            if expected["ok"] == true || expected["class"] != "MessagingTimeout" { 20_000 } else { 300 };
        if what.contains("pings every second") || what.contains("call_monitor_timeout 1") {
            continue; // the clocks are tested elsewhere
        }
        let mut caller = client(&transport).timeout(Duration::from_millis(patience));
        if what.contains("call_monitor_timeout 2") {
            caller = caller.monitor_timeout(Duration::from_secs(2));
        }
        let call = tokio::spawn(async move { caller.call(&ctx(), "m", json!({})).await });
        let asked = next_reply(&mut requests).await;
        let (msg_id, reply_q) = (asked["_msg_id"].as_str().unwrap(), asked["_reply_q"].as_str().unwrap());
        let properties = match case["properties"].get("content_type") {
            Some(Value::Null) => BasicProperties::default(),
            _ => json_properties(),
        };
        for (number, reply) in case["replies"].as_array().unwrap().iter().enumerate() {
            let id = if what.starts_with("wrong _msg_id") && number == 0 { "other" } else { msg_id };
            let body = reply.as_str().unwrap().replace("MSG_ID", id);
            let options = BasicPublishOptions::default();
            let sent = bare.channel.basic_publish(
                "".into(),
                reply_q.into(),
                options,
                body.as_bytes(),
                properties.clone(),
            );
            sent.await.unwrap();
        }
        let got = call.await.unwrap();
        match expected["class"].as_str() {
            None => assert_eq!(
                got.unwrap_or_else(|error| panic!("{what}: {error}")),
                expected["result"],
                "{what}"
            ),
            Some("MessagingTimeout") => assert!(matches!(got, Err(Error::Timeout { .. })), "{what}: {got:?}"),
            // Python breaks on these; we read them.
            Some("KeyError" | "AttributeError") => assert_eq!(got.unwrap(), 5, "{what}"),
            Some(_) => {
                assert!(what.starts_with("failure"), "{what}");
                assert!(got.unwrap_err().remote().is_some(), "{what}");
            }
        }
        tried += 1;
    }
    assert!(tried > 30, "only {tried} cases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_a_dead_server_goes_soon() {
    let vhost = Vhost::new();
    let mut relay = Relay::start(&vhost.address()).await;
    let there = connect(&vhost.url_at(&relay.address));
    let here = connect(&vhost.url());
    let desk = Desk::new("host1");
    // A queue that an older version left.
    let options = ServerOptions { ack: AckPolicy::AfterWork, ..ServerOptions::default() };
    serve_with(&there, &desk, options.clone()).await.stop().await;
    assert!(vhost.queues().contains_key("t.host1"));
    let options = ServerOptions { server_queue_expires: Some(Duration::from_secs(2)), ..options };
    let server = serve_with(&there, &desk, options).await;
    let caller = client(&here).server("host1").mandatory(true);
    caller.cast(&ctx(), "nothing", json!({})).await.unwrap();
    eventually("the cast", || desk.count("nothing") == 1).await;
    // It dies: nothing is told to the broker but the end of its connections.
    relay.stop();
    let end = Instant::now() + Duration::from_secs(60);
    while !matches!(caller.cast(&ctx(), "nothing", json!({})).await, Err(Error::Undeliverable { .. })) {
        assert!(Instant::now() < end, "casts are still taken for a dead server");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    relay.restart().await;
    in_time("the connection", there.connected()).await;
    eventually("the queue", || vhost.queues().contains_key("t.host1")).await;
    caller.cast(&ctx(), "nothing", json!({})).await.unwrap();
    eventually("the cast", || desk.count("nothing") >= 2).await;
    server.stop().await;
}
