//! Request ids: new ones, and what is taken over from a caller.

use uuid::Uuid;

/// Longest id taken from a caller by [`adopt_inbound`].
const LONGEST: usize = 128;

/// A new request id: `req-` and a random UUID.
pub fn new_request_id() -> String {
    format!("req-{}", Uuid::new_v4())
}

/// An incoming `X-OpenStack-Request-ID` as oslo.middleware takes it: the *global* request id if it is `req-` and a
/// UUID in lower case, otherwise nothing. The request's own id is always a new one.
pub fn parse_inbound(header: &str) -> Option<String> {
    let uuid = header.strip_prefix("req-")?;
    let groups: Vec<&str> = uuid.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let hex = |group: &&str| group.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (lengths == [8, 4, 4, 4, 12] && groups.iter().all(hex)).then(|| header.to_owned())
}

/// An incoming id as some older services (Freezer's API among them) take it: adopted as the request's *own* id, with
/// `req-` put before it when missing. Text that could not be a header value of ours or would disturb a log line
/// (anything but letters, digits, `-`, `_`, `.`; nothing at all; over 128 characters) is not adopted.
pub fn adopt_inbound(header: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let id = header.trim();
    if id.is_empty() || id == "req-" || id.len() > LONGEST || !id.bytes().all(plain) {
        return None;
    }
    Some(if id.starts_with("req-") { id.to_owned() } else { format!("req-{id}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_taken_by_a_peer() {
        let id = new_request_id();
        assert_eq!(parse_inbound(&id), Some(id.clone()));
        assert_ne!(id, new_request_id());
    }

    #[test]
    fn only_lower_case_uuids_become_global_ids() {
        let good = "req-99999999-8888-7777-6666-55555555abcd";
        assert_eq!(parse_inbound(good).as_deref(), Some(good));
        for bad in [
            "",
            "req-",
            "99999999-8888-7777-6666-55555555abcd",
            "req-99999999-8888-7777-6666-55555555ABCD",
            "req-99999999-8888-7777-6666-55555555abcde",
            "req-99999999-8888-7777-6666-55555555abcd\n",
            "req-1-2-3-4-5",
            "req-99999999888877776666555555555555",
            "Req-99999999-8888-7777-6666-55555555abcd",
        ] {
            assert_eq!(parse_inbound(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn adopted_ids_get_the_prefix_and_nothing_dangerous_gets_in() {
        assert_eq!(adopt_inbound("abc").as_deref(), Some("req-abc"));
        assert_eq!(adopt_inbound(" req-ABC.1 ").as_deref(), Some("req-ABC.1"));
        for bad in ["", " ", "req-", "a b", "a\nb", "a\u{e9}", "a;b", &"a".repeat(129)] {
            assert_eq!(adopt_inbound(bad), None, "{bad:?}");
        }
    }
}
