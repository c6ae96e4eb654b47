//! Secrets out of texts. Better one word too many starred than a password in a log.
//!
//! Found are: `password=x`, `"os_password": "x"`, `password: "x"` and `Some("x")` of Rust's Debug form, `--token x`,
//! `<password>x</password>`, `password 'x'`, `X-Auth-Token: x`, `Authorization: Bearer x`, `://user:x@host` (also with
//! several hosts), and anything that looks like a Fernet token. Names match at their end: `auth_pass`,
//! `application_credential_secret`, `password2`.

const STARS: &str = "***";

/// Ends of names whose value is secret, in lower case.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "_pass",
    "adminpass",
    "secret",
    "token",
    "secret_uuid",
    "sys_pswd",
    "configdrive",
    "encrypted_key",
    "encryption_key",
    "private_key",
    "secret_key",
    "access_key",
    "api_key",
    "auth_key",
    "fernetkey",
    "sslkey",
    "authorization",
    "credential_secret",
    "secret_access_key",
    "set-cookie",
];

/// Whether a field of this name holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_lowercase();
    bare == "pass" || SECRET_NAMES.iter().any(|secret| bare.ends_with(secret))
}

/// The text with `***` in place of secrets.
pub fn mask(text: &str) -> String {
    let mut hidden: Vec<(usize, usize)> = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        if hidden.last().is_some_and(|(_, end)| at < *end) {
            continue;
        }
        let found = match byte {
            b'=' | b':' => after_separator(text, at).or_else(|| fernet(text, at)),
            b' ' | b'\t' => after_blank(text, at),
            b'>' => in_element(text, at),
            b'g' => fernet(text, at),
            _ => None,
        };
        hidden.extend(found.filter(|(start, end)| start < end));
        if byte == b':' && tail(text, at).starts_with("://") {
            in_url(text, at + 3, &mut hidden);
        }
    }
    hidden.sort_unstable();
    let mut clean = String::with_capacity(text.len());
    let mut position = 0;
    for (start, end) in hidden.into_iter() {
        if start < position {
            // Overlaps what was starred already: only move the end.
            position = position.max(end);
            continue;
        }
        clean.push_str(text.get(position..start).unwrap_or_default());
        clean.push_str(STARS);
        position = end;
    }
    clean.push_str(tail(text, position));
    clean
}

fn tail(text: &str, from: usize) -> &str {
    text.get(from..).unwrap_or_default()
}

/// The name that ends at `end`, and whether it is quoted; blanks before `end` do not count.
fn name_before(text: &str, end: usize) -> Option<(&str, bool)> {
    let before = text.get(..end)?.trim_end();
    let bare = before.trim_end_matches(['"', '\'', '\\']);
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = bare.char_indices().rev().take_while(|(_, c)| word(*c)).last().map(|(index, _)| index)?;
    Some((bare.get(start..)?, bare.len() != before.len()))
}

/// `name = value`, `name: value`.
fn after_separator(text: &str, at: usize) -> Option<(usize, usize)> {
    let (name, quoted) = name_before(text, at)?;
    if !is_secret(name) {
        return None;
    }
    let equal = text.as_bytes().get(at) == Some(&b'=');
    let start = skip_wrapping(text, skip_blanks(text, at + 1));
    if let Some(range) = quoted_value(text, start) {
        return Some(range);
    }
    let value = tail(text, start);
    if !equal && !quoted && !starts_value(name, value) {
        return None;
    }
    let header = name.to_ascii_lowercase().ends_with("authorization");
    let end = value
        .find(|c: char| if header { c == '\n' } else { c.is_whitespace() || matches!(c, '"' | '\'' | '\\') });
    let word = value.get(..end.unwrap_or(value.len()))?;
    let nothing = ["null", "None", "true", "false", "True", "False", STARS];
    if nothing.contains(&word.trim_end_matches([',', '}', ']', ')', ';'])) {
        return None;
    }
    Some((start, start + word.len()))
}

/// After a bare `name:` a value follows only for headers and passwords: "invalid token: expired" is prose.
fn starts_value(name: &str, value: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let header = lower.starts_with("x-") || lower.ends_with("authorization") || lower.ends_with("set-cookie");
    (header || lower.ends_with("password") || lower.ends_with("passphrase")) && !value.is_empty()
}

/// `--name value` and `name 'value'`.
fn after_blank(text: &str, at: usize) -> Option<(usize, usize)> {
    let before = text.get(..at)?;
    if before.ends_with([' ', '\t', '=', ':']) {
        return None;
    }
    let (name, _) = name_before(text, at)?;
    if !is_secret(name) {
        return None;
    }
    let start = skip_blanks(text, at);
    if let Some(range) = quoted_value(text, start) {
        return Some(range);
    }
    if !name.starts_with("--") || tail(text, start).starts_with(['-', '=']) {
        return None;
    }
    let value = tail(text, start);
    let length = value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(value.len());
    Some((start, start + length))
}

/// `<name>value<`.
fn in_element(text: &str, at: usize) -> Option<(usize, usize)> {
    let (name, _) = name_before(text, at)?;
    let opened = text.get(..at)?.trim_end().strip_suffix(name)?.ends_with('<');
    if !opened || !is_secret(name) {
        return None;
    }
    let length = tail(text, at + 1).find('<')?;
    Some((at + 1, at + 1 + length))
}

