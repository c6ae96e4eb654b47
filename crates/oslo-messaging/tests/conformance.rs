//! What every driver must do, run against the broker and in process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stage;

use oslo_messaging::{
    AckPolicy, Context, Endpoint, EndpointTarget, Error, RpcClient, RpcServer, ServerOptions, Target,
    Transport,
};
use serde_json::{Value, json};
use stage::{Desk, Vhost, client, connect, eventually, in_time, serve, serve_with, target};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A bus of its own for one test.
trait Bus {
    fn open() -> Self;
    fn url(&self) -> String;
}

impl Bus for Vhost {
    fn open() -> Self {
        Vhost::new()
    }
    fn url(&self) -> String {
        Vhost::url(self)
    }
}

struct InProcess(String);

impl Bus for InProcess {
    fn open() -> Self {
        Self(format!("fake://{}/", uuid::Uuid::new_v4().simple()))
    }
    fn url(&self) -> String {
        self.0.clone()
    }
}

fn ctx() -> Context {
    Context::request("req-1").with("project_id", "p-1").with("roles", json!(["member", "reader"]))
}

async fn calls_bring_results<B: Bus>() {
    let bus = B::open();
    let (there, here) = (connect(&bus.url()), connect(&bus.url()));
    let desk = Desk::new("host1");
    let server = serve(&there, &desk).await;
    let args = json!({"n": 4, "text": "снимок ☃", "list": [1, 2.5, null, true], "map": {"k": {}}});
    let answer = client(&here).version("1.3").call(&ctx(), "echo", args.clone()).await.unwrap();
    assert_eq!(answer, json!({"args": args}));
    assert_eq!(desk.last_context(), ctx());
    assert_eq!(client(&here).call(&ctx(), "nothing", Value::Null).await.unwrap(), Value::Null);
    let direct = client(&here).server("host1").call(&ctx(), "whoami", json!({})).await.unwrap();
    assert_eq!(direct, "host1");
    assert!(here.is_connected() && there.is_connected());
    server.stop().await;
    here.close().await;
    let closed = client(&here).call(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(closed, Error::Closed), "{closed}");
}

async fn failures_reach_the_caller<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let desk = Desk::new("host1");
    let server = serve(&transport, &desk).await;
    let caller = client(&transport);
    let error = caller.call(&ctx(), "fail_not_found", json!({})).await.unwrap_err();
    let failure = error.remote().unwrap();
    assert_eq!(
        (failure.class.as_str(), failure.module.as_deref()),
        ("BackupNotFound", Some("oslo_peer_exc"))
    );
    assert_eq!(failure.details.kwargs["backup_id"], "b-5");
    for method in ["missing", "_private"] {
        let error = caller.call(&ctx(), method, json!({})).await.unwrap_err();
        assert!(error.remote().unwrap().is_no_such_method(), "{error}");
    }
    for wrong in [
        caller.prepare().version("1.6"),
        caller.prepare().version("2.0"),
        caller.prepare().namespace("n"),
        caller.prepare().version("x.y"),
    ] {
        let error = wrong.call(&ctx(), "echo", json!({})).await.unwrap_err();
        assert!(error.remote().unwrap().is_unsupported_version(), "{error}");
    }
    let error = caller.call(&ctx(), "panic", json!({})).await.unwrap_err();
    assert_eq!(error.remote().unwrap().class, "RuntimeError");
    assert_eq!(caller.call(&ctx(), "whoami", json!({})).await.unwrap(), "host1");
    server.stop().await;
}

