//! Tokens bound to a way of logging in (kerberos). A REST service behind this middleware has no such login, so
//! a binding it knows cannot be fulfilled, and `enforce_token_bind` decides about those it does not know.

use crate::token_document::TokenDocument;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenBinding {
    Disabled,
    /// Known kinds are checked, others ignored.
    #[default]
    Permissive,
    /// Unknown kinds are refused.
    Strict,
    /// Every token must be bound.
    Required,
    /// Every token must be bound in this way.
    Named(String),
}

impl From<&str> for TokenBinding {
    fn from(text: &str) -> Self {
        match text {
            "disabled" => Self::Disabled,
            "permissive" => Self::Permissive,
            "strict" => Self::Strict,
            "required" => Self::Required,
            name => Self::Named(name.to_owned()),
        }
    }
}

pub(crate) fn check(document: &TokenDocument, mode: &TokenBinding) -> Result<(), String> {
    let bound = document.bind.as_ref().filter(|bind| !bind.is_empty());
    let first_kind = |must_be_known: bool| {
        let kinds = bound.iter().flat_map(|bind| bind.keys());
        kinds.into_iter().find(|kind| must_be_known || kind.as_str() == "kerberos")
    };
    let refused = match mode {
        TokenBinding::Disabled => None,
        TokenBinding::Permissive => first_kind(false),
        TokenBinding::Strict => first_kind(true),
        TokenBinding::Required | TokenBinding::Named(_) if bound.is_none() => {
            return Err("the token is not bound, and enforce_token_bind demands it".to_owned());
        }
        TokenBinding::Required | TokenBinding::Named(_) => first_kind(true),
    };
    match refused {
        Some(kind) => Err(format!("the token is bound by {kind}, which this service cannot check")),
        None => Ok(()),
    }
}