/// The passwords of `user:password@host,user:password@host/`.
fn in_url(text: &str, from: usize, hidden: &mut Vec<(usize, usize)>) {
    let rest = tail(text, from);
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>'))
        .unwrap_or(rest.len());
    let mut position = 0;
    while let Some(at) = rest.get(position..end).and_then(|part| part.find('@')) {
        let login_end = position + at;
        // A password may hold an @ itself: the last one before the next comma ends it.
        let host_end =
            rest.get(login_end..end).and_then(|part| part.find(',')).map_or(end, |comma| login_end + comma);
        let last = rest
            .get(login_end..host_end)
            .and_then(|part| part.rfind('@'))
            .map_or(login_end, |more| login_end + more);
        if let Some(colon) = rest.get(position..login_end).and_then(|login| login.find(':')) {
            hidden.push((from + position + colon + 1, from + last));
        }
        position = (host_end + 1).min(end);
    }
}

/// A Fernet token: its version byte 0x80 and a time in the next thirty years make it start with `gAAAAA`.
fn fernet(text: &str, at: usize) -> Option<(usize, usize)> {
    let value = tail(text, at);
    if !value.starts_with("gAAAAA") {
        return None;
    }
    let length = value
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=')))
        .unwrap_or(value.len());
    (length >= 60).then_some((at, at + length))
}

fn skip_blanks(text: &str, from: usize) -> usize {
    let rest = tail(text, from);
    from + (rest.len() - rest.trim_start_matches([' ', '\t']).len())
}

/// Past what Debug and Python put around a text: `Some(`, `u` before a quote.
fn skip_wrapping(text: &str, from: usize) -> usize {
    let rest = tail(text, from);
    if rest.starts_with("Some(") {
        return from + 5;
    }
    if rest.starts_with("u'") || rest.starts_with("u\"") { from + 1 } else { from }
}

/// The inside of a quoted value. In an escaped text (`\"…\"`) the closing quote is escaped as often as the opening one.
fn quoted_value(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = tail(text, from);
    let slashes = rest.len() - rest.trim_start_matches('\\').len();
    let quote = rest.get(slashes..)?.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let start = from + slashes + 1;
    let mut run = 0;
    for (index, letter) in tail(text, start).char_indices() {
        if letter == '\\' {
            run += 1;
            continue;
        }
        if letter == quote && run <= slashes {
            return Some((start, start + index - run));
        }
        run = 0;
    }
    // Never closed: the rest of the text may all be secret.
    Some((start, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_forms() {
        let fernet = format!("gAAAAABl{}", "x".repeat(100));
        for (text, clean) in [
            ("password=hush next", "password=*** next"),
            ("auth_pass = hush", "auth_pass = ***"),
            ("os_password2='hu sh' x", "os_password2='***' x"),
            ("PASSWORD=\"hush\"", "PASSWORD=\"***\""),
            ("{\"password\": \"hush\", \"a\": 1}", "{\"password\": \"***\", \"a\": 1}"),
            (
                "{\\\"password\\\": \\\"hush\\\", \\\"a\\\": 1}",
                "{\\\"password\\\": \\\"***\\\", \\\"a\\\": 1}",
            ),
            ("{'adminPass': u'hush'}", "{'adminPass': u'***'}"),
            ("{\"password\": 1234}", "{\"password\": ***"),
            (
                "Login { password: Some(\"hu\\\"sh\"), user: \"u\" }",
                "Login { password: Some(\"***\"), user: \"u\" }",
            ),
            ("run --token hush --x y", "run --token *** --x y"),
            ("run --os-password hush", "run --os-password ***"),
            ("<password>hush</password>", "<password>***</password>"),
            ("the password 'hush' is", "the password '***' is"),
            ("X-Auth-Token: hush", "X-Auth-Token: ***"),
            ("\"x-auth-token\": \"hush\"", "\"x-auth-token\": \"***\""),
            ("Authorization: Bearer hush\nnext", "Authorization: ***\nnext"),
            ("rabbit://u:hush@h1:1,v:hush@h2:2/vh", "rabbit://u:***@h1:1,v:***@h2:2/vh"),
            ("mysql+pymysql://u:hu@sh@h/db?charset=utf8", "mysql+pymysql://u:***@h/db?charset=utf8"),
            ("rabbit://u:hu,sh@h1/", "rabbit://u:***@h1/"),
            ("http://h:1/p?token=hush&a=b", "http://h:1/p?token=***"),
            ("password=\"never closed hush", "password=\"***"),
            (fernet.as_str(), "***"),
            ("aws_secret_access_key=hush", "aws_secret_access_key=***"),
            (
                "trust token=hush, application_credential_secret: \"hush\"",
                "trust token=*** application_credential_secret: \"***\"",
            ),
        ] {
            assert_eq!(mask(text), clean);
            assert!(!mask(text).contains("hush"));
        }
    }

    #[test]
    fn harmless_text_stays() {
        for text in [
            "",
            "hello world",
            "invalid token: expired",
            "password: ",
            "token_count=3",
            "http://h:1/p@q",
            "a=b: c",
            "gAAAAA short",
            "snapshot ☃=1",
            "password=None",
            "{\"token\": null}",
            "secrets are fine",
            "no password given",
            "x: y",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[ =:'\"\\\\<>/@,a-zé☃_-]{0,60}(password|token)?[ =:'\"\\\\<>/@,a-zé☃_-]{0,60}") {
            mask(&text);
        }

        #[test]
        fn a_value_never_gets_through(value in "[a-zA-Z0-9!#$%&()*+,./:;<>?@^_`{|}~-]{8,30}") {
            prop_assume!(!"password token secret auth".contains(&value));
            let pair = mask(&format!("password={value} x"));
            prop_assert!(!pair.contains(&value), "{pair}");
            let quoted = mask(&format!("{{\"auth_pass\": \"{value}\"}}"));
            prop_assert!(!quoted.contains(&value), "{quoted}");
        }
    }
}
