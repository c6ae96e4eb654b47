//! Ports: show, list, create, change, delete.

use crate::openstack::cloud::{Cloud, Service, checked_id, text_at};
use crate::openstack::error::CloudError;
use reqwest::Method;
use serde_json::{Value, json};

const SERVICE: Service = Service::Neutron;

pub async fn show(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "port", id)?;
    let mut answer = cloud.get(SERVICE, &format!("/ports/{id}"), &[], &format!("port {id}")).await?;
    Ok(answer.get_mut("port").map(Value::take).unwrap_or_default())
}

pub async fn list(cloud: &Cloud, query: &[(&str, &str)]) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/ports", "ports"), query).await
}

/// Makes a port; `body` is what stands in `port`.
pub async fn create(cloud: &Cloud, body: &Value) -> Result<Value, CloudError> {
    let answer = cloud.post(SERVICE, "/ports", &json!({ "port": body }), "to create a port").await?;
    text_at(SERVICE, &answer, "/port/id")?;
    Ok(answer.get("port").cloned().unwrap_or_default())
}

pub async fn update(cloud: &Cloud, id: &str, body: &Value) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "port", id)?;
    let request = cloud
        .request(SERVICE, Method::PUT, &format!("/ports/{id}"), None)
        .await?
        .json(&json!({ "port": body }));
    cloud.document(SERVICE, request, &format!("to change port {id}")).await.map(|_| ())
}

pub async fn delete(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "port", id)?;
    cloud.delete(SERVICE, &format!("/ports/{id}"), &format!("to delete port {id}")).await
}
