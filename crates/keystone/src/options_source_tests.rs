//! Options from environments and sections as clouds have them.

use super::*;
use crate::options::Interface;

fn env(pairs: &[(&str, &str)]) -> Result<SessionOptions, KeystoneError> {
    SessionOptions::from_env(&|name| look_up(pairs, name))
}

fn section(pairs: &[(&str, &str)]) -> Result<SessionOptions, KeystoneError> {
    SessionOptions::from_section(&|name| look_up(pairs, name))
}

fn look_up(pairs: &[(&str, &str)], name: &str) -> Option<String> {
    pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn in_domain(name: &str, domain: &str) -> Named {
    Named::Name { name: name.to_owned(), domain: Domain::Name(domain.to_owned()) }
}

const OPENRC: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "http://keystone:5000/v3"),
    ("OS_IDENTITY_API_VERSION", "3"),
    ("OS_REGION_NAME", "RegionOne"),
    ("OS_USERNAME", "demo"),
    ("OS_PASSWORD", "pw"),
    ("OS_PROJECT_NAME", "demo"),
    ("OS_USER_DOMAIN_NAME", "Default"),
    ("OS_PROJECT_DOMAIN_NAME", "Default"),
    ("OS_ENDPOINT_TYPE", "internalURL"),
    ("OS_CACERT", "/etc/ca.pem"),
    ("OS_INSECURE", "True"),
    ("OS_TOKEN", ""),
];

#[test]
fn an_openrc_file() {
    let options = env(OPENRC).unwrap();
    let scope = Scope::Project(in_domain("demo", "Default"));
    assert_eq!(
        options.auth,
        Auth::Password { user: in_domain("demo", "Default"), password: "pw".into(), scope }
    );
    assert_eq!(options.auth_url, "http://keystone:5000/v3");
    assert_eq!((options.region.as_deref(), options.interface), (Some("RegionOne"), Interface::Internal));
    assert_eq!(options.cafile, Some(PathBuf::from("/etc/ca.pem")));
    assert!(options.insecure);
    assert!(!format!("{options:?}").contains("pw"));
}

#[test]
fn a_trust_takes_the_place_of_the_project() {
    let with_trust = [&[("OS_TRUST_ID", "t1")], OPENRC].concat();
    let Auth::Password { scope, .. } = env(&with_trust).unwrap().auth else { panic!("no password") };
    assert_eq!(scope, Scope::Trust("t1".to_owned()));
}

#[test]
fn kinds_named_and_guessed() {
    let url = ("OS_AUTH_URL", "http://k/v3");
    let by_id = env(&[url, ("OS_APPLICATION_CREDENTIAL_ID", "i"), ("OS_APPLICATION_CREDENTIAL_SECRET", "s")])
        .unwrap();
    let credential = ApplicationCredential::Id("i".to_owned());
    assert_eq!(by_id.auth, Auth::ApplicationCredential { credential, secret: "s".into() });

    let by_name = section(&[
        ("auth_type", "v3applicationcredential"),
        ("auth_url", "http://k"),
        ("application_credential_name", "n"),
        ("application_credential_secret", "s"),
        ("username", "u"),
        ("user_domain_name", "D"),
    ])
    .unwrap();
    let credential = ApplicationCredential::Name { name: "n".to_owned(), user: in_domain("u", "D") };
    assert_eq!(by_name.auth, Auth::ApplicationCredential { credential, secret: "s".into() });

    let token = env(&[url, ("OS_TOKEN", "t"), ("OS_PROJECT_ID", "p")]).unwrap();
    let scope = Scope::Project(Named::Id("p".to_owned()));
    assert_eq!(token.auth, Auth::Token { token: "t".into(), scope });
    assert!(matches!(
        env(&[url, ("OS_AUTH_METHOD", "token"), ("OS_TOKEN", "t")]).unwrap().auth,
        Auth::Token { scope: Scope::Unscoped, .. }
    ));

    let noauth = section(&[("auth_type", "none"), ("project_id", "p")]).unwrap();
    assert_eq!(noauth.auth, Auth::None { user_id: "admin".to_owned(), project_id: "p".to_owned() });
}

#[test]
fn an_application_credential_is_not_taken_for_a_trust() {
    let told = env(&[
        ("OS_AUTH_URL", "http://k"),
        ("OS_AUTH_TYPE", "v3applicationcredential"),
        ("OS_APPLICATION_CREDENTIAL_ID", "i"),
        ("OS_APPLICATION_CREDENTIAL_SECRET", "hidden"),
        ("OS_TRUST_ID", "t"),
    ]);
    let told = told.unwrap_err().to_string();
    assert!(told.contains("OS_TRUST_ID") && !told.contains("hidden"), "{told}");
    let credential = ApplicationCredential::Id("i".to_owned());
    assert!(Auth::ApplicationCredential { credential, secret: "s".into() }.in_trust("t").is_err());
}

#[test]
fn everything_missing_is_named_at_once() {
    let told = env(&[]).unwrap_err().to_string();
    for name in ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_USER_DOMAIN_NAME"] {
        assert!(told.contains(name), "{told}");
    }
    let told =
        section(&[("auth_type", "v3token"), ("insecure", "maybe"), ("interface", "inside")]).unwrap_err();
    let told = told.to_string();
    for part in ["auth_url", "set auth_url, token", "insecure = maybe", "\"inside\""] {
        assert!(told.contains(part), "{told}");
    }
    let told =
        env(&[("OS_AUTH_TYPE", "v3oidc"), ("OS_IDENTITY_API_VERSION", "2.0")]).unwrap_err().to_string();
    assert!(told.contains("v3oidc") && told.contains("2.0"), "{told}");
}

#[test]
fn a_configuration_section() {
    let options = section(&[
        ("auth_type", "password"),
        ("auth_url", "http://k:5000"),
        ("username", "freezer"),
        ("password", "pw"),
        ("project_name", "service"),
        ("default_domain_id", "default"),
        ("valid_interfaces", "internal,public"),
        ("connect_retries", "7"),
    ])
    .unwrap();
    let domain = || Domain::Id("default".to_owned());
    let scope = Scope::Project(Named::Name { name: "service".to_owned(), domain: domain() });
    let user = Named::Name { name: "freezer".to_owned(), domain: domain() };
    assert_eq!(options.auth, Auth::Password { user, password: "pw".into(), scope });
    assert_eq!((options.interface, options.retries.max_retries), (Interface::Internal, 7));
}
