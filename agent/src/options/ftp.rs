//! Options of storages ftp and ftps.

use super::typed::{STORAGE_SECRET, Secret, expand_home};
use super::values::{OptionsError, Values};
use std::path::PathBuf;

/// A server that speaks FTP, in the clear or over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpOptions {
    pub host: String,
    pub port: u16,
    pub username: String,
    /// Storage ftps.
    pub has_tls: bool,
    pub password: FtpPassword,
    /// The client's certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FtpPassword {
    /// The first line of a file.
    File(PathBuf),
    /// In the action itself, or from the environment.
    Text(Secret),
    /// Asked for when the storage is opened.
    Barbican,
}

impl FtpOptions {
    pub(super) fn from_values(values: &Values, has_tls: bool) -> Result<Self, OptionsError> {
        let need = |key: &str| {
            values.text(key)?.ok_or_else(|| OptionsError::bad(key, "is needed by storages ftp and ftps"))
        };
        let file = |key: &str| -> Result<Option<PathBuf>, OptionsError> {
            Ok(values.text(key)?.map(|path| expand_home(&path)))
        };
        let password = match (file("ftp_password_file")?, values.text("ftp_password")?) {
            _ if values.is_set(STORAGE_SECRET) => FtpPassword::Barbican,
            (Some(file), _) => FtpPassword::File(file),
            (None, Some(password)) => FtpPassword::Text(Secret(password.into())),
            (None, None) => {
                return Err(OptionsError::bad("ftp_password_file", "is needed by storages ftp and ftps"));
            }
        };
        let client = match (file("ftp_certfile")?, file("ftp_keyfile")?) {
            // Without TLS nobody asks for it; `effect` says so.
            _ if !has_tls => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(OptionsError::bad("ftp_keyfile", "is missing beside ftp_certfile"));
            }
            (None, Some(_)) => {
                return Err(OptionsError::bad("ftp_certfile", "is missing beside ftp_keyfile"));
            }
        };
        Ok(Self {
            host: need("ftp_host")?,
            port: values.int("ftp_port", 1..=65535)?.unwrap_or(21) as u16,
            username: need("ftp_username")?,
            has_tls,
            password,
            client,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn read(options: Value, has_tls: bool) -> Result<FtpOptions, OptionsError> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        FtpOptions::from_values(&values, has_tls)
    }

    #[test]
    fn what_is_needed_is_named() {
        let whole = json!({"ftp_host": "h", "ftp_username": "u", "ftp_password": "s3cret", "ftp_keyfile": "/k", "ftp_certfile": "/c"});
        for (key, named) in [
            ("ftp_host", "ftp_host"),
            ("ftp_username", "ftp_username"),
            ("ftp_password", "ftp_password_file"),
            ("ftp_keyfile", "ftp_keyfile"),
            ("ftp_certfile", "ftp_certfile"),
        ] {
            let mut options = whole.clone();
            options.as_object_mut().unwrap().remove(key);
            let error = read(options, true).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("s3cret"), "{error}");
        }
        let read = read(whole, true).unwrap();
        assert!(read.port == 21 && read.client.is_some() && !format!("{read:?}").contains("s3cret"));
    }

    #[test]
    fn a_file_comes_before_the_action() {
        let both = json!({"ftp_host": "h", "ftp_username": "u", "ftp_password": "p", "ftp_password_file": "/f",
            "ftp_keyfile": "/k", "ftp_port": "2121"});
        let read = read(both, false).unwrap();
        assert_eq!(read.password, FtpPassword::File(PathBuf::from("/f")));
        assert_eq!((read.port, read.client), (2121, None));
    }
}
