//! Lists that a service answers page by page.
//!
//! Cinder, Nova and Neutron name the next page in `<word>_links`, Glance in `next`; the last page names none. An operator may
//! have pages made shorter than asked for, so that no list is whole because it is short.

use super::cloud::{Cloud, Service};
use super::error::CloudError;
use serde_json::Value;

/// Rows asked for at a time.
pub const PAGE: &str = "500";

impl Cloud {
    /// All rows of the list at `path`, whose key in the answer is `word`.
    pub async fn rows(
        &self,
        service: Service,
        (path, word): (&str, &str),
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, CloudError> {
        let id = |row: &Value| row.get("id").and_then(Value::as_str).map(str::to_owned);
        self.rows_after(service, (path, word), query, id).await
    }

    /// The same for rows after which the next page is asked for by something else than their id.
    pub async fn rows_after(
        &self,
        service: Service,
        (path, word): (&str, &str),
        query: &[(&str, &str)],
        marker_of: impl Fn(&Value) -> Option<String>,
    ) -> Result<Vec<Value>, CloudError> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let marker = all.last().and_then(&marker_of);
            let mut asked = query.to_vec();
            asked.push(("limit", PAGE));
            if let Some(marker) = &marker {
                asked.push(("marker", marker));
            }
            let mut answer = self.get(service, path, &asked, &format!("the list of {word}")).await?;
            let is_last = !names_next_page(&answer, word);
            let rows = answer.get_mut(word).map(Value::take);
            let rows = rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default();
            let is_empty = rows.is_empty();
            all.extend(rows);
            if is_last || is_empty {
                return Ok(all);
            }
        }
    }
}

fn names_next_page(answer: &Value, word: &str) -> bool {
    let links = answer.get(format!("{word}_links")).and_then(Value::as_array).into_iter().flatten();
    let mut relations = links.filter_map(|link| link.get("rel").and_then(Value::as_str));
    answer.get("next").is_some() || relations.any(|relation| relation == "next")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_page_names_no_next_one() {
        let link = |relation: &str| json!({"rel": relation, "href": "http://there"});
        for (answer, is_named) in [
            (json!({"ports": []}), false),
            (json!({"ports": [], "ports_links": []}), false),
            (json!({"ports": [], "ports_links": [link("previous")]}), false),
            (json!({"ports": [], "ports_links": [link("previous"), link("next")]}), true),
            (json!({"ports": [], "networks_links": [link("next")]}), false),
            (json!({"images": [], "next": "/v2/images?marker=1"}), true),
        ] {
            let word = if answer.get("images").is_some() { "images" } else { "ports" };
            assert_eq!(names_next_page(&answer, word), is_named, "{answer}");
        }
    }
}
