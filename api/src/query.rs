//! Query parameters of lists: `limit`, `offset`, `all_projects`.
//!
//! A parameter may be repeated or hold several values with commas; the last one that is not blank counts.

use crate::error::ApiError;
use actix_web::{HttpRequest, web};
use freezer_database::Page;

const DEFAULT_LIMIT: u64 = 10;

/// The query string, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map(|query| Self(query.into_inner()))
            .map_err(|_| ApiError::bad_request("The query string cannot be decoded"))
    }

    fn last(&self, name: &str) -> Option<&str> {
        let values = self.0.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
        values.map(str::trim).rfind(|value| !value.is_empty())
    }

    /// Which piece of a list is asked for; `max_limit` caps it.
    pub fn page(&self, max_limit: u64) -> Result<Page, ApiError> {
        let limit = match self.whole("limit")? {
            None | Some(0) => DEFAULT_LIMIT,
            Some(limit) => limit,
        };
        let offset = self.whole("offset")?.unwrap_or(0);
        Ok(Page { offset, limit: Some(limit.min(max_limit)) })
    }

    fn whole(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.last(name) else { return Ok(None) };
        let Ok(number) = text.parse::<i64>() else {
            return Err(ApiError::invalid_parameter(name, "The value must be an integer."));
        };
        match u64::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ApiError::invalid_parameter(name, "The value must not be negative.")),
        }
    }

    pub fn all_projects(&self) -> Result<bool, ApiError> {
        match self.last("all_projects") {
            Some("true" | "True" | "yes" | "y" | "t" | "on" | "1") => Ok(true),
            None | Some("false" | "False" | "no" | "n" | "f" | "off" | "0") => Ok(false),
            Some(_) => Err(ApiError::invalid_parameter(
                "all_projects",
                "The value of the parameter must be \"true\" or \"false\".",
            )),
        }
    }

    /// Any other parameter, as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.last(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use actix_web::test::TestRequest;

    fn query(text: &str) -> Query {
        Query::of(&TestRequest::with_uri(&format!("/?{text}")).to_http_request()).unwrap()
    }

    #[test]
    fn pages() {
        for (text, offset, limit) in [
            ("", 0, 10),
            ("limit=0", 0, 10),
            ("limit=&offset=", 0, 10),
            ("limit=5&offset=3", 3, 5),
            ("limit=5&limit=7", 0, 7),
            ("limit=5,6&offset=%201", 1, 6),
            ("limit=100000", 0, 1000),
            ("limit=%2B4", 0, 4),
        ] {
            assert_eq!(query(text).page(1000).unwrap(), Page { offset, limit: Some(limit) }, "{text}");
        }
        for (text, why) in [
            ("limit=x", "The \"limit\" parameter is invalid. The value must be an integer."),
            ("offset=1.5", "The \"offset\" parameter is invalid. The value must be an integer."),
            ("offset=-1", "The \"offset\" parameter is invalid. The value must not be negative."),
            (
                "limit=99999999999999999999",
                "The \"limit\" parameter is invalid. The value must be an integer.",
            ),
        ] {
            assert_eq!(query(text).page(1000).unwrap_err().description.as_deref(), Some(why), "{text}");
        }
    }

    #[test]
    fn all_projects_spellings() {
        for yes in ["true", "True", "yes", "y", "t", "on", "1"] {
            assert!(query(&format!("all_projects={yes}")).all_projects().unwrap());
        }
        for no in ["false", "False", "no", "n", "f", "off", "0", ""] {
            assert!(!query(&format!("all_projects={no}")).all_projects().unwrap());
        }
        for bad in ["TRUE", "2", "maybe"] {
            assert!(query(&format!("all_projects={bad}")).all_projects().is_err());
        }
    }
}
