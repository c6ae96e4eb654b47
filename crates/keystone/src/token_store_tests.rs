//! Keys and values against those keystonemiddleware 13.0.1 wrote (token `user-token`, key `sekret`).

use super::*;

const MAC_VALUE: &str = include_str!("../tests/vectors/memcached-mac.txt");
const ENCRYPT_VALUE: &str = include_str!("../tests/vectors/memcached-encrypt.txt");

fn slot(protection: &CacheProtection) -> Slot {
    Slot::new(protection, "user-token").unwrap()
}

#[test]
fn keys_are_keystonemiddlewares() {
    let plain = slot(&CacheProtection::Plain);
    assert_eq!(plain.key, "tokens/92458bffc9b190feea4bfd93611060a8e768ff3a5db84b4c387682e29a70436f");
    assert_eq!(slot(&CacheProtection::Mac("sekret".into())).key, "tokens/b'ygWi0S0xaQEgJspmAjZ+yQ=='");
    assert_eq!(slot(&CacheProtection::Encrypt("sekret".into())).key, "tokens/b'RfxxKvWaZjSCFIEdNssh2w=='");
}

#[test]
fn values_written_by_python_are_read() {
    for (protection, value) in [
        (CacheProtection::Mac("sekret".into()), MAC_VALUE.trim_end()),
        (CacheProtection::Encrypt("sekret".into()), ENCRYPT_VALUE.trim_end()),
    ] {
        let json = slot(&protection).open(value.as_bytes()).unwrap();
        let document: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(document.pointer("/token/auth_token").unwrap(), "user-token");
        let token = TokenDocument::from_answer(&document).unwrap();
        assert_eq!((token.user.id.as_str(), token.role_names().join(",").as_str()), ("u-1", "member,reader"));
    }
}

#[test]
fn the_mac_value_is_written_as_python_writes_it() {
    let slot = slot(&CacheProtection::Mac("sekret".into()));
    let json = slot.open(MAC_VALUE.trim_end().as_bytes()).unwrap();
    assert_eq!(slot.seal(&json).unwrap(), MAC_VALUE.trim_end().as_bytes());
}

#[test]
fn damage_other_keys_and_other_tokens_are_misses() {
    for protection in [CacheProtection::Mac("sekret".into()), CacheProtection::Encrypt("sekret".into())] {
        let slot = slot(&protection);
        let sealed = slot.seal(b"{\"token\": {}}").unwrap();
        assert_eq!(slot.open(&sealed).unwrap().as_slice(), b"{\"token\": {}}");
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert!(slot.open(&damaged).is_none(), "byte {place}");
        }
        for cut in [0, 10, 64, 70, sealed.len() - 1] {
            assert!(slot.open(&sealed[..cut]).is_none(), "cut at {cut}");
        }
        assert!(Slot::new(&protection, "other-token").unwrap().open(&sealed).is_none());
    }
    let sealed = slot(&CacheProtection::Encrypt("one".into())).seal(b"{}").unwrap();
    assert!(slot(&CacheProtection::Encrypt("two".into())).open(&sealed).is_none());
}
