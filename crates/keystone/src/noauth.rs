//! Identity without Keystone (`auth_strategy = noauth`): everybody is who they say they are. For trying out and
//! for tests on one machine, never for a service others can reach.
//!
//! Said, in this order, by `X-User-Id` / `X-Project-Id` / `X-Roles`, by `X-Auth-Token: user:project` as
//! OpenStack's noauth clients send it, by the project in the path, by default `admin`.

use crate::identity::Identity;
use actix_web::http::header::HeaderMap;

const DEFAULT_NAME: &str = "admin";
const DEFAULT_ROLES: &[&str] = &["admin", "member", "reader"];

pub(crate) fn identity(headers: &HeaderMap, project_of_path: Option<String>) -> Identity {
    let said = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    // A text without a colon may be a real token: that must not become a name that is logged.
    let token = said("X-Auth-Token").filter(|token| token.contains(':'));
    let (token_user, token_project) = match token.as_deref().and_then(|token| token.split_once(':')) {
        Some((user, project)) => (some(user), some(project)),
        None => (None, None),
    };
    let user = said("X-User-Id").or(token_user).unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let project =
        said("X-Project-Id").or(token_project).or(project_of_path).unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let roles = said("X-Roles");
    let roles: Vec<&str> = match &roles {
        Some(list) => list.split(',').map(str::trim).filter(|role| !role.is_empty()).collect(),
        None => DEFAULT_ROLES.to_vec(),
    };
    Identity::unproven(&user, &project, &roles)
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn who(headers: &[(&str, &str)], path: Option<&str>) -> (String, String, String) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let identity = identity(&map, path.map(str::to_owned));
        (identity.user_id, identity.project_id.unwrap(), identity.roles.join(","))
    }

    fn three(user: &str, project: &str, roles: &str) -> (String, String, String) {
        (user.to_owned(), project.to_owned(), roles.to_owned())
    }

    #[test]
    fn said_in_headers_token_path_or_not_at_all() {
        let all = "admin,member,reader";
        assert_eq!(who(&[], None), three("admin", "admin", all));
        assert_eq!(who(&[], Some("p9")), three("admin", "p9", all));
        assert_eq!(who(&[("X-Auth-Token", "u1:p1")], Some("p9")), three("u1", "p1", all));
        assert_eq!(who(&[("X-Auth-Token", "u1:")], Some("p9")), three("u1", "p9", all));
        assert_eq!(who(&[("X-Auth-Token", "gAAAAAB-a-real-token")], None), three("admin", "admin", all));
        let headers =
            [("X-User-Id", "u2"), ("X-Project-Id", "p2"), ("X-Roles", "reader, x"), ("X-Auth-Token", "u:p")];
        assert_eq!(who(&headers, Some("p9")), three("u2", "p2", "reader,x"));
    }
}
