//! Everything captured from real peers: bodies decode to what they were, declarations equal ours, URLs parse alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use oslo_messaging::topology::{self, Argument, Step};
use oslo_messaging::{RabbitOptions, Reply, Request, TransportUrl, decode_body, encode_body};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const RELEASES: [&str; 2] = ["18.3.1", "14.0.3"];

fn folder(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(release)
}

fn load(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn cases() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for release in RELEASES {
        let mut files: Vec<_> =
            fs::read_dir(folder(release)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            if name != "tolerance" && name != "transport-url" {
                all.push((format!("{release}/{name}"), load(&file)));
            }
        }
    }
    assert!(all.len() > 110, "only {} vectors", all.len());
    all
}

/// Messages with a readable body: (case, message, decoded by us).
fn messages() -> Vec<(String, Value, Map<String, Value>)> {
    let mut all = Vec::new();
    for (case, vector) in cases() {
        for message in vector["messages"].as_array().unwrap() {
            let (Some(body), Some(_)) = (message["body"].as_str(), message.get("oslo-message")) else {
                continue;
            };
            let decoded = decode_body(body.as_bytes(), message["properties"]["content-type"].as_str(), None);
            if case.ends_with("json-corners") {
                assert!(decoded.is_err(), "{case}: NaN and infinity are no JSON");
                continue;
            }
            all.push((
                case.clone(),
                message.clone(),
                decoded.unwrap_or_else(|error| panic!("{case}: {error}")),
            ));
        }
    }
    all
}

#[test]
fn every_body_decodes_to_what_was_sent() {
    let messages = messages();
    assert!(messages.len() > 250, "only {} messages", messages.len());
    for (case, message, decoded) in messages {
        assert_eq!(Value::Object(decoded), message["oslo-message"], "{case}");
    }
}

#[test]
fn requests_and_replies_come_back_as_they_were() {
    let (mut requests, mut replies) = (0, 0);
    for (case, _, decoded) in messages() {
        let original = Value::Object(decoded.clone());
        if decoded.contains_key("method") {
            let (request, sound) = Request::from_map(decoded);
            assert!(sound.is_ok(), "{case}");
            assert_eq!(order(&request.to_value()), order(&original), "{case}");
            requests += 1;
        } else if decoded.contains_key("ending") {
            let reply = Reply::from_map(decoded).unwrap();
            let mut again = reply.to_value();
            again["_unique_id"] = original["_unique_id"].clone();
            let failure = |value: &Value| {
                value["failure"].as_str().map(|text| serde_json::from_str::<Value>(text).unwrap())
            };
            assert_eq!(failure(&again), failure(&original), "{case}");
            again["failure"] = original["failure"].clone();
            assert_eq!(order(&again), order(&original), "{case}");
            replies += 1;
        }
    }
    assert!(requests > 100 && replies > 80, "{requests} requests, {replies} replies");
}

/// Keys with values, in order.
fn order(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().unwrap().iter().collect()
}

#[test]
fn what_we_encode_is_read_back() {
    for (case, _, decoded) in messages() {
        let body = encode_body(&Value::Object(decoded.clone()));
        assert_eq!(decode_body(&body, Some("application/json"), None).unwrap(), decoded, "{case}");
    }
}

/// The options that the case's command line set.
fn options(vector: &Value) -> Option<RabbitOptions> {
    let mut options = RabbitOptions::default();
    let command = vector["commands"][0].as_array()?;
    for pair in command.windows(2).filter(|pair| pair[0] == "--set") {
        let (name, value) = pair[1].as_str()?.split_once('=')?;
        if name.contains('.') {
            continue;
        }
        options.set(name, value).ok()?;
    }
    Some(options)
}

#[test]
fn declarations_are_those_of_python() {
    let mut compared = 0;
    for (case, vector) in cases() {
        let name = case.split('/').next_back().unwrap();
        if !name.starts_with("topology-") || name.ends_with("mismatch") || name.ends_with("reconnect") {
            continue;
        }
        let Some(options) = options(&vector) else {
            assert!(name.contains("queue-manager"), "{case}: options are not understood");
            continue;
        };
        options.check().unwrap();
        let (exchange, topic) = (vector["exchange"].as_str().unwrap(), vector["topic"].as_str().unwrap());
        for (connection, declared) in vector["topology"].as_object().unwrap() {
            let declared: Vec<_> =
                declared.as_array().unwrap().iter().filter(|d| relevant(&d[0])).cloned().collect();
            let ours = ours(&options, exchange, topic, connection, &declared);
            assert_eq!(ours, declared, "{case} {connection}");
            compared += ours.len();
        }
    }
    assert!(compared > 350, "only {compared} declarations compared");
}