async fn endpoints_are_chosen_by_namespace_and_version<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let plain = Desk::new("plain");
    let mut admin_target = EndpointTarget::namespace("peer.admin", "2.3");
    admin_target.legacy_namespaces.push(Some("peer.legacy".to_owned()));
    let admin = Desk::with_target("admin", admin_target);
    let endpoints: Vec<Arc<dyn Endpoint>> = vec![plain, admin];
    let options = ServerOptions { ping_enabled: true, ..ServerOptions::default() };
    let server = RpcServer::start(&transport, target().server("s"), endpoints, options).await.unwrap();
    let caller = client(&transport);
    let who = |client: RpcClient| async move { client.call(&ctx(), "whoami", json!({})).await };
    assert_eq!(who(caller.clone()).await.unwrap(), "plain");
    assert_eq!(who(caller.prepare().namespace("peer.admin").version("2.1")).await.unwrap(), "admin");
    assert_eq!(who(caller.prepare().namespace("peer.legacy").version("2.3")).await.unwrap(), "admin");
    assert!(who(caller.prepare().namespace("peer.admin").version("2.4")).await.is_err());
    assert_eq!(caller.call(&ctx(), "oslo_rpc_server_ping", json!({})).await.unwrap(), "pong");
    server.stop().await;
}

async fn casts_and_fanouts_arrive<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let (one, two) = (Desk::new("one"), Desk::new("two"));
    let servers = [serve(&transport, &one).await, serve(&transport, &two).await];
    let caller = client(&transport);
    caller.prepare().fanout(true).cast(&ctx(), "echo", json!({})).await.unwrap();
    eventually("the fanout at both", || one.count("echo") == 1 && two.count("echo") == 1).await;
    caller.prepare().server("two").cast(&ctx(), "nothing", json!({})).await.unwrap();
    eventually("the cast at two", || two.count("nothing") == 1).await;
    for _ in 0..10 {
        caller.cast(&ctx(), "whoami", json!({})).await.unwrap();
    }
    eventually("ten casts", || one.count("whoami") + two.count("whoami") == 10).await;
    assert_eq!((one.count("whoami"), two.count("whoami")), (5, 5), "servers of a topic take turns");
    assert_eq!(one.count("nothing"), 0);
    let refused = caller.prepare().fanout(true).call(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidTarget { .. }));
    for server in servers {
        server.stop().await;
    }
}

async fn mandatory_fails_at_once<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let caller = client(&transport).mandatory(true);
    let nobody = caller.call(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(nobody, Error::Undeliverable { .. }), "{nobody}");
    assert!(nobody.is_transient());
    let options = ServerOptions { delete_server_queue: true, ..ServerOptions::default() };
    let desk = Desk::new("host1");
    let server = serve_with(&transport, &desk, options).await;
    caller.prepare().server("host1").cast(&ctx(), "echo", json!({})).await.unwrap();
    eventually("the cast", || desk.count("echo") == 1).await; // a queue that is not empty is kept
    let absent = caller.prepare().server("host2").cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(
        matches!(&absent, Error::Undeliverable { destination } if destination.contains("t.host2")),
        "{absent}"
    );
    caller.prepare().fanout(true).cast(&ctx(), "echo", json!({})).await.unwrap();
    server.stop().await;
    let gone = caller.prepare().server("host1").cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(gone, Error::Undeliverable { .. }), "{gone}");
    let gone = caller.prepare().fanout(true).cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(gone, Error::Undeliverable { .. }), "{gone}");
    // Without it a cast to nobody is no error, as ever.
    client(&transport).server("host2").cast(&ctx(), "echo", json!({})).await.unwrap();
}

async fn a_call_times_out_and_its_request_expires<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let desk = Desk::new("host1");
    serve(&transport, &desk).await.stop().await; // the queue stays, nobody consumes
    let started = Instant::now();
    let short = client(&transport).timeout(Duration::from_millis(400));
    let error = short.call(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { method, .. } if method == "echo"), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(400) && started.elapsed() < Duration::from_secs(30));
    // Sent before the time-out at the latest, it is gone one time-out later.
    eventually("the request's expiration", || started.elapsed() > Duration::from_millis(900)).await;
    client(&transport).cast(&ctx(), "nothing", json!({})).await.unwrap();
    let server = serve(&transport, &desk).await;
    eventually("the cast that waited", || desk.count("nothing") == 1).await;
    assert_eq!(desk.count("echo"), 0, "the request of the call has expired");
    // A late answer hurts nobody.
    let late = short.call(&ctx(), "hold", json!({})).await.unwrap_err();
    assert!(matches!(late, Error::Timeout { .. }), "{late}");
    desk.gate.add_permits(1);
    assert_eq!(client(&transport).call(&ctx(), "whoami", json!({})).await.unwrap(), "host1");
    server.stop().await;
}

