//! The demo's hands: plain calls of the service's REST API, as any client makes them.

use serde_json::Value;

pub struct Rest {
    http: reqwest::Client,
    /// `http://127.0.0.1:PORT/v2/PROJECT`
    base: String,
    token: String,
}

impl Rest {
    pub fn new(base: String, token: String) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self { http, base, token })
    }

    pub async fn get(&self, path: &str) -> Result<Value, String> {
        self.send(self.http.get(format!("{}{path}", self.base)), path).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.send(self.http.post(format!("{}{path}", self.base)).json(body), path).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value, String> {
        let failed = |cause: String| format!("{path}: {cause}");
        let answer = request
            .header("X-Auth-Token", &self.token)
            .send()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| failed(error.to_string()))?;
        if !status.is_success() {
            return Err(failed(format!("{status} {text}")));
        }
        if text.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
        }
    }
}