fn relevant(method: &Value) -> bool {
    !matches!(method.as_str(), Some("queue.delete" | "confirm.select"))
}

/// What we declare in place of this connection's declarations; random names are taken over.
fn ours(
    options: &RabbitOptions,
    exchange: &str,
    topic: &str,
    connection: &str,
    declared: &[Value],
) -> Vec<Value> {
    let queue = |prefix: &str| {
        let names =
            declared.iter().filter(|d| d[0] == "queue.declare").filter_map(|d| d[1]["queue"].as_str());
        names.into_iter().find(|name| name.starts_with(prefix)).map(str::to_owned)
    };
    let steps = if let Some(reply) = queue("reply_") {
        topology::replies(options, &reply)
    } else if let Some(fanout) = queue(&format!("{topic}_fanout")) {
        topology::server(options, exchange, topic, "host1", &fanout, options.rabbit_qos_prefetch_count)
    } else {
        let exchanges = declared.iter().map(|d| d[1]["exchange"].as_str().unwrap());
        let declare = |name: &str| match name.strip_suffix("_fanout") {
            Some(topic) => topology::fanout_exchange(options, topic),
            None => topology::topic_exchange(options, name),
        };
        assert!(connection.starts_with("client") || declared.is_empty(), "{connection}");
        exchanges.map(declare).collect()
    };
    steps.iter().map(as_captured).collect()
}

fn as_captured(step: &Step) -> Value {
    match step {
        Step::Qos { prefetch } => {
            json!(["basic.qos", {"prefetch-size": 0, "prefetch-count": prefetch, "global": false}])
        }
        Step::Exchange { name, fanout, durable, auto_delete } => json!(["exchange.declare", {
            "exchange": name, "type": if *fanout { "fanout" } else { "topic" }, "passive": false, "durable": durable,
            "auto-delete": auto_delete, "internal": false, "no-wait": false, "arguments": {}}]),
        Step::Queue { name, durable, auto_delete, arguments } => json!(["queue.declare", {
            "queue": name, "passive": false, "durable": durable, "exclusive": false, "auto-delete": auto_delete,
            "no-wait": false, "arguments": table(arguments)}]),
        Step::Bind { queue, exchange, key } => json!(["queue.bind", {
            "queue": queue, "exchange": exchange, "routing-key": key, "no-wait": false, "arguments": {}}]),
        Step::Consume { queue, tag, arguments } => json!(["basic.consume", {
            "queue": queue, "consumer-tag": tag, "no-local": false, "no-ack": false, "exclusive": false,
            "no-wait": false, "arguments": table(arguments)}]),
    }
}

fn table(arguments: &[(&'static str, Argument)]) -> Value {
    let value = |argument: &Argument| match argument {
        Argument::Int(number) => json!({"amqp-type": "I", "value": number}),
        Argument::Text(text) => json!(text),
        Argument::Bool(flag) => json!(flag),
        Argument::Offset(offset) => json!({"amqp-type": "l", "value": offset}),
    };
    arguments
        .iter()
        .map(|(name, argument)| ((*name).to_owned(), value(argument)))
        .collect::<Map<_, _>>()
        .into()
}

#[test]
fn transport_urls_are_read_as_python_reads_them() {
    let vector = load(&folder("18.3.1").join("transport-url.json"));
    let urls = vector["urls"].as_array().unwrap();
    assert!(urls.len() >= 46);
    for case in urls {
        let text = case["url"].as_str().unwrap();
        let parsed = TransportUrl::parse(text);
        if case.get("refused").is_some() {
            assert!(parsed.is_err(), "{text}: {parsed:?}");
            continue;
        }
        let url = parsed.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(json!(url.driver), case["transport"], "{text}");
        assert_eq!(json!(url.virtual_host), case["virtual_host"], "{text}");
        let hosts: Vec<_> = url
            .hosts
            .iter()
            .map(|host| {
                json!({"hostname": host.hostname, "port": host.port,
            "username": host.username, "password": host.password})
            })
            .collect();
        assert_eq!(json!(hosts), case["hosts"], "{text}");
        let query: Map<_, _> = url.query.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        assert_eq!(Value::Object(query), case["query"], "{text}");
        if let Some(opened) = case["kombu"][0]["vhost opened"].as_str() {
            assert_eq!(url.vhost(), opened, "{text}");
        }
        let mut options = RabbitOptions::default();
        let set = url.query.iter().try_for_each(|(name, value)| options.set(name, value));
        assert_eq!(set.is_err(), case.get("query refused").is_some(), "{text}: {set:?}");
    }
}
