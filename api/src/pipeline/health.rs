//! `/healthcheck` (and anything below it), before authentication and to any method, as oslo.middleware answers it.
//!
//! Looks only at marker files: a load balancer asks whether this process should get requests, and a database that is
//! away is no reason to send them nowhere.

use crate::state::ApiState;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The options of `[healthcheck]`.
#[derive(Clone, Debug, Default)]
pub struct HealthOptions {
    pub backends: Vec<String>,
    pub disable_by_file_path: Option<PathBuf>,
    /// `port:path`, one for each port.
    pub disable_by_file_paths: Vec<(u16, PathBuf)>,
    pub enable_by_file_paths: Vec<PathBuf>,
    pub detailed: bool,
    /// Who may ask; empty = anybody.
    pub allowed_sources: Vec<Network>,
    pub ignore_proxied_requests: bool,
}

struct Finding {
    is_well: bool,
    backend: &'static str,
    reason: &'static str,
}

/// Answers 200 `OK` (HEAD: 204) or 503 with the reason.
pub async fn health(request: HttpRequest, state: web::Data<ApiState>) -> HttpResponse {
    let options = &state.options.health;
    if !may_ask(&request, options) {
        return HttpResponse::NotFound().finish();
    }
    let findings = findings(options, state.options.bind_port);
    let is_well = findings.iter().all(|finding| finding.is_well);
    let status = match (is_well, request.method()) {
        (false, _) => StatusCode::SERVICE_UNAVAILABLE,
        (true, &Method::HEAD) => StatusCode::NO_CONTENT,
        (true, _) => StatusCode::OK,
    };
    let mut response = HttpResponse::build(status);
    if request.method() == Method::HEAD {
        return response.finish();
    }
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/json") {
        response.insert_header((CONTENT_TYPE, "application/json"));
        return response.body(as_json(&findings, options.detailed));
    }
    if accept.contains("text/html") {
        response.insert_header((CONTENT_TYPE, "text/html; charset=UTF-8"));
        return response.body(as_html(&findings));
    }
    response.insert_header((CONTENT_TYPE, "text/plain; charset=UTF-8"));
    response.body(findings.iter().map(|finding| finding.reason).collect::<Vec<_>>().join("\n"))
}

fn may_ask(request: &HttpRequest, options: &HealthOptions) -> bool {
    let proxied = ["forwarded", "x-forwarded-for"].iter().any(|name| request.headers().contains_key(*name));
    if options.ignore_proxied_requests && proxied {
        return false;
    }
    if options.allowed_sources.is_empty() {
        return true;
    }
    let source = request.peer_addr().map(|address| address.ip());
    source.is_some_and(|source| options.allowed_sources.iter().any(|network| network.contains(source)))
}

fn findings(options: &HealthOptions, port: u16) -> Vec<Finding> {
    let exists = |path: &PathBuf| path.exists();
    options
        .backends
        .iter()
        .filter_map(|backend| match backend.as_str() {
            "disable_by_file" => Some(disabled(
                "DisableByFileHealthcheck",
                options.disable_by_file_path.as_ref().is_some_and(exists),
            )),
            "disable_by_files_ports" => {
                let marked = |(of, path): &(u16, PathBuf)| *of == port && path.exists();
                Some(disabled(
                    "DisableByFilesPortsHealthcheck",
                    options.disable_by_file_paths.iter().any(marked),
                ))
            }
            "enable_by_files" => {
                let is_well = options.enable_by_file_paths.iter().all(exists);
                let reason = if is_well { "OK" } else { "FILE PATH MISSING" };
                Some(Finding { is_well, backend: "EnableByFilesHealthcheck", reason })
            }
            _ => None,
        })
        .collect()
}

fn disabled(backend: &'static str, is_disabled: bool) -> Finding {
    Finding { is_well: !is_disabled, backend, reason: if is_disabled { "DISABLED BY FILE" } else { "OK" } }
}

fn as_json(findings: &[Finding], is_detailed: bool) -> String {
    let reasons: Vec<_> = findings
        .iter()
        .map(|finding| match is_detailed {
            true => json!({"class": finding.backend, "details": "", "reason": finding.reason}),
            false => json!(finding.reason),
        })
        .collect();
    let document = match is_detailed {
        true => json!({
            "detailed": true,
            "now": chrono::Utc::now().to_rfc3339(),
            "platform": format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            "reasons": reasons,
            "version": env!("CARGO_PKG_VERSION"),
        }),
        false => json!({"detailed": false, "reasons": reasons}),
    };
    let mut text = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, form);
    // Writing JSON values to memory cannot fail.
    let _ = serde::Serialize::serialize(&document, &mut writer);
    String::from_utf8(text).unwrap_or_default()
}

fn as_html(findings: &[Finding]) -> String {
    let rows: String =
        findings.iter().map(|finding| format!("<tr><td>{}</td></tr>", finding.reason)).collect();
    format!(
        "<html><head><title>Healthcheck Status</title></head><body><table><tr><th>Reason</th></tr>{rows}</table></body></html>"
    )
}

/// An address range in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Reads `address` or `address/bits`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Some(width), |bits| bits.parse().ok())?;
        (prefix_bits <= width).then_some(Self { address, prefix_bits })
    }

    fn contains(&self, source: IpAddr) -> bool {
        let (own, other, width) = match (self.address, source.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let free_bits = width - self.prefix_bits;
        own.checked_shr(free_bits).unwrap_or(0) == other.checked_shr(free_bits).unwrap_or(0)
    }
}

/// Reads `port:path`.
pub fn port_and_path(text: &str) -> Option<(u16, PathBuf)> {
    let (port, path) = text.split_once(':')?;
    Some((port.trim().parse().ok()?, Path::new(path.trim()).to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(!network.contains("fe80::1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("::/0").unwrap().contains("fe80::1".parse().unwrap()));
        assert!(Network::parse("fe80::1").unwrap().contains("fe80::1".parse().unwrap()));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
        assert_eq!(Network::parse("x"), None);
    }
}
