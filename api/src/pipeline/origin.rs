//! Where clients see this service: scheme, host and prefix, from the request or from the proxy before us.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderMap;

/// `scheme://host[/prefix]` without a slash at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin(pub String);

impl Origin {
    /// What a proxy says counts only where the operator has told us that there is one: anybody can send its headers.
    pub fn of(request: &ServiceRequest, trusts_proxy: bool, prefix: &str) -> Self {
        let headers = request.headers();
        let said = if trusts_proxy { said_by_proxy(headers) } else { Said::default() };
        // This service speaks no TLS itself, so the scheme is known unless a proxy says otherwise.
        let scheme = said.scheme.unwrap_or_else(|| "http".to_owned());
        let host = said.host.or_else(|| text(headers, "host")).unwrap_or_else(|| "localhost".to_owned());
        let prefix = said.prefix.unwrap_or_else(|| prefix.to_owned());
        Self(format!("{scheme}://{host}{}", prefix.trim_end_matches('/')))
    }
}

#[derive(Default)]
struct Said {
    scheme: Option<String>,
    host: Option<String>,
    prefix: Option<String>,
}

/// `Forwarded` (its first element) or else the `X-Forwarded-…` headers; the prefix is only among the latter.
fn said_by_proxy(headers: &HeaderMap) -> Said {
    let prefix = text(headers, "x-forwarded-prefix")
        .map(|prefix| first(&prefix))
        .filter(|prefix| prefix.starts_with('/'));
    if let Some(forwarded) = text(headers, "forwarded") {
        let element = first(&forwarded);
        let field = |name: &str| {
            element.split(';').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        return Said { scheme: field("proto").filter(is_scheme), host: field("host"), prefix };
    }
    Said {
        scheme: text(headers, "x-forwarded-proto").map(|proto| first(&proto)).filter(is_scheme),
        host: text(headers, "x-forwarded-host").map(|host| first(&host)),
        prefix,
    }
}

fn is_scheme(scheme: &String) -> bool {
    scheme == "http" || scheme == "https"
}

fn first(list: &str) -> String {
    list.split(',').next().unwrap_or_default().trim().to_owned()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
        .filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn proxies_count_only_when_trusted() {
        let request = |pairs: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default().insert_header(("host", "inside:9090"));
            for pair in pairs {
                request = request.insert_header(*pair);
            }
            request.to_srv_request()
        };
        let proxied = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example, b"),
            ("x-forwarded-prefix", "/backup/"),
        ];
        assert_eq!(Origin::of(&request(&proxied), false, "").0, "http://inside:9090");
        assert_eq!(Origin::of(&request(&proxied), true, "").0, "https://a.example/backup");
        let standard = [("forwarded", "for=1.2.3.4;proto=https;host=\"c.example:8443\", for=x")];
        assert_eq!(Origin::of(&request(&standard), true, "/b").0, "https://c.example:8443/b");
        assert_eq!(
            Origin::of(&request(&[("x-forwarded-proto", "javascript")]), true, "").0,
            "http://inside:9090"
        );
    }
}
