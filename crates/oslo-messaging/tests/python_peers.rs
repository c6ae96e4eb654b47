//! Real Python peers, the newest release and Debian's, in both directions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stage;

use oslo_messaging::{
    Context, Endpoint, EndpointTarget, Error, Notifier, NotifierDriver, NotifierOptions, Priority,
    RabbitOptions, RpcServer, ServerOptions, Transport,
};
use serde_json::{Value, json};
use stage::python::Python;
use stage::{Desk, Vhost, client, connect, eventually, quick, serve, target};
use std::sync::Arc;
use std::time::Duration;

fn ctx() -> Context {
    Context::request("req-1").with("user", "u-1").with("project_id", "p-1").with("roles", json!(["member"]))
}

async fn we_call_python(python: Python) {
    let vhost = Vhost::new();
    let url = vhost.url();
    let server = ["server", "--url", &url, "--exchange", "ex", "--topic", "t", "--server", "host1"];
    let mut peer = python.start(&server).await;
    let transport = connect(&url);
    let caller = client(&transport);
    let args = json!({"n": 4, "text": "снимок ☃ 💾", "list": [1, 2.5, null, true], "map": {"k": {}}});
    let answer = caller.prepare().version("1.3").call(&ctx(), "echo", args.clone()).await.unwrap();
    assert_eq!(answer, json!({"args": args}));
    let seen = peer.event("dispatch").await;
    assert_eq!(
        (&seen["context"]["project_id"], &seen["context"]["request_id"]),
        (&json!("p-1"), &json!("req-1"))
    );
    assert_eq!(caller.call(&ctx(), "nothing", Value::Null).await.unwrap(), Value::Null);
    assert_eq!(caller.call(&ctx(), "add", json!({"a": 2, "b": 3})).await.unwrap(), 5);
    let big = caller.call(&ctx(), "big", json!({"size": 300_000})).await.unwrap();
    assert_eq!(big.as_str().unwrap().len(), 300_000);
    let long = "é".repeat(400_000);
    let answer = caller.prepare().server("host1").call(&ctx(), "echo", json!({"long": long})).await.unwrap();
    assert_eq!(answer["args"]["long"], json!(long));
    let admin = caller.prepare().namespace("peer.admin").version("2.1").mandatory(true);
    assert_eq!(admin.call(&ctx(), "shutdown", json!({"reason": "r"})).await.unwrap(), "not really");

    let failure = |error: Error| error.remote().unwrap().clone();
    let failed = failure(caller.call(&ctx(), "fail", json!({"kind": "not_found"})).await.unwrap_err());
    assert_eq!((failed.class.as_str(), failed.module.as_deref()), ("BackupNotFound", Some("oslo_peer_exc")));
    assert_eq!(failed.details.kwargs["backup_id"], "b-1");
    assert!(failed.details.traceback.iter().any(|line| line.contains("oslo_peer.py")));
    let failed = failure(caller.call(&ctx(), "fail", json!({"kind": "unicode"})).await.unwrap_err());
    assert_eq!(failed.message, "снимок ☃ 備份");
    assert!(failure(caller.call(&ctx(), "missing", json!({})).await.unwrap_err()).is_no_such_method());
    let newer = caller.prepare().version("1.9").call(&ctx(), "echo", json!({})).await;
    assert!(failure(newer.unwrap_err()).is_unsupported_version());

    let monitored = caller.prepare().monitor_timeout(Duration::from_secs(4));
    assert_eq!(monitored.call(&ctx(), "sleep", json!({"seconds": 6})).await.unwrap(), 6);
    let short = caller.prepare().timeout(Duration::from_millis(300));
    assert!(matches!(
        short.call(&ctx(), "sleep", json!({"seconds": 1})).await.unwrap_err(),
        Error::Timeout { .. }
    ));
    caller.prepare().fanout(true).cast(&ctx(), "echo", json!({"fan": "out"})).await.unwrap();
    caller.cast(&ctx(), "echo", json!({"ca": "st"})).await.unwrap();
    loop {
        if peer.event("dispatch").await["args"] == json!({"ca": "st"}) {
            break;
        }
    }
    let stats = caller.call(&ctx(), "stats", json!({})).await.unwrap();
    assert_eq!(stats["echo"], 4, "{stats}");
    peer.stop().await;
    transport.close().await;
    let left: Vec<_> = vhost.queues().into_keys().filter(|name| name.starts_with("reply_")).collect();
    assert!(left.is_empty(), "our reply queue is deleted: {left:?}");
}

