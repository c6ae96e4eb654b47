//! What a server offers: the trait its methods stand behind, and the choice of the endpoint for a request.

use crate::{Context, RemoteFailure, RpcVersion};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// Namespace and version that an endpoint answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTarget {
    pub namespace: Option<String>,
    /// `major.minor`
    pub version: String,
    /// Further namespaces it answers to; `None` in the list is the null namespace.
    pub legacy_namespaces: Vec<Option<String>>,
}

impl Default for EndpointTarget {
    fn default() -> Self {
        Self { namespace: None, version: "1.0".to_owned(), legacy_namespaces: Vec::new() }
    }
}

impl EndpointTarget {
    /// The null namespace at this version.
    pub fn version(version: impl Into<String>) -> Self {
        Self { version: version.into(), ..Self::default() }
    }

    /// A namespace at this version.
    pub fn namespace(namespace: impl Into<String>, version: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), version: version.into(), legacy_namespaces: Vec::new() }
    }

    fn answers_to(&self, namespace: Option<&str>) -> bool {
        self.namespace.as_deref() == namespace
            || self.legacy_namespaces.iter().any(|legacy| legacy.as_deref() == namespace)
    }
}

/// A set of methods that can be called from afar.
#[async_trait]
pub trait Endpoint: Send + Sync + 'static {
    /// Namespace and version; the null namespace at 1.0 if not said otherwise.
    fn target(&self) -> EndpointTarget {
        EndpointTarget::default()
    }

    /// The names of the methods; nothing else reaches [`Self::call`].
    fn methods(&self) -> &[&str];

    /// Whether running the method twice does no harm. Such methods are acknowledged after the work (see
    /// [`crate::AckPolicy`]), so that a process that dies leaves them to another.
    fn idempotent(&self, method: &str) -> bool {
        let _ = method;
        false
    }

    /// Runs a method. `args` is always a JSON object. A panic becomes a failure at the caller.
    ///
    /// # Errors
    /// What the caller is to see.
    async fn call(&self, ctx: &Context, method: &str, args: Value) -> Result<Value, RemoteFailure>;
}

/// The endpoint for a request, by the rules of oslo.messaging: the first that answers to the namespace, is
/// compatible with the version and has the method.
pub(crate) fn choose(
    endpoints: &[Arc<dyn Endpoint>],
    namespace: Option<&str>,
    version: &str,
    method: &str,
) -> Result<Arc<dyn Endpoint>, RemoteFailure> {
    let Ok(wanted) = version.parse::<RpcVersion>() else {
        return Err(RemoteFailure::unsupported_version(version, method));
    };
    let mut compatible = false;
    for endpoint in endpoints {
        let target = endpoint.target();
        let serves = target.version.parse::<RpcVersion>().is_ok_and(|own| own.serves(wanted));
        if !serves || !target.answers_to(namespace) {
            continue;
        }
        compatible = true;
        if !method.starts_with('_') && endpoint.methods().contains(&method) {
            return Ok(Arc::clone(endpoint));
        }
    }
    if compatible {
        return Err(RemoteFailure::no_such_method(method));
    }
    Err(RemoteFailure::unsupported_version(version, method))
}
