//! Where the pass phrase of a backup comes from: a file of the host, or Barbican.

use super::typed::ActionOptions;
use super::values::{OptionsError, Values};
use freezer_vault::VaultError;
use freezer_vault::encryption::PassPhrase;

const SECRET: &str = "encrypt_secret_ref";

impl ActionOptions {
    /// `None`: nothing is encrypted.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn pass_phrase(&self) -> Result<Option<PassPhrase>, VaultError> {
        match (&self.secret, &self.encrypt_secret, &self.encrypt_pass_file) {
            (Some(secret), ..) => Ok(Some(secret.clone())),
            (None, Some(id), _) => {
                Err(VaultError::BadRequest { cause: format!("{SECRET}: secret {id} was not fetched") })
            }
            (None, None, file) => file.as_deref().map(PassPhrase::from_file).transpose(),
        }
    }
}

/// Id of the secret that is the pass phrase.
pub(super) fn secret_id(values: &Values) -> Result<Option<String>, OptionsError> {
    let id = reference(values, SECRET)?;
    if id.is_some() && values.is_set("encrypt_pass_file") {
        let text = format!("encrypt_pass_file and {SECRET} are both given; a backup has one pass phrase");
        return Err(OptionsError::Conflict(text));
    }
    Ok(id)
}

/// The id in a reference as Barbican and its clients show it (`http://…/v1/secrets/ID`), or an id alone.
pub(super) fn reference(values: &Values, key: &str) -> Result<Option<String>, OptionsError> {
    let Some(reference) = values.text(key)? else { return Ok(None) };
    let last = reference.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match uuid::Uuid::try_parse(last) {
        Ok(id) => Ok(Some(id.hyphenated().to_string())),
        Err(_) => Err(OptionsError::bad(key, "no address or id of a secret; see openstack secret list")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const ID: &str = "2a549393-0710-444b-8aa5-84cf0f85ea79";

    fn read(options: serde_json::Value) -> Result<Option<String>, OptionsError> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        secret_id(&values)
    }

    #[test]
    fn a_reference_is_an_address_or_an_id() {
        for reference in
            [ID.to_owned(), format!("https://keys.example:9311/v1/secrets/{ID}"), format!("/{ID}/")]
        {
            assert_eq!(read(json!({SECRET: reference})), Ok(Some(ID.to_owned())));
        }
        assert_eq!(read(json!({})), Ok(None));
        for wrong in
            ["secret", "http://h/v1/secrets/../../orders", "http://h/v1/secrets/", &format!("{ID}/payload")]
        {
            assert!(read(json!({SECRET: wrong})).is_err(), "{wrong}");
        }
        assert!(read(json!({SECRET: ID, "encrypt_pass_file": "/etc/pass"})).is_err());
    }
}