async fn python_calls_us(python: Python) {
    let vhost = Vhost::new();
    let url = vhost.url();
    let transport = connect(&url);
    let desk = Desk::new("host1");
    let admin = Desk::with_target("admin", EndpointTarget::namespace("peer.admin", "2.3"));
    let endpoints: Vec<Arc<dyn Endpoint>> = vec![desk.clone(), admin];
    let options = ServerOptions { ping_enabled: true, ..ServerOptions::default() };
    let server = RpcServer::start(&transport, target().server("host1"), endpoints, options).await.unwrap();
    let batch = [
        "batch",
        "--url",
        &url,
        "--exchange",
        "ex",
        "--topic",
        "t",
        "--timeout",
        "20",
        "--allow-exmod",
        "oslo_peer_exc",
    ];
    let mut peer = python.start(&batch).await;
    let args = json!({"text": "снимок ☃ 💾", "list": [1, 2.5, null, true]});
    let answer = peer
        .ask(json!({"op": "call", "method": "echo", "args": args, "context": {"request_id": "req-9"}}))
        .await;
    assert_eq!(answer["result"], json!({"args": args}), "{answer}");
    assert_eq!(desk.last_context(), Context::request("req-9"), "client_timeout is no part of the context");
    let answer = peer.ask(json!({"op": "call", "method": "nothing"})).await;
    assert_eq!((&answer["ok"], &answer["result"]), (&json!(true), &Value::Null));
    let answer = peer
        .ask(json!({"op": "call", "method": "big", "args": {"size": 300_000}, "to_server": "host1"}))
        .await;
    assert_eq!(answer["result"].as_str().map(str::len), Some(300_000));
    let admin = json!({"op": "call", "method": "whoami", "namespace": "peer.admin", "rpc_version": "2.1"});
    assert_eq!(peer.ask(admin).await["result"], "admin");
    assert_eq!(peer.ask(json!({"op": "call", "method": "oslo_rpc_server_ping"})).await["result"], "pong");

    let answer = peer.ask(json!({"op": "call", "method": "fail"})).await;
    assert_eq!((&answer["class"], &answer["module"]), (&json!("ValueError"), &json!("builtins")), "{answer}");
    let answer = peer.ask(json!({"op": "call", "method": "fail_not_found"})).await;
    assert_eq!(answer["class"], "BackupNotFound_Remote", "{answer}");
    assert_eq!(answer["kwargs"]["backup_id"], "b-5");
    let answer = peer.ask(json!({"op": "call", "method": "missing"})).await;
    assert_eq!(answer["remote"]["exc_type"], "NoSuchMethod", "{answer}");
    let answer = peer.ask(json!({"op": "call", "method": "echo", "rpc_version": "1.6"})).await;
    assert_eq!(answer["remote"]["exc_type"], "UnsupportedVersion", "{answer}");
    let answer = peer.ask(json!({"op": "call", "method": "panic"})).await;
    assert_eq!(answer["class"], "RuntimeError", "{answer}");

    let slow = json!({"op": "call", "method": "sleep", "args": {"seconds": 3.5}, "monitor_timeout": 2});
    let answer = peer.ask(slow).await;
    assert_eq!(answer["result"], 3.5, "{answer}");
    let answer = peer.ask(json!({"op": "call", "method": "hold", "timeout": 0.5})).await;
    assert_eq!(answer["class"], "MessagingTimeout", "{answer}");
    desk.gate.add_permits(1);
    for (op, count) in [("fanout", 2), ("cast", 3)] {
        peer.tell(json!({"op": op, "method": "echo", "mandatory": op == "cast"})).await;
        eventually("the cast from Python", || desk.count("echo") == count).await;
        assert_eq!(peer.event("result").await["ok"], true);
    }
    server.stop().await;
    peer.stop().await;
}

async fn both_declare_the_same(python: Python, settings: &[&str]) {
    let vhost = Vhost::new();
    let url = vhost.url();
    let mut options = quick();
    let mut server = vec!["server", "--url", &url, "--exchange", "ex", "--topic", "t", "--server", "python"];
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap();
        options.set(name, value).unwrap();
        server.extend(["--set", setting]);
    }
    let transport = Transport::connect(&url, options).unwrap();
    let desk = Desk::new("rust");
    // Ours first, then Python's, then ours anew: every one must accept what the other declared.
    let first = serve(&transport, &desk).await;
    let peer = python.start(&server).await;
    first.stop().await;
    let again = serve(&transport, &desk).await;
    let caller = client(&transport);
    let whoami = |server: &str| caller.prepare().server(server).mandatory(true);
    let answer = whoami("python").call(&ctx(), "whoami", json!({})).await.unwrap();
    assert_eq!(answer["server"], "python", "{settings:?}");
    assert_eq!(whoami("rust").call(&ctx(), "whoami", json!({})).await.unwrap(), "rust");
    let mut call =
        vec!["client", "call", "--url", &url, "--exchange", "ex", "--topic", "t", "--to-server", "rust"];
    settings.iter().for_each(|setting| call.extend(["--set", setting]));
    call.extend(["--timeout", "20", "whoami"]);
    let answer = python.run(&call).await;
    assert_eq!(answer[0]["result"], "rust", "{settings:?} {answer:?}");
    again.stop().await;
    peer.stop().await;
}

