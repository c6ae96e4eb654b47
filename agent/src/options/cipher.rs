//! The cipher of a new backup.

use super::typed::ActionKind;
use super::values::{OptionsError, Values};
use freezer_vault::encryption::Cipher;

const CIPHER: &str = "encryption_cipher";

/// What new backups are encrypted with, if they are. Whoever asks for a better cipher must not get a backup in clear.
pub(super) fn cipher(values: &Values, action: ActionKind) -> Result<Cipher, OptionsError> {
    let Some(name) = values.text(CIPHER)? else { return Ok(Cipher::default()) };
    let cipher = Cipher::try_from(name).map_err(|_| {
        let known = Cipher::ALL.map(Cipher::name).join(" or ");
        OptionsError::bad(CIPHER, format!("takes {known}"))
    })?;
    let is_encrypted = values.is_set("encrypt_pass_file") || values.is_set("encrypt_secret_ref");
    if action == ActionKind::Backup && cipher != Cipher::default() && !is_encrypted {
        return Err(OptionsError::Conflict(format!(
            "{CIPHER} is {cipher}, but there is no pass phrase; give encrypt_pass_file or encrypt_secret_ref, or leave it out"
        )));
    }
    Ok(cipher)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::ActionOptions;
    use super::*;
    use freezer_vault::encryption::KeyDerivation;
    use serde_json::json;

    fn read(options: serde_json::Value, action: ActionKind) -> Result<Cipher, OptionsError> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        cipher(&values, action)
    }

    #[test]
    fn a_cipher_goes_with_a_pass_phrase() {
        let backup = ActionKind::Backup;
        assert_eq!(read(json!({}), backup), Ok(Cipher::Aes256Cfb));
        assert_eq!(
            read(json!({CIPHER: "aes-256-cfb"}), backup),
            Ok(Cipher::Aes256Cfb),
            "forms send defaults along"
        );
        for key in ["encrypt_pass_file", "encrypt_secret_ref"] {
            assert_eq!(read(json!({CIPHER: "aes-256-gcm", key: "x"}), backup), Ok(Cipher::Aes256Gcm));
        }
        let refused = read(json!({CIPHER: "aes-256-gcm"}), backup).unwrap_err().to_string();
        assert!(refused.contains(CIPHER) && refused.contains("encrypt_pass_file"), "{refused}");
        assert_eq!(read(json!({CIPHER: "aes-256-gcm"}), ActionKind::Verify), Ok(Cipher::Aes256Gcm));
        let unknown = json!({CIPHER: "rot-13", "encrypt_pass_file": "x"});
        assert!(read(unknown, backup).unwrap_err().to_string().contains("aes-256-gcm"));
    }
    #[test]
    fn keys_are_slow_unless_the_chain_or_the_job_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pass");
        std::fs::write(&file, "secret words\n").unwrap();
        let slow = KeyDerivation::Pbkdf2Sha256 { iterations: 600_000 };
        for (name, said, derivation, keeps) in [
            ("aes-256-cfb", json!(null), slow, true),
            ("aes-256-cfb", json!(""), slow, true),
            ("aes-256-cfb", json!("pbkdf2"), slow, false),
            ("aes-256-cfb", json!("openssl"), KeyDerivation::EvpSha256, false),
            // Nobody else reads them, whatever their chain is.
            ("aes-256-gcm", json!(null), slow, false),
            ("aes-256-gcm", json!("openssl"), slow, false),
        ] {
            let mut values = Values::default();
            let options = json!({"action": "backup", "storage": "local", "container": "/store", "path_to_backup": "/data",
                "encrypt_pass_file": file, CIPHER: name, "encryption_kdf": said});
            values.fill(options.as_object().unwrap());
            let options = ActionOptions::from_values(&values, "host").unwrap();
            let encryption = crate::actions::backup::encryption(&options).unwrap().unwrap();
            assert_eq!(encryption.cipher.name(), name);
            let found = (encryption.derivation, encryption.keeps_derivation);
            assert_eq!(found, (derivation, keeps), "{name} {said}");
        }
    }
}
