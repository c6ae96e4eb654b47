//! Encryption against the real openssl, both ways, and pass phrase files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::encryption::{
    Decryptor, Encryptor, HEADER_BYTES, KeyDerivation, MacKey, MacParameters, PassPhrase,
};
use support::{noise, pipe};

const ITERATIONS: u32 = 10_000;

/// The derivations, and what openssl calls them.
const KINDS: [(KeyDerivation, &str); 3] = [
    (KeyDerivation::EvpSha256, ""),
    (KeyDerivation::EvpMd5, "-md md5"),
    (KeyDerivation::Pbkdf2Sha256 { iterations: ITERATIONS }, "-pbkdf2 -iter 10000"),
];

fn pass_file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pass");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn openssl_reads_what_we_encrypt() {
    let (_folder, path) = pass_file("a pass phrase with blanks\nand a second line\n");
    let pass = PassPhrase::from_file(&path).unwrap();
    let data = noise(3, 300_007);
    for (kind, flags) in KINDS {
        let mut encryptor = Encryptor::new(&pass, kind).unwrap();
        let mut body = encryptor.header().to_vec();
        for piece in data.chunks(10_007) {
            let mut piece = piece.to_vec();
            encryptor.encrypt(&mut piece);
            body.extend(piece);
        }
        let clear = pipe(
            &format!("openssl enc -d -aes-256-cfb {flags} -pass file:{} 2>/dev/null", path.display()),
            &body,
        );
        assert!(clear == data, "{kind:?}");
    }
}

#[test]
fn we_decrypt_what_openssl_wrote() {
    let (_folder, path) = pass_file("secret");
    let pass = PassPhrase::from_file(&path).unwrap();
    let data = noise(4, 100_003);
    for (kind, flags) in KINDS {
        let body = pipe(
            &format!("openssl enc -aes-256-cfb {flags} -pass file:{} 2>/dev/null", path.display()),
            &data,
        );
        let (header, rest) = body.split_first_chunk::<HEADER_BYTES>().unwrap();
        let mut decryptor = Decryptor::new(&pass, kind, header).unwrap().unwrap();
        let mut clear = rest.to_vec();
        for piece in clear.chunks_mut(977) {
            decryptor.decrypt(piece);
        }
        assert!(clear == data, "{kind:?}");
    }
}

#[test]
fn salts_differ() {
    let pass = PassPhrase::new("x").unwrap();
    let header = || Encryptor::new(&pass, KeyDerivation::EvpSha256).unwrap().header();
    assert_ne!(header(), header());
}

#[test]
fn pass_phrase_files_that_cannot_be_used() {
    let missing = PassPhrase::from_file(std::path::Path::new("/nonexistent/pass")).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/pass") && missing.contains("No such file"), "{missing}");
    let long = "x".repeat(1024);
    for (text, expected) in
        [("", "is empty"), ("\nsecond", "is empty"), (long.as_str(), "is longer"), ("a\0b", "zero byte")]
    {
        let (_folder, path) = pass_file(text);
        let error = PassPhrase::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("pass phrase file"), "{error}");
    }
    let (_folder, path) = pass_file(&"y".repeat(1023));
    assert!(PassPhrase::from_file(&path).is_ok());
}

#[test]
fn nothing_secret_is_shown() {
    let pass = PassPhrase::new("hunter2").unwrap();
    assert!(!format!("{pass:?}").contains("hunter2"));
}

#[test]
fn codes_depend_on_everything() {
    let parameters = MacParameters::generate(200_000).unwrap();
    let key = MacKey::derive(&PassPhrase::new("a").unwrap(), &parameters).unwrap();
    let other = MacKey::derive(&PassPhrase::new("b").unwrap(), &parameters).unwrap();
    let code = key.code_of(b"data").unwrap();
    assert!(key.matches(b"data", &code).unwrap());
    assert!(!key.matches(b"datb", &code).unwrap());
    assert!(!other.matches(b"data", &code).unwrap());
    assert!(!key.matches(b"data", "no hex").unwrap());
    assert!(MacParameters::generate(199_999).is_err());
}