async fn our_events_reach_python(python: Python) {
    let vhost = Vhost::new();
    let url = vhost.url();
    let transport = Transport::connect(&url, RabbitOptions::default()).unwrap().with_control_exchange("ex");
    let topics = vec!["notifications".to_owned(), "more".to_owned()];
    let notifier = |driver| {
        let options = NotifierOptions { driver, topics: topics.clone(), ..NotifierOptions::default() };
        Notifier::new(&transport, "backup.host1", options)
    };
    let secret = ctx().with("auth_token", "hidden");
    // Before anybody listens: they wait.
    notifier(NotifierDriver::MessagingV2).info(&secret, "backup.create.end", json!({"p": 1})).await.unwrap();
    notifier(NotifierDriver::Messaging)
        .notify(&secret, Priority::Error, "backup.fail", json!({"p": 2}))
        .await
        .unwrap();
    notifier(NotifierDriver::Noop).info(&secret, "never", json!({})).await.unwrap();
    let listen =
        ["listen", "--url", &url, "--exchange", "ex", "--topic", "notifications", "--priority", "info,error"];
    let mut peer = python.start(&listen).await;
    let mut events = [peer.event("notification").await, peer.event("notification").await];
    events.sort_by_key(|event| event["payload"]["p"].as_i64());
    assert_eq!(events[0]["event_type"], "backup.create.end");
    assert_eq!(
        (&events[0]["publisher_id"], &events[0]["priority"]),
        (&json!("backup.host1"), &json!("info"))
    );
    assert_eq!((&events[1]["event_type"], &events[1]["priority"]), (&json!("backup.fail"), &json!("error")));
    for event in &events {
        assert_eq!(event["context"]["request_id"], "req-1");
        assert!(event["context"].get("auth_token").is_none_or(Value::is_null), "{event}");
        assert!(event["metadata"]["timestamp"].as_str().unwrap().len() >= 19);
    }
    peer.stop().await;
    let queues = vhost.queues();
    assert_eq!((queues["more.info"], queues["more.error"]), (1, 1), "{queues:?}");
    assert!(!queues.contains_key("notifications.warn"));
}

macro_rules! with_both {
    ($($test:ident)*) => {
        mod newest {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Python::Newest).await;
            })*
        }
        mod debian {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Python::System).await;
            })*
        }
    };
}

with_both! {
    we_call_python
    python_calls_us
    our_events_reach_python
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_queues_are_declared_alike() {
    both_declare_the_same(Python::System, &["amqp_durable_queues=true"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_deleted_queues_are_declared_alike() {
    both_declare_the_same(Python::Newest, &["amqp_auto_delete=true"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorum_queues_are_declared_alike() {
    let settings =
        ["rabbit_quorum_queue=true", "rabbit_transient_quorum_queue=true", "rabbit_quorum_delivery_limit=5"];
    both_declare_the_same(Python::Newest, &settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_fanouts_and_compression_are_alike() {
    let settings = [
        "rabbit_quorum_queue=true",
        "rabbit_transient_quorum_queue=true",
        "rabbit_stream_fanout=true",
        "rabbit_qos_prefetch_count=10",
        "kombu_compression=gzip",
    ];
    both_declare_the_same(Python::Newest, &settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_not_durable_is_taken_as_it_is() {
    let vhost = Vhost::new();
    let plain = serve(&connect(&vhost.url()), &Desk::new("plain")).await;
    let durable =
        Transport::connect(&vhost.url(), RabbitOptions { amqp_durable_queues: true, ..quick() }).unwrap();
    let other = target().topic_named("t2").server("durable");
    let start = RpcServer::start(&durable, other, vec![Desk::new("durable")], ServerOptions::default()).await;
    start.unwrap().stop().await;
    let answer = client(&durable).call(&ctx(), "whoami", json!({})).await.unwrap();
    assert_eq!(answer, "plain");
    plain.stop().await;
}

trait Named {
    fn topic_named(self, topic: &str) -> Self;
}

impl Named for oslo_messaging::Target {
    fn topic_named(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_owned());
        self
    }
}
