//! The JSON form of a record: oslo.log's keys in oslo.log's order.

use serde_json::{Value, json};

use crate::format::{Formats, function, hostname, seconds, thread_name};
use crate::record::Record;

/// One line. `started` is when logging was set up, for `relative_created`.
pub(crate) fn line(
    record: &Record,
    formats: &Formats,
    project: &str,
    started: chrono::DateTime<chrono::Local>,
) -> String {
    let mut extra = record.fields.clone();
    let of_context = record.context.as_ref().and_then(|context| context.project.clone());
    let resource = record.resource.clone().map(|uuid| ("resource_uuid".to_owned(), Value::String(uuid)));
    extra.extend(resource);
    extra.entry("project").or_insert(of_context.unwrap_or_else(|| project.to_owned()).into());
    let traceback = (!record.backtrace.is_empty()).then(|| record.backtrace.join("\n"));
    let filename = record.path.rsplit('/').next().unwrap_or_default();
    let since = (record.time - started).num_microseconds().unwrap_or_default() as f64 / 1000.0;
    json!({
        "message": record.message,
        "asctime": formats.asctime(record),
        "name": record.name,
        "msg": record.message,
        "args": [],
        "levelname": record.level.name(),
        "levelno": record.level.number(),
        "pathname": record.path,
        "filename": filename,
        "module": filename.trim_end_matches(".rs"),
        "lineno": record.line,
        "funcname": function(record),
        "created": seconds(record),
        "msecs": f64::from(record.time.timestamp_subsec_millis().min(999)),
        "relative_created": since,
        "thread": thread_number(),
        "thread_name": thread_name(),
        "process_name": "MainProcess",
        "process": std::process::id(),
        "traceback": traceback,
        "hostname": hostname(),
        "error_summary": record.error,
        "context": record.context.as_ref().map_or_else(|| json!({}), |context| context.to_json()),
        "extra": extra,
    })
    .to_string()
}

/// Rust's number of the thread: small and unique in the process, not the system's.
fn thread_number() -> u64 {
    let text = format!("{:?}", std::thread::current().id());
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default()
}
