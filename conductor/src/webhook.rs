//! Webhooks: an event as a signed HTTP POST to addresses that the operator has configured.
//!
//! `X-Freezer-Signature: sha256=<hex>` is the HMAC-SHA-256, under the secret, of the text in `X-Freezer-Timestamp`, a dot, and the
//! body. `X-Freezer-Delivery` stays the same when an event is sent again. Anything but 2xx is "not taken".

use freezer_database::Letter;
use freezer_model::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use oslo_config::Config;
use serde_json::Value;
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

/// `[webhook]`.
#[derive(Clone, Default)]
pub struct WebhookOptions {
    pub urls: Vec<String>,
    /// Key of the signature; without it nothing is signed.
    pub secret: Option<Vec<u8>>,
    pub timeout: Duration,
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookOptions({} addresses, signed: {})", self.urls.len(), self.secret.is_some())
    }
}

impl WebhookOptions {
    /// Reads `[webhook]`, and the secret from its file.
    ///
    /// # Errors
    /// When the file cannot be read or is empty, or an address is none.
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let urls = config.list("webhook", "urls");
        if let Some(url) = urls.iter().find(|url| !url.starts_with("https://") && !url.starts_with("http://"))
        {
            let scheme: String = url.chars().take_while(|letter| *letter != ':').take(16).collect();
            return Err(format!(
                "[webhook] urls: an address begins with {scheme:?}; http:// or https:// is wanted"
            ));
        }
        let secret = match config.opt_str("webhook", "secret_file").filter(|path| !path.is_empty()) {
            None => None,
            Some(path) => {
                let text = std::fs::read(path).map_err(|error| {
                    format!("[webhook] secret_file {path}: {error}; see that it is readable")
                })?;
                let text = text.trim_ascii().to_vec();
                if text.is_empty() {
                    return Err(format!(
                        "[webhook] secret_file {path} is empty; write a long random text into it"
                    ));
                }
                Some(text)
            }
        };
        let timeout = Duration::from_secs(config.int("webhook", "timeout").unsigned_abs());
        Ok(Self { urls, secret, timeout })
    }
}

pub(crate) fn client(options: &WebhookOptions) -> Result<reqwest::Client, String> {
    // Fails when the program has chosen one already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(options.timeout.max(Duration::from_secs(1)))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())
}

/// Sends one event. Errors are for the log: they never hold the address, whose path may be a secret.
pub(crate) async fn post(
    http: &Result<reqwest::Client, String>,
    options: &WebhookOptions,
    letter: &Letter,
    now: Timestamp,
) -> Result<(), String> {
    let url = letter.body.get("url").and_then(Value::as_str).unwrap_or_default();
    if !options.urls.iter().any(|known| known == url) {
        tracing::info!(letter = %letter.id, "its address is no longer configured; the webhook is dropped");
        return Ok(());
    }
    let http = http.as_ref().map_err(Clone::clone)?;
    let body = letter.body.get("event").cloned().unwrap_or(Value::Null).to_string();
    let timestamp = now.secs().to_string();
    let mut request = http
        .post(url)
        .header("Content-Type", "application/json")
        .header("User-Agent", concat!("freezer-conductor/", env!("CARGO_PKG_VERSION")))
        .header("X-Freezer-Delivery", &letter.id)
        .header("X-Freezer-Timestamp", &timestamp);
    if let Some(secret) = &options.secret {
        request = request
            .header("X-Freezer-Signature", format!("sha256={}", signature(secret, &timestamp, &body)?));
    }
    let answer = request.body(body).send().await.map_err(|error| error.without_url().to_string())?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(format!("the receiver answered {}", answer.status()))
    }
}

fn signature(secret: &[u8], timestamp: &str, body: &str) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| error.to_string())?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    Ok(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signatures_are_those_of_openssl() {
        // printf '1767225600.{"a":1}' | openssl dgst -sha256 -hmac secret
        let expected = "96a067a1c95eb143fc00b9097bcfcbcd5456adda508c443ff219748e764dbed7";
        assert_eq!(signature(b"secret", "1767225600", "{\"a\":1}").unwrap(), expected);
    }
}
