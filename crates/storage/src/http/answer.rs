//! Answers: headers, and texts for people.

use reqwest::Response;
use std::error::Error;
use std::io;

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The first words of an error page, without its markup.
pub(crate) async fn short_text(answer: Response) -> String {
    let page = answer.text().await.unwrap_or_default();
    let mut text = String::new();
    let mut in_tag = false;
    for c in page.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag && !c.is_control() => text.push(c),
            _ => {}
        }
    }
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

pub(super) fn with_causes(error: &reqwest::Error) -> String {
    let mut text = match error.url() {
        Some(url) => format!("connection to {}", url.host_str().unwrap_or("?")),
        None => "connection".to_string(),
    };
    let mut cause = error.source();
    if cause.is_none() {
        text.push_str(": broke");
    }
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Whether the server showed a certificate that is not believed.
pub(super) fn is_of_certificate(error: &reqwest::Error) -> bool {
    matches!(error.source().and_then(of_tls), Some(rustls::Error::InvalidCertificate(_)))
}

/// Errors of the line hide others that are no causes of theirs.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inside) => of_tls(inside),
        None => error.source().and_then(of_tls),
    }
}
