//! One request judged: service token, user token, binding and access rules, in keystonemiddleware's order.

use crate::access_rules;
use crate::identity::{Identity, ServiceIdentity};
use crate::secret::Secret;
use crate::token_binding;
use crate::token_document::TokenDocument;
use crate::validator::{AuthFailure, TokenValidator, invalid};

/// What of a request decides who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub user_token: Option<&'a Secret>,
    pub service_token: Option<&'a Secret>,
    pub method: &'a str,
    /// Whole path of the request, prefix included, without query.
    pub path: &'a str,
}

impl TokenValidator {
    /// Who sent the request. With `delay_auth_decision` an invalid service token does not hide the user;
    /// without, every token that came must be valid.
    pub async fn authenticate(&self, request: Credentials<'_>) -> Result<Identity, AuthFailure> {
        let service = match request.service_token {
            Some(token) => Some(self.service_identity(token).await),
            None => None,
        };
        let vouched = matches!(&service, Some(Ok((_, has_role))) if *has_role);
        let service_token_invalid = match &service {
            Some(Err(failure)) if !self.config().delay_auth_decision => return Err(failure.clone()),
            Some(Err(failure)) => {
                tracing::warn!(%failure, "the service token is not valid");
                true
            }
            _ => false,
        };
        let token = request.user_token.ok_or_else(|| invalid("there is no token"))?;
        let document = self.validate(token, vouched).await?;
        self.check_use(&document, &request, vouched).map_err(AuthFailure::Invalid)?;
        let mut identity = Identity::from_document(document, token.clone());
        identity.service = service.and_then(Result::ok).map(|(identity, _)| identity);
        identity.service_token_invalid = service_token_invalid;
        Ok(identity)
    }

    /// The service, and whether its role lets it vouch for expired tokens.
    async fn service_identity(&self, token: &Secret) -> Result<(ServiceIdentity, bool), AuthFailure> {
        let document = self.validate(token, false).await?;
        let wanted = &self.config().service_token_roles;
        let has_role = document.roles.iter().any(|role| wanted.contains(&role.name));
        if !has_role && self.config().service_token_roles_required {
            return Err(AuthFailure::Invalid(format!(
                "the service token of user {} has none of the roles {}; give it one, or change service_token_roles",
                document.user.id,
                wanted.join(", ")
            )));
        }
        Ok((ServiceIdentity::from_document(&document), has_role))
    }

    /// Binding and access rules are meant for the user's own requests; what a service with the role passes on was
    /// judged there. A service token that is not valid must not open this door.
    fn check_use(
        &self,
        document: &TokenDocument,
        request: &Credentials<'_>,
        vouched: bool,
    ) -> Result<(), String> {
        if !vouched {
            token_binding::check(document, &self.config().enforce_token_bind)?;
        }
        let service_type = self.config().service_type.as_deref();
        access_rules::check(document, service_type, vouched, request.method, request.path)
    }
}