async fn a_monitored_call_outlives_its_monitor_timeout<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let desk = Desk::new("host1");
    let server = serve(&transport, &desk).await;
    let monitored = client(&transport).monitor_timeout(Duration::from_secs(4));
    let answer = monitored.call(&ctx(), "sleep", json!({"seconds": 6.5})).await.unwrap();
    assert_eq!(answer, 6.5);
    // Signs of life do not renew the call's own clock.
    let error = monitored
        .prepare()
        .timeout(Duration::from_secs(6))
        .call(&ctx(), "hold", json!({}))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Timeout { after, .. } if *after == Duration::from_secs(6)), "{error}");
    desk.gate.add_permits(1);
    server.stop().await;
}

async fn a_thousand_calls_at_a_time<B: Bus>() {
    let bus = B::open();
    let (there, here) = (connect(&bus.url()), connect(&bus.url()));
    let server = serve(&there, &Desk::new("host1")).await;
    let caller = client(&here).timeout(Duration::from_secs(60));
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let caller = caller.clone();
        calls.spawn(async move {
            let answer = caller.call(&Context::new(), "echo", json!({"n": number})).await.unwrap();
            assert_eq!(answer, json!({"args": {"n": number}}));
        });
    }
    let answered = in_time("a thousand calls", calls.join_all()).await;
    assert_eq!(answered.len(), 1000);
    server.stop().await;
}

async fn large_messages_pass<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let server = serve(&transport, &Desk::new("host1")).await;
    let text = "é".repeat(2_000_000); // 4 MB, many frames
    let answer = client(&transport).call(&ctx(), "echo", json!({"text": text})).await.unwrap();
    assert_eq!(answer["args"]["text"].as_str().unwrap().len(), text.len());
    let answer = client(&transport).call(&ctx(), "big", json!({"size": 131_072})).await.unwrap();
    assert_eq!(answer.as_str().unwrap().len(), 131_072);
    server.stop().await;
}

async fn no_more_is_taken_than_is_worked_on<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let (busy, idle) = (Desk::new("busy"), Desk::new("idle"));
    let options = ServerOptions { max_concurrency: 3, ..ServerOptions::default() };
    let first = serve_with(&transport, &busy, options.clone()).await;
    for _ in 0..12 {
        client(&transport).cast(&ctx(), "hold", json!({})).await.unwrap();
    }
    eventually("three at work", || busy.running.load(Ordering::SeqCst) == 3).await;
    // What is neither taken nor held by the busy one goes to the idle one.
    let second = serve_with(&transport, &idle, options).await;
    idle.gate.add_permits(100);
    eventually("work of the idle one", || idle.count("hold") >= 6).await;
    busy.gate.add_permits(100);
    eventually("all of it", || busy.count("hold") + idle.count("hold") == 12).await;
    assert_eq!(busy.most.load(Ordering::SeqCst), 3);
    first.stop().await;
    second.stop().await;
}

async fn stopping_lets_running_methods_answer<B: Bus>() {
    let bus = B::open();
    let (there, here) = (connect(&bus.url()), connect(&bus.url()));
    let desk = Desk::new("host1");
    let server = serve(&there, &desk).await;
    let caller = client(&here);
    let call = tokio::spawn(async move { caller.call(&ctx(), "hold", json!({})).await });
    eventually("the method at work", || desk.running.load(Ordering::SeqCst) == 1).await;
    let mut stop = Box::pin(server.stop());
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut stop).await.is_err(),
        "it waits for the method"
    );
    client(&here).cast(&ctx(), "echo", json!({})).await.unwrap();
    desk.gate.add_permits(1);
    in_time("the stop", stop).await;
    assert_eq!(call.await.unwrap().unwrap(), "let go");
    assert_eq!(desk.count("echo"), 0, "nothing new is taken while stopping");
    let again = serve(&there, &desk).await;
    eventually("the cast that came meanwhile", || desk.count("echo") == 1).await;
    again.stop().await;
}

