//! DELETE /v2/{project_id}/clients/{client_id}

use super::client_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::Holder;

/// Deletes a client of the project; one that another login's agent speaks for only with the rule for that, and a central one only
/// with the rule for those. One that is not there is deleted already; a central one of another project, which the caller can see,
/// is not theirs to delete.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("clients:delete")?;
    let (project, id) = (call.project.clone(), client_id(&call));
    let (user, credential) =
        (call.caller.user_id.clone(), call.caller.identity.application_credential_id.clone());
    let may_release = call.enforce("clients:release").is_ok();
    let may_central = call.is_allowed_everywhere("clients:create_central");
    call.write(move |tx| {
        let own = tx.clients().get(&project, &id)?.filter(|client| client.project_id == project);
        if own.is_some_and(|client| client.is_central && !may_central) {
            return Err(ApiError::forbidden());
        }
        let holder = tx.clients().holder(&project, &id)?;
        if holder.is_some_and(|holder| !may_release && !holder.may_release(&user, credential.as_deref())) {
            return Err(ApiError::not_theirs(Holder::refusal(&id)));
        }
        if tx.clients().delete(&project, &id)? || tx.clients().get(&project, &id)?.is_none() {
            return Ok(());
        }
        Err(ApiError::forbidden())
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
