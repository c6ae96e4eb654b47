//! Session options from the environment (`OS_…`) or from a section of a configuration file.
//!
//! Both speak keystoneauth's names; a source knows how each is spelled and where to say it is missing.
//! Blank values count as absent: openrc files like to set empty variables. All problems are collected and
//! told at once.

use crate::error::KeystoneError;
use crate::options::{ApplicationCredential, Auth, Domain, Named, Scope, SessionOptions};
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

impl SessionOptions {
    /// From the variables an openrc file sets: `OS_AUTH_URL`, `OS_USERNAME`, … `get` looks a variable up.
    pub fn from_env(get: Get<'_>) -> Result<Self, KeystoneError> {
        let mut source = Source::new(get, |name| format!("OS_{}", name.to_uppercase()), "the environment");
        if let Some(version) = source.any(&["identity_api_version"])
            && version.trim_start_matches('v').split('.').next() != Some("3")
        {
            source.problems.push(format!("OS_IDENTITY_API_VERSION is {version}, only 3 is spoken"));
        }
        source.read(&["auth_type", "auth_method"])
    }

    /// From a section such as `[keystone_authtoken]` with keystoneauth's option names. `get` looks an option
    /// of the section up; defaults are filled in here. Where `auth_section` is set the caller follows it.
    pub fn from_section(get: Get<'_>) -> Result<Self, KeystoneError> {
        Source::new(get, str::to_owned, "the configuration section").read(&[
            "auth_type",
            "auth_plugin",
            "auth_method",
        ])
    }
}

/// How credentials are given, by keystoneauth's plugin names.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Password,
    ApplicationCredential,
    Token,
    None,
}

struct Source<'a> {
    get: Get<'a>,
    spell: fn(&str) -> String,
    place: &'static str,
    problems: Vec<String>,
    missing: Vec<String>,
}

impl<'a> Source<'a> {
    fn new(get: Get<'a>, spell: fn(&str) -> String, place: &'static str) -> Self {
        Self { get, spell, place, problems: Vec::new(), missing: Vec::new() }
    }

    /// The first of several spellings that is set.
    fn any(&self, names: &[&str]) -> Option<String> {
        let present = |name: &&str| (self.get)(&(self.spell)(name)).filter(|value| !value.trim().is_empty());
        names.iter().find_map(present)
    }

    /// As [`Source::any`], and noted as missing under its first name.
    fn need(&mut self, names: &[&str]) -> String {
        self.any(names).unwrap_or_else(|| {
            let spelled: Vec<String> = names.iter().take(2).map(|name| (self.spell)(name)).collect();
            self.missing.push(spelled.join(" or "));
            String::new()
        })
    }

    fn flag(&mut self, name: &str) -> bool {
        let Some(text) = self.any(&[name]) else { return false };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.problems.push(format!("{} = {text} is neither true nor false", (self.spell)(name)));
                false
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        let text = self.any(&[name])?;
        let number = text.trim().parse().ok();
        if number.is_none() {
            self.problems.push(format!("{} = {text} is no whole number", (self.spell)(name)));
        }
        number
    }

