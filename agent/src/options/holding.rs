//! What a hold says: who, why, and until when.

use super::date;
use super::typed::ActionKind;
use super::values::{OptionsError, Values};

/// Longer texts are no reasons.
const MOST_CHARACTERS: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub by: String,
    pub reason: String,
    pub until_secs: Option<i64>,
}

impl Holding {
    /// `hostname` is this machine's: who holds, when nobody says.
    pub fn from_values(values: &Values, action: ActionKind, hostname: &str) -> Result<Self, OptionsError> {
        if action != ActionKind::Hold {
            return Ok(Self::default());
        }
        let text = |key: &str| match values.text(key)? {
            Some(text) if text.chars().count() > MOST_CHARACTERS => {
                Err(OptionsError::bad(key, format!("has more than {MOST_CHARACTERS} characters")))
            }
            text => Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())),
        };
        let reason = text("hold_reason")?;
        let until = values.text("hold_until")?.map(|text| date::parse(&text)).transpose();
        Ok(Self {
            by: text("hold_by")?.unwrap_or_else(|| format!("the agent on {hostname}")),
            reason: reason.ok_or_else(|| OptionsError::bad("hold_reason", "is needed by action hold"))?,
            until_secs: until.map_err(|cause| OptionsError::bad("hold_until", cause))?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn holding(options: Value) -> Result<Holding, OptionsError> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        Holding::from_values(&values, ActionKind::Hold, "h1")
    }

    #[test]
    fn a_hold_says_why() {
        let held =
            holding(json!({"hold_reason": " case 17 ", "hold_until": "2030-01-01T00:00:00Z"})).unwrap();
        assert_eq!((held.by.as_str(), held.reason.as_str()), ("the agent on h1", "case 17"));
        assert_eq!(held.until_secs, Some(1_893_456_000));
        for bad in
            [json!({}), json!({"hold_reason": "  "}), json!({"hold_reason": "x", "hold_until": "soon"})]
        {
            assert!(holding(bad.clone()).is_err(), "{bad}");
        }
        assert!(holding(json!({"hold_reason": "x".repeat(1001)})).is_err());
    }
}
