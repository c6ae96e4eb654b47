//! Who asks: the attributes rules are compared with.

use serde_json::{Map, Value};

/// The caller's attributes. [`Credentials::default`] has all attributes a token gives, without values: a rule like
/// `domain_id:None` looks for an attribute that is there and empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    values: Map<String, Value>,
    roles: Vec<String>,
}

const FROM_TOKEN: &[&str] = &[
    "user_id",
    "user_domain_id",
    "system_scope",
    "domain_id",
    "project_id",
    "project_domain_id",
    "roles",
    "is_admin_project",
    "service_user_id",
    "service_user_domain_id",
    "service_project_id",
    "service_project_domain_id",
    "service_roles",
];

impl Default for Credentials {
    fn default() -> Self {
        let value = |name: &str| match name {
            "roles" | "service_roles" => Value::Array(Vec::new()),
            "is_admin_project" => Value::Bool(true),
            _ => Value::Null,
        };
        Credentials::from_map(FROM_TOKEN.iter().map(|name| ((*name).to_owned(), value(name))).collect())
    }
}

impl Credentials {
    /// Exactly these attributes, for a service with a form of its own. `roles` is a list of texts.
    pub fn from_map(values: Map<String, Value>) -> Self {
        let mut credentials = Credentials { values, roles: Vec::new() };
        credentials.after_change();
        credentials
    }

    /// Sets an attribute (`user_id`, `project_id`, `system_scope`, … or one of the service's own, like `is_admin`).
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self.after_change();
        self
    }

    /// Sets the names of the caller's roles.
    pub fn roles<T: Into<String>>(self, roles: impl IntoIterator<Item = T>) -> Self {
        let roles: Vec<Value> = roles.into_iter().map(|role| Value::String(role.into())).collect();
        self.set("roles", roles)
    }

    /// An attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// `system` stands for `system_scope` when that is set; role names compare in lower case.
    fn after_change(&mut self) {
        if let Some(scope) = self.values.get("system_scope").filter(|scope| is_set(scope)).cloned() {
            self.values.insert("system".to_owned(), scope);
        }
        let names = self.values.get("roles").and_then(Value::as_array);
        self.roles = names.into_iter().flatten().filter_map(Value::as_str).map(str::to_lowercase).collect();
    }

    pub(crate) fn has_role(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.roles.contains(&name)
    }

    pub(crate) fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// What the token is for.
    pub(crate) fn scope(&self) -> &'static str {
        let set = |name| self.values.get(name).is_some_and(is_set);
        if set("system_scope") || set("system") {
            "system"
        } else if set("domain_id") {
            "domain"
        } else {
            "project"
        }
    }
}

/// What Python takes for true.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) => true,
    }
}
