//! What is declared on the broker, as data: names, properties and arguments from the options.
//!
//! Everything must equal what oslo.messaging declares from the same options: one differing argument and the broker
//! refuses the second of two peers. The tests compare it with captured declarations.

use crate::RabbitOptions;

/// An argument's value; numbers go as 32-bit integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    Int(i32),
    Text(String),
    Bool(bool),
    /// Position in a stream.
    Offset(i64),
}

type Arguments = Vec<(&'static str, Argument)>;

/// One step of a declaration, in the order it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Qos { prefetch: u16 },
    Exchange { name: String, fanout: bool, durable: bool, auto_delete: bool },
    Queue { name: String, durable: bool, auto_delete: bool, arguments: Arguments },
    Bind { queue: String, exchange: String, key: String },
    Consume { queue: String, tag: String, arguments: Arguments },
}

/// The topic exchange that requests and notifications go through.
#[must_use]
pub fn topic_exchange(options: &RabbitOptions, exchange: &str) -> Step {
    Step::Exchange {
        name: exchange.to_owned(),
        fanout: false,
        durable: lasting(options),
        auto_delete: options.amqp_auto_delete,
    }
}

/// The fanout exchange of a topic. It is not scoped by the control exchange.
#[must_use]
pub fn fanout_exchange(options: &RabbitOptions, topic: &str) -> Step {
    let durable = options.rabbit_transient_quorum_queue;
    Step::Exchange { name: fanout_name(topic), fanout: true, durable, auto_delete: true }
}

/// Name of a topic's fanout exchange.
#[must_use]
pub fn fanout_name(topic: &str) -> String {
    format!("{topic}_fanout")
}

/// Exchange, queue and binding of one notification topic and priority.
#[must_use]
pub fn notification(options: &RabbitOptions, exchange: &str, key: &str) -> Vec<Step> {
    vec![topic_exchange(options, exchange), topic_queue(options, key), bind(key, exchange, key)]
}

/// Everything a server declares and consumes. The fanout queue's name is the caller's choice because it must stay
/// the same over reconnects; with stream fanout it is shared and the name is not used.
#[must_use]
pub fn server(
    options: &RabbitOptions,
    exchange: &str,
    topic: &str,
    server: &str,
    fanout_queue: &str,
    prefetch: u16,
) -> Vec<Step> {
    let own = format!("{topic}.{server}");
    let shared_fanout = fanout_name(topic);
    let fanout_queue = if options.rabbit_stream_fanout { shared_fanout.as_str() } else { fanout_queue };
    let mut steps = qos(prefetch);
    for queue in [topic, &own] {
        steps.extend([
            topic_exchange(options, exchange),
            topic_queue(options, queue),
            bind(queue, exchange, queue),
        ]);
    }
    let queue = if options.rabbit_stream_fanout {
        stream_queue(options, fanout_queue)
    } else {
        transient_queue(options, fanout_queue)
    };
    steps.extend([fanout_exchange(options, topic), queue, bind(fanout_queue, &fanout_name(topic), topic)]);
    for (tag, queue) in [("1", topic), ("2", &own), ("3", fanout_queue)] {
        let mut consume = consume(options, queue, tag);
        if let (Step::Consume { arguments, .. }, true) =
            (&mut consume, tag == "3" && options.rabbit_stream_fanout)
        {
            arguments.push(("x-stream-offset", Argument::Text("last".to_owned())));
        }
        steps.push(consume);
    }
    steps
}

/// The same steps, with a life for one queue without consumers.
#[must_use]
pub fn expiring(mut steps: Vec<Step>, queue: &str, life: std::time::Duration) -> Vec<Step> {
    let life = i32::try_from(life.as_millis()).unwrap_or(i32::MAX).max(1);
    for step in &mut steps {
        if let Step::Queue { name, arguments, .. } = step
            && name == queue
        {
            arguments.push(("x-expires", Argument::Int(life)));
        }
    }
    steps
}

/// The reply queue, on the default exchange and therefore without a binding.
#[must_use]
pub fn replies(options: &RabbitOptions, queue: &str) -> Vec<Step> {
    let mut steps = qos(options.rabbit_qos_prefetch_count);
    steps.extend([transient_queue(options, queue), consume(options, queue, "1")]);
    steps
}

fn lasting(options: &RabbitOptions) -> bool {
    options.amqp_durable_queues || options.rabbit_quorum_queue
}

fn qos(prefetch: u16) -> Vec<Step> {
    if prefetch == 0 { Vec::new() } else { vec![Step::Qos { prefetch }] }
}

fn topic_queue(options: &RabbitOptions, name: &str) -> Step {
    let mut arguments = ha_arguments(options);
    if options.rabbit_quorum_queue {
        arguments.extend(quorum_arguments(options));
    }
    Step::Queue {
        name: name.to_owned(),
        durable: lasting(options),
        auto_delete: options.amqp_auto_delete,
        arguments,
    }
}

fn transient_queue(options: &RabbitOptions, name: &str) -> Step {
    let mut arguments = ha_arguments(options);
    if options.rabbit_transient_quorum_queue {
        arguments.extend(quorum_arguments(options));
    }
    let ttl = i32::try_from(options.rabbit_transient_queues_ttl.as_millis()).unwrap_or(i32::MAX);
    if ttl > 0 {
        arguments.push(("x-expires", Argument::Int(ttl)));
    }
    let durable = options.rabbit_transient_quorum_queue;
    Step::Queue { name: name.to_owned(), durable, auto_delete: false, arguments }
}

fn stream_queue(options: &RabbitOptions, name: &str) -> Step {
    let mut arguments = vec![("x-queue-type", Argument::Text("stream".to_owned()))];
    let ttl = options.rabbit_transient_queues_ttl.as_secs();
    if ttl > 0 {
        arguments.push(("x-max-age", Argument::Text(format!("{ttl}s"))));
    }
    Step::Queue { name: name.to_owned(), durable: true, auto_delete: false, arguments }
}

fn ha_arguments(options: &RabbitOptions) -> Arguments {
    if options.rabbit_ha_queues {
        vec![("x-ha-policy", Argument::Text("all".to_owned()))]
    } else {
        Vec::new()
    }
}

fn quorum_arguments(options: &RabbitOptions) -> Arguments {
    let limits = [
        ("x-delivery-limit", options.rabbit_quorum_delivery_limit),
        ("x-max-in-memory-length", options.rabbit_quorum_max_memory_length),
        ("x-max-in-memory-bytes", options.rabbit_quorum_max_memory_bytes),
    ];
    let mut arguments = vec![("x-queue-type", Argument::Text("quorum".to_owned()))];
    let set = limits.into_iter().filter(|(_, limit)| *limit > 0);
    arguments
        .extend(set.map(|(name, limit)| (name, Argument::Int(i32::try_from(limit).unwrap_or(i32::MAX)))));
    arguments
}

fn bind(queue: &str, exchange: &str, key: &str) -> Step {
    Step::Bind { queue: queue.to_owned(), exchange: exchange.to_owned(), key: key.to_owned() }
}

fn consume(options: &RabbitOptions, queue: &str, tag: &str) -> Step {
    let mut arguments = Vec::new();
    if options.enable_cancel_on_failover {
        arguments.push(("x-cancel-on-ha-failover", Argument::Bool(true)));
    }
    Step::Consume { queue: queue.to_owned(), tag: tag.to_owned(), arguments }
}
