//! oslo.messaging for Rust: RPC and notifications over RabbitMQ or in process.
