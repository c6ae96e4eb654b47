//! `transport_url`: `driver://[user[:password]@]host[:port][,…]/vhost[?option=value&…]`.
//!
//! Read the way oslo.messaging reads it: unquoted once, hosts split at commas, credentials at the last `@`. Passwords
//! show neither in `Debug` nor in [`TransportUrl::redacted`].

use crate::{Error, Result};
use std::fmt;

/// One broker of the URL.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportHost {
    pub hostname: Option<String>,
    /// `None` is the protocol's port, 5672, also with TLS.
    pub port: Option<u16>,
    pub username: Option<String>,
    pub password: Option<String>,
}

/// A parsed `transport_url`.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportUrl {
    /// `rabbit`, `fake`, …; lower case.
    pub driver: String,
    /// `None` when the URL has no path at all; both `None` and empty mean `/`.
    pub virtual_host: Option<String>,
    pub hosts: Vec<TransportHost>,
    /// Options given in the URL, in order; a repeated key is joined by commas.
    pub query: Vec<(String, String)>,
}

impl TransportUrl {
    /// Reads a URL; an empty text is `rabbit://`.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`], with the passwords masked.
    pub fn parse(text: &str) -> Result<Self> {
        let text = if text.is_empty() { "rabbit://" } else { text };
        let refuse = |reason: &str| Error::InvalidUrl { url: mask(text), reason: reason.to_owned() };
        let (driver, rest) =
            split_scheme(text).ok_or_else(|| refuse("it has no driver such as rabbit://"))?;
        let (netloc, rest) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let hosts = netloc.split(',').filter(|host| !host.is_empty());
        let hosts = hosts.map(parse_host).collect::<Result<Vec<_>, _>>().map_err(|reason| refuse(&reason))?;
        Ok(Self {
            driver: driver.to_ascii_lowercase(),
            virtual_host: path.strip_prefix('/').map(unquote),
            hosts,
            query: parse_query(query),
        })
    }

    /// The vhost to open.
    #[must_use]
    pub fn vhost(&self) -> &str {
        self.virtual_host.as_deref().filter(|vhost| !vhost.is_empty()).unwrap_or("/")
    }

    /// The URL without its passwords, for logs and errors.
    #[must_use]
    pub fn redacted(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(TransportHost::redacted).collect();
        format!("{}://{}/{}", self.driver, hosts.join(","), self.virtual_host.as_deref().unwrap_or_default())
    }
}

impl TransportHost {
    /// `host:port`, as it is dialled.
    #[must_use]
    pub fn address(&self) -> String {
        let hostname = self.hostname.as_deref().unwrap_or("localhost");
        let port = self.port.unwrap_or(5672);
        if hostname.contains(':') { format!("[{hostname}]:{port}") } else { format!("{hostname}:{port}") }
    }

    fn redacted(&self) -> String {
        match &self.username {
            Some(user) => format!("{user}:***@{}", self.address()),
            None => self.address(),
        }
    }
}

impl fmt::Debug for TransportHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let starts_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (starts_well && scheme.chars().all(valid)).then_some((scheme, rest))
}

fn parse_host(text: &str) -> Result<TransportHost, String> {
    let (credentials, address) = match text.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, text),
    };
    let (username, password) =
        match credentials.map(|c| c.split_once(':').map_or((c, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(unquote(user)), password.map(unquote)),
            None => (None, None),
        };
    let (hostname, port) = split_port(address)?;
    let hostname = (!hostname.is_empty()).then(|| hostname.to_owned());
    Ok(TransportHost { hostname, port, username, password })
}

fn split_port(address: &str) -> Result<(&str, Option<u16>), String> {
    let (hostname, port) = if let Some(inner) = address.strip_prefix('[') {
        let (hostname, rest) = inner.split_once(']').ok_or("an IPv6 address lacks its closing bracket")?;
        match rest.strip_prefix(':') {
            Some(port) => (hostname, Some(port)),
            None if rest.is_empty() => (hostname, None),
            None => return Err("an IPv6 address is followed by more than a port".to_owned()),
        }
    } else if address.contains('[') || address.contains(']') {
        return Err("an IPv6 address lacks one of its brackets".to_owned());
    } else if address.matches(':').count() > 1 {
        (address, None) // a bare IPv6 address
    } else {
        address.split_once(':').map_or((address, None), |(hostname, port)| (hostname, Some(port)))
    };
    let number =
        |port: &str| port.parse::<u16>().map_err(|_| "a port is not a number from 0 to 65535".to_owned());
    Ok((hostname, port.map(number).transpose()?))
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = Vec::new();
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            continue;
        };
        let (key, value) = (unquote(&key.replace('+', " ")), unquote(&value.replace('+', " ")));
        match options.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => options.push((key, value)),
        }
    }
    options
}

/// Percent-decoding as Python's `unquote`: what is no escape stays as it is.
fn unquote(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let digits = escaped.filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let value = digits
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match value {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Masks everything that may be a password in a URL that could not be parsed.
fn mask(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let after = rest.rsplit_once('@').map_or("", |(_, after)| after);
    if after.is_empty() && !rest.contains('#') {
        return format!("{scheme}://{rest}");
    }
    format!("{scheme}://***@{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let url = TransportUrl::parse("rabbit://u:s3cret@h1,u:t0psecret@h2:1/v").unwrap();
        assert_eq!(format!("{url:?}"), "rabbit://u:***@h1:5672,u:***@h2:1/v");
        for broken in ["rabbit://u:s3cret@h:x/v", "rabbit://u:s3cret#x@h/v", "rabbit://u:s3cret@[::1/v"] {
            let error = TransportUrl::parse(broken).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn unquoting_leaves_what_is_no_escape() {
        assert_eq!(unquote("a%20b%2Fc"), "a b/c");
        assert_eq!(unquote("100%"), "100%");
        assert_eq!(unquote("%zz%4"), "%zz%4");
        assert_eq!(unquote("%C3%A9"), "é");
    }
}
