//! The `[database] connection` URL: oslo.db's spelling on one side, what diesel takes on the other.
//!
//! Accepted: `mysql+pymysql://user:password@host:port/database?charset=utf8` (any driver after the plus),
//! `mysql://…`, `mariadb://…`, `sqlite:///relative/path`, `sqlite:////absolute/path`, and `sqlite://` for a database in memory.
//! User, password and database name may be percent-encoded.

use crate::DbError;
use url::Url;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    SqliteMemory,
    SqliteFile(String),
    /// A URL as diesel's MySQL connection takes it; holds the password.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code))]
    Mysql(String),
}

/// Query parameters of the URL that diesel knows. The others (`charset`, `read_timeout`, …) belong to
/// Python's drivers; text is always utf8mb4 here.
const KNOWN_PARAMETERS: [&str; 5] = ["unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_mode"];

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, DbError> {
        let text = text.trim();
        let refuse = |reason: &str| DbError::Url { url: without_secrets(text), reason: reason.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("no scheme"))?;
        let (dialect, driver) = scheme.split_once('+').unwrap_or((scheme, ""));
        match dialect {
            "sqlite" if driver.is_empty() || driver == "pysqlite" => sqlite(rest).map_err(|why| refuse(&why)),
            "mysql" | "mariadb" => mysql(rest).map_err(|why| refuse(&why)),
            other => Err(refuse(&format!("unknown kind of database {other:?}"))),
        }
    }
}

fn sqlite(rest: &str) -> Result<Target, String> {
    let (path, _parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let Some(path) = path.strip_prefix('/') else {
        return match path {
            "" => Ok(Target::SqliteMemory),
            _ => Err(
                "a sqlite URL has no host: write three slashes for a relative path, four for an absolute one"
                    .into(),
            ),
        };
    };
    match path {
        "" | ":memory:" => Ok(Target::SqliteMemory),
        // SQLite would take such a name for a URI of its own.
        name if name.starts_with("file:") => Ok(Target::SqliteFile(format!("./{name}"))),
        name => Ok(Target::SqliteFile(name.to_owned())),
    }
}

fn mysql(rest: &str) -> Result<Target, String> {
    let mut url = Url::parse(&format!("mysql://{rest}")).map_err(|error| error.to_string())?;
    if url.host().is_none() {
        url.set_host(Some("localhost")).map_err(|error| error.to_string())?;
    }
    let database = percent_decode(url.path().trim_matches('/'))?;
    if database.is_empty() || database.contains('/') {
        return Err("the path must be the name of one database".into());
    }
    // diesel hands the path on as it stands, so it must not need any encoding.
    if database.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$'))) {
        return Err("the name of the database may have letters, digits and _ - . $ only".into());
    }
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| KNOWN_PARAMETERS.contains(&key.as_ref()))
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&database);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok(Target::Mysql(url.into()))
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let (Some(high), Some(low)) = (high, low) else {
            return Err("% must be followed by two hex digits".into());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
    }
    String::from_utf8(bytes).map_err(|_| "the name of the database is not UTF-8".into())
}

/// The URL without user information and parameters, for messages.
pub(crate) fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://***@{place}"),
        (Some(_), None) => text.to_owned(),
        // Not a URL: whatever it is, it may be a secret.
        _ => "(not a URL)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_mysql(text: &str, expected: &str) {
        match Target::parse(text) {
            Ok(Target::Mysql(url)) => assert_eq!(url, expected),
            _ => panic!("{text} was not taken as MySQL"),
        }
    }

    #[test]
    fn oslo_spellings_of_mysql() {
        is_mysql("mysql+pymysql://f:pw@db:3307/freezer?charset=utf8", "mysql://f:pw@db:3307/freezer");
        is_mysql("mysql://f@db/freezer", "mysql://f@db/freezer");
        is_mysql("mysql+pymysql://f:p%40w%2F@db/freezer", "mysql://f:p%40w%2F@db/freezer");
        is_mysql("mysql+pymysql://f:p@w@db/freezer", "mysql://f:p%40w@db/freezer");
        is_mysql("mysql://f:pw@[::1]:3306/a_b", "mysql://f:pw@[::1]:3306/a_b");
        is_mysql(
            "mysql://f:pw@localhost/f?unix_socket=/run/mysqld.sock&charset=utf8mb4",
            "mysql://f:pw@localhost/f?unix_socket=%2Frun%2Fmysqld.sock",
        );
    }

    #[test]
    fn sqlite_paths() {
        assert!(matches!(Target::parse("sqlite://"), Ok(Target::SqliteMemory)));
        for (text, path) in [
            ("sqlite:///a/b.db", "a/b.db"),
            ("sqlite:////a/b.db", "/a/b.db"),
            ("sqlite:///file:x", "./file:x"),
        ] {
            match Target::parse(text) {
                Ok(Target::SqliteFile(found)) => assert_eq!(found, path),
                _ => panic!("{text}"),
            }
        }
    }

    #[test]
    fn refusals_name_the_cause_and_hide_the_password() {
        for text in [
            "postgresql://u:secret@h/d",
            "mysql://u:secret@h/",
            "mysql://u:secret@h:port/d",
            "u:secret@h",
            "sqlite://host/x",
        ] {
            let error = Target::parse(text).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains("expected mysql"), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
