//! One login: the body of `POST /v3/auth/tokens`, and its answer.

use crate::error::KeystoneError;
use crate::options::{ApplicationCredential, Auth, Domain, Named, Scope, SessionOptions};
use crate::secret::Secret;
use crate::token_document::TokenDocument;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// What a login brings.
#[derive(Clone, Debug)]
pub struct Login {
    pub token: Secret,
    pub document: TokenDocument,
    /// Where the Identity API was found: `…/v3`.
    pub identity_url: String,
    /// From here on the token is renewed before it is used again.
    pub renew_at: DateTime<Utc>,
}

impl Login {
    /// `margin` before the end, but never in the first three quarters of a short life: a token that lives
    /// less than the margin would otherwise be renewed at each use.
    pub(crate) fn renewal_time(
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
        margin: Duration,
    ) -> DateTime<Utc> {
        let life = (expires_at - now).max(TimeDelta::zero());
        let margin = TimeDelta::from_std(margin).unwrap_or(TimeDelta::MAX).min(life / 4);
        expires_at - margin
    }
}

/// An answered request that may be worth repeating, with the server's wish for when.
pub(crate) struct LoginFailure {
    pub error: KeystoneError,
    pub retry_after: Option<Duration>,
}

impl From<KeystoneError> for LoginFailure {
    fn from(error: KeystoneError) -> Self {
        Self { error, retry_after: None }
    }
}

pub(crate) async fn log_in(
    client: &Client,
    identity_url: &str,
    options: &SessionOptions,
    now: DateTime<Utc>,
) -> Result<Login, LoginFailure> {
    let url = format!("{identity_url}/auth/tokens");
    let response = client
        .post(&url)
        .header("Accept", "application/json")
        .timeout(options.keystone_timeout)
        .json(&body(&options.auth))
        .send()
        .await
        .map_err(|error| KeystoneError::unreachable(&url, &error))?;
    let status = response.status();
    let retry_after = crate::retry::retry_after(response.headers(), now);
    let token =
        response.headers().get("X-Subject-Token").and_then(|value| value.to_str().ok()).map(Secret::from);
    if status != StatusCode::CREATED {
        let detail = error_message(response).await;
        return Err(LoginFailure { error: refusal(url, status, detail, &options.auth), retry_after });
    }
    let bad = |cause: String| KeystoneError::BadDocument { url: url.clone(), cause };
    let answer: Value = response.json().await.map_err(|error| bad(format!("it is no JSON ({error})")))?;
    let token = token.ok_or_else(|| bad("it has no X-Subject-Token header".to_owned()))?;
    let document = TokenDocument::from_answer(&answer).map_err(bad)?;
    let renew_at = Login::renewal_time(document.expires_at, now, options.renewal_margin);
    Ok(Login { token, document, identity_url: identity_url.to_owned(), renew_at })
}

fn refusal(url: String, status: StatusCode, detail: String, auth: &Auth) -> KeystoneError {
    let detail = match trust_of(auth) {
        Some(id) => detail.replace(id, "***"),
        None => detail,
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            KeystoneError::Refused { url, who: who(auth), detail }
        }
        _ => KeystoneError::Answer { method: "POST".to_owned(), url, status: status.as_u16(), detail },
    }
}

/// Keystone's own words, shortened: `{"error": {"message": …}}`. Bodies may be anything when a proxy answers.
pub(crate) async fn error_message(response: reqwest::Response) -> String {
    let reason = response.status().canonical_reason().unwrap_or("no reason given").to_owned();
    let Ok(answer) = response.json::<Value>().await else { return reason };
    let message = answer.pointer("/error/message").and_then(Value::as_str);
    message.map_or(reason, |text| text.chars().take(300).collect())
}

/// Id of the trust that was to be acted under.
fn trust_of(auth: &Auth) -> Option<&str> {
    match auth {
        Auth::Password { scope: Scope::Trust(id), .. } | Auth::Token { scope: Scope::Trust(id), .. } => {
            Some(id.as_str()).filter(|id| !id.is_empty())
        }
        _ => None,
    }
}

/// Names whose credentials were used, never the secret, nor the trust: who is the trustee can use its id.
fn who(auth: &Auth) -> String {
    match auth {
        Auth::Password { user, scope: Scope::Trust(_), .. } => {
            format!("user {} under a trust", named_text(user))
        }
        Auth::Password { user, .. } => format!("user {}", named_text(user)),
        Auth::ApplicationCredential { credential: ApplicationCredential::Id(id), .. } => {
            format!("application credential {id}")
        }
        Auth::ApplicationCredential { credential: ApplicationCredential::Name { name, user }, .. } => {
            format!("application credential \"{name}\" of user {}", named_text(user))
        }
        Auth::Token { .. } => "the owner of the given token".to_owned(),
        Auth::None { user_id, .. } => format!("user {user_id}"),
    }
}