    fn read(mut self, type_names: &[&str]) -> Result<SessionOptions, KeystoneError> {
        let kind = self.kind(type_names);
        let auth_url = if kind == Kind::None { String::new() } else { self.need(&["auth_url"]) };
        let auth = self.auth(kind);
        let mut options = SessionOptions::new(auth_url, auth);
        options.cafile = self.any(&["cafile", "cacert"]).map(PathBuf::from);
        options.certfile = self.any(&["certfile", "cert"]).map(PathBuf::from);
        options.keyfile = self.any(&["keyfile", "key"]).map(PathBuf::from);
        options.insecure = self.flag("insecure");
        options.region = self.any(&["region_name"]);
        if let Some(text) = self.interface_text() {
            match text.parse() {
                Ok(interface) => options.interface = interface,
                Err(problem) => self.problems.push(problem),
            }
        }
        if let Some(seconds) = self.number("timeout") {
            options.keystone_timeout = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = self.number("http_connect_timeout") {
            options.connect_timeout = Some(Duration::from_secs(seconds.into()));
        }
        if let Some(retries) = self.number("connect_retries") {
            options.retries.max_retries = retries;
        }
        self.finish(options)
    }

    /// `valid_interfaces` is a list by preference; the first counts.
    fn interface_text(&self) -> Option<String> {
        let text = self.any(&["interface", "endpoint_type", "valid_interfaces"])?;
        text.split(',').map(str::trim).find(|part| !part.is_empty()).map(str::to_owned)
    }

    fn finish(self, options: SessionOptions) -> Result<SessionOptions, KeystoneError> {
        let mut problems = self.problems;
        if !self.missing.is_empty() {
            problems.insert(
                0,
                format!("credentials for Keystone are incomplete, set {}", self.missing.join(", ")),
            );
        }
        match problems.is_empty() {
            true => Ok(options),
            false => Err(KeystoneError::Options { place: self.place.to_owned(), problems }),
        }
    }

    /// What is named, else what the other settings look like.
    fn kind(&mut self, names: &[&str]) -> Kind {
        match self.any(names).as_deref().map(str::trim) {
            Some("password" | "v3password") => Kind::Password,
            Some("v3applicationcredential" | "applicationcredential" | "application_credential") => {
                Kind::ApplicationCredential
            }
            Some("token" | "v3token") => Kind::Token,
            Some("none" | "noauth") => Kind::None,
            Some(other) => {
                let name = names.first().map_or_else(String::new, |name| (self.spell)(name));
                self.problems.push(format!(
                    "{name} = {other} is not supported, use password, v3applicationcredential, v3token or none"
                ));
                Kind::Password
            }
            None if self.any(&["application_credential_id", "application_credential_secret"]).is_some() => {
                Kind::ApplicationCredential
            }
            None if self.any(&["token"]).is_some() && self.any(&["password"]).is_none() => Kind::Token,
            None => Kind::Password,
        }
    }

    fn auth(&mut self, kind: Kind) -> Auth {
        match kind {
            Kind::Password => {
                let user = self.user();
                Auth::Password { user, password: Secret::new(self.need(&["password"])), scope: self.scope() }
            }
            Kind::Token => Auth::Token { token: Secret::new(self.need(&["token"])), scope: self.scope() },
            Kind::ApplicationCredential => {
                if self.any(&["trust_id"]).is_some() {
                    // Keystone would ignore the trust and let the service act in its own project.
                    self.problems.push(format!(
                        "an application credential cannot act under a trust ({}); give user name and password instead",
                        (self.spell)("trust_id")
                    ));
                }
                let credential = self.application_credential();
                let secret = Secret::new(self.need(&["application_credential_secret"]));
                Auth::ApplicationCredential { credential, secret }
            }
            Kind::None => {
                let user_id = self.any(&["user_id", "username"]).unwrap_or_else(|| "admin".to_owned());
                let project_id =
                    self.any(&["project_id", "project_name"]).unwrap_or_else(|| "admin".to_owned());
                Auth::None { user_id, project_id }
            }
        }
    }

    fn application_credential(&mut self) -> ApplicationCredential {
        if let Some(id) = self.any(&["application_credential_id"]) {
            return ApplicationCredential::Id(id);
        }
        match self.any(&["application_credential_name"]) {
            Some(name) => ApplicationCredential::Name { name, user: self.user() },
            None => ApplicationCredential::Id(
                self.need(&["application_credential_id", "application_credential_name"]),
            ),
        }
    }

    fn user(&mut self) -> Named {
        if let Some(id) = self.any(&["user_id"]) {
            return Named::Id(id);
        }
        let name = self.need(&["username", "user_id", "user_name"]);
        Named::Name { name, domain: self.domain("user") }
    }

    /// The domain a user or project lives in; `default_domain_*` stands in for both.
    fn domain(&mut self, of: &str) -> Domain {
        let (id, name) = (format!("{of}_domain_id"), format!("{of}_domain_name"));
        if let Some(id) = self.any(&[&id]) {
            return Domain::Id(id);
        }
        if let Some(name) = self.any(&[&name]) {
            return Domain::Name(name);
        }
        if let Some(id) = self.any(&["default_domain_id", "default_domain"]) {
            return Domain::Id(id);
        }
        match self.any(&["default_domain_name"]) {
            Some(name) => Domain::Name(name),
            None => Domain::Name(self.need(&[&name, &id])),
        }
    }

    /// A trust excludes every other scope; then project, domain, system.
    fn scope(&mut self) -> Scope {
        if let Some(id) = self.any(&["trust_id"]) {
            return Scope::Trust(id);
        }
        if let Some(id) = self.any(&["project_id", "tenant_id"]) {
            return Scope::Project(Named::Id(id));
        }
        if let Some(name) = self.any(&["project_name", "tenant_name"]) {
            return Scope::Project(Named::Name { name, domain: self.domain("project") });
        }
        if let Some(id) = self.any(&["domain_id"]) {
            return Scope::Domain(Domain::Id(id));
        }
        if let Some(name) = self.any(&["domain_name"]) {
            return Scope::Domain(Domain::Name(name));
        }
        match self.any(&["system_scope"]).as_deref() {
            Some("all" | "true" | "True") => Scope::System,
            Some(other) => {
                self.problems.push(format!("{} = {other}, only all is known", (self.spell)("system_scope")));
                Scope::System
            }
            None => Scope::Unscoped,
        }
    }
}

#[cfg(test)]
#[path = "options_source_tests.rs"]
mod tests;
