//! Addresses, host names and URIs: is this text one? Nothing is resolved or opened.

use std::net::IpAddr;

/// An IP address without prefix length.
pub(crate) fn ip(text: &str) -> Result<(), String> {
    text.parse::<IpAddr>().map(drop).map_err(|_| "expected an IPv4 or IPv6 address".to_owned())
}

/// A host name; a dot at its end is dropped.
pub(crate) fn name(text: &str) -> Result<&str, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > 253 {
        return Err("expected a host name of 1 to 253 characters".to_owned());
    }
    if !text.split('.').all(is_label) {
        return Err(
            "expected a host name: letters, digits and hyphens, in parts of 1 to 63 characters".to_owned()
        );
    }
    let top = text.rsplit('.').next().unwrap_or_default();
    if top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("expected a host name: its last part must not be a number".to_owned());
    }
    Ok(text)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A URI with a scheme and one host.
pub(crate) fn uri(text: &str) -> Result<(), String> {
    let expected = "expected a URI with a scheme and a host, like http://host:port/path";
    let (scheme, rest) = text.split_once("://").ok_or(expected)?;
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(letters) {
        return Err(expected.to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.split_once('@') {
        Some((_, host)) => host,
        None => authority,
    };
    if host.contains('@') {
        return Err("expected a URI with one host".to_owned());
    }
    let (host, port) = split_port(host);
    let number = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    let literal = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let good = match literal {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && !host.contains(|c: char| {
                    c.is_whitespace() || matches!(c, '[' | ']' | ':' | '"' | '<' | '>' | '\\')
                })
        }
    };
    if good && number { Ok(()) } else { Err(expected.to_owned()) }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    if host.ends_with(']') {
        return (host, None);
    }
    match host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (host, None),
    }
}