fn named_text(named: &Named) -> String {
    match named {
        Named::Id(id) => id.clone(),
        Named::Name { name, domain: Domain::Id(id) } => format!("\"{name}\" of domain {id}"),
        Named::Name { name, domain: Domain::Name(domain) } => format!("\"{name}\" of domain \"{domain}\""),
    }
}

fn body(auth: &Auth) -> Value {
    let (identity, scope) = match auth {
        Auth::Password { user, password, scope } => {
            let mut user = named_json(user);
            add(&mut user, "password", json!(password.expose()));
            (json!({"methods": ["password"], "password": {"user": user}}), scope_json(scope))
        }
        Auth::ApplicationCredential { credential, secret } => {
            let mut used = match credential {
                ApplicationCredential::Id(id) => json!({"id": id}),
                ApplicationCredential::Name { name, user } => json!({"name": name, "user": named_json(user)}),
            };
            add(&mut used, "secret", json!(secret.expose()));
            (json!({"methods": ["application_credential"], "application_credential": used}), None)
        }
        Auth::Token { token, scope } => {
            (json!({"methods": ["token"], "token": {"id": token.expose()}}), scope_json(scope))
        }
        // Never sent: a session without Keystone has nobody to log in at.
        Auth::None { .. } => (json!({"methods": []}), None),
    };
    let mut auth = json!({"identity": identity});
    if let Some(scope) = scope {
        add(&mut auth, "scope", scope);
    }
    json!({"auth": auth})
}

fn add(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn named_json(named: &Named) -> Value {
    match named {
        Named::Id(id) => json!({"id": id}),
        Named::Name { name, domain } => json!({"name": name, "domain": domain_json(domain)}),
    }
}

fn domain_json(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({"id": id}),
        Domain::Name(name) => json!({"name": name}),
    }
}

/// "unscoped" is said aloud: left out, Keystone would take the user's default project.
fn scope_json(scope: &Scope) -> Option<Value> {
    Some(match scope {
        Scope::Project(project) => json!({"project": named_json(project)}),
        Scope::Domain(domain) => json!({"domain": domain_json(domain)}),
        Scope::Trust(id) => json!({"OS-TRUST:trust": {"id": id}}),
        Scope::System => json!({"system": {"all": true}}),
        Scope::Unscoped => json!("unscoped"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_what_keystone_reads() {
        let alice = Named::Name { name: "alice".to_owned(), domain: Domain::Name("Default".to_owned()) };
        let password = |scope| Auth::Password { user: alice.clone(), password: "pw".into(), scope };
        let user = json!({"name": "alice", "domain": {"name": "Default"}, "password": "pw"});
        let project = Named::Name { name: "demo".to_owned(), domain: Domain::Id("default".to_owned()) };
        let cases = [
            (Scope::Project(Named::Id("p".to_owned())), json!({"project": {"id": "p"}})),
            (Scope::Project(project), json!({"project": {"name": "demo", "domain": {"id": "default"}}})),
            (Scope::Trust("t".to_owned()), json!({"OS-TRUST:trust": {"id": "t"}})),
            (Scope::System, json!({"system": {"all": true}})),
            (Scope::Domain(Domain::Id("d".to_owned())), json!({"domain": {"id": "d"}})),
            (Scope::Unscoped, json!("unscoped")),
        ];
        for (scope, expected) in cases {
            let expected = json!({"auth": {"scope": expected,
                "identity": {"methods": ["password"], "password": {"user": user}}}});
            assert_eq!(body(&password(scope)), expected);
        }
        let credential = ApplicationCredential::Name { name: "c".to_owned(), user: alice.clone() };
        let named = Auth::ApplicationCredential { credential, secret: "s".into() };
        assert_eq!(
            body(&named),
            json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential":
                {"name": "c", "user": {"name": "alice", "domain": {"name": "Default"}}, "secret": "s"}}}})
        );
        assert_eq!(who(&password(Scope::System)), "user \"alice\" of domain \"Default\"");
        let of_trust = password(Scope::Trust("t1".to_owned()));
        assert_eq!(who(&of_trust), "user \"alice\" of domain \"Default\" under a trust");
        let detail = "Could not find trust: t1.".to_owned();
        let told = refusal("http://k/v3".to_owned(), StatusCode::NOT_FOUND, detail, &of_trust).to_string();
        assert!(told.ends_with("404: Could not find trust: ***."), "{told}");
    }
}