async fn work_of_a_server_that_dies_goes_to_another<B: Bus>() {
    let bus = B::open();
    let (there, here) = (connect(&bus.url()), connect(&bus.url()));
    let dying = Desk::new("dying");
    let options = ServerOptions {
        ack: AckPolicy::PerMethod,
        stop_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let server = serve_with(&there, &dying, options).await;
    client(&here).cast(&ctx(), "safe_hold", json!({})).await.unwrap();
    client(&here).cast(&ctx(), "hold", json!({})).await.unwrap();
    eventually("both at work", || dying.running.load(Ordering::SeqCst) == 2).await;
    in_time("the stop", server.stop()).await; // gives up after 50 ms: both are dropped
    let heir = Desk::new("heir");
    heir.gate.add_permits(10);
    let server = serve(&there, &heir).await;
    eventually("the idempotent one again", || heir.count("safe_hold") == 1).await;
    assert_eq!(client(&here).server("heir").call(&ctx(), "whoami", json!({})).await.unwrap(), "heir");
    assert_eq!(heir.count("hold"), 0, "acknowledged on receipt: at most once");
    server.stop().await;
}

async fn version_caps_and_bad_arguments_send_nothing<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url());
    let capped = client(&transport).version_cap("1.4");
    assert!(
        capped.can_send_version("1.4") && !capped.can_send_version("1.5") && !capped.can_send_version("2.0")
    );
    let error = capped.prepare().version("1.5").cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(matches!(error, Error::VersionCap { .. }), "{error}");
    let error = capped.cast(&ctx(), "echo", json!([1])).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArguments { .. }), "{error}");
    let nowhere = RpcClient::new(&transport, Target::default());
    assert!(matches!(
        nowhere.cast(&ctx(), "echo", json!({})).await.unwrap_err(),
        Error::InvalidTarget { .. }
    ));
    let start = RpcServer::start(&transport, target(), Vec::new(), ServerOptions::default()).await;
    assert!(matches!(start.unwrap_err(), Error::InvalidTarget { .. }));
}

async fn exchanges_are_kept_apart<B: Bus>() {
    let bus = B::open();
    let transport = connect(&bus.url()).with_control_exchange("other");
    let desk = Desk::new("host1");
    let server = serve(&transport, &desk).await;
    let elsewhere = RpcClient::new(&transport, Target::topic("t")).mandatory(true);
    let error = elsewhere.cast(&ctx(), "echo", json!({})).await.unwrap_err();
    assert!(
        matches!(&error, Error::Undeliverable { destination } if destination.contains("other")),
        "{error}"
    );
    server.stop().await;
}

async fn connection_state_can_be_watched<B: Bus>() {
    let bus = B::open();
    let transport: Transport = connect(&bus.url());
    in_time("the connection", transport.connected()).await;
    assert!(transport.is_connected() && *transport.watch_connection().borrow());
    transport.close().await;
    let mut watch = transport.watch_connection();
    in_time("the end", watch.wait_for(|connected| !connected)).await.unwrap();
}

macro_rules! bus_suite {
    ($bus:ty; $($test:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$test::<$bus>().await;
        })*
    };
}

macro_rules! both {
    ($($test:ident)*) => {
        mod rabbit {
            bus_suite!(super::Vhost; $($test)*);
        }
        mod in_process {
            bus_suite!(super::InProcess; $($test)*);
        }
    };
}

both! {
    calls_bring_results
    failures_reach_the_caller
    endpoints_are_chosen_by_namespace_and_version
    casts_and_fanouts_arrive
    mandatory_fails_at_once
    a_call_times_out_and_its_request_expires
    a_monitored_call_outlives_its_monitor_timeout
    a_thousand_calls_at_a_time
    large_messages_pass
    no_more_is_taken_than_is_worked_on
    stopping_lets_running_methods_answer
    work_of_a_server_that_dies_goes_to_another
    version_caps_and_bad_arguments_send_nothing
    exchanges_are_kept_apart
    connection_state_can_be_watched
}
