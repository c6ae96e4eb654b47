//! The path a request means: `//` is `/`, a slash at the end says nothing, a configured prefix is taken off.
//!
//! Paths are served as they come, never redirected: clients turn a redirected POST into a GET.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;

/// Rewrites the request's path to the one the routes know.
pub fn settle(request: &mut ServiceRequest, prefix: &str) {
    let Some(path) = settled(request.path(), prefix) else { return };
    let mut parts = request.head().uri.clone().into_parts();
    let query = request.query_string();
    let path_and_query = if query.is_empty() { path } else { format!("{path}?{query}") };
    // The old text was a path; the new one is a part of it, so both conversions hold.
    let Ok(path_and_query) = path_and_query.parse() else { return };
    parts.path_and_query = Some(path_and_query);
    let Ok(uri) = Uri::from_parts(parts) else { return };
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
}

/// The path to use instead; `None` when it is fine.
fn settled(path: &str, prefix: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut settled = format!("/{}", parts.join("/"));
    if !prefix.is_empty()
        && let Some(rest) = settled.strip_prefix(prefix)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        settled = if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
    }
    (settled != path).then_some(settled)
}

#[cfg(test)]
mod tests {
    use super::settled;

    #[test]
    fn slashes_and_prefixes() {
        for (path, prefix, expected) in [
            ("/", "", None),
            ("/v2/p/jobs", "", None),
            ("/v2/p/jobs/", "", Some("/v2/p/jobs")),
            ("/v2/p//jobs//", "", Some("/v2/p/jobs")),
            ("//", "", Some("/")),
            ("/backup/v2/", "/backup", Some("/v2")),
            ("/backup", "/backup", Some("/")),
            ("/backups/v2", "/backup", None),
            ("/v2/p/jobs", "/backup", None),
        ] {
            assert_eq!(settled(path, prefix).as_deref(), expected, "{path}");
        }
    }
}
