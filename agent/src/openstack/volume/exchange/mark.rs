//! What an exchange is written down as: one metadata key of the new volume for each server.

use crate::openstack::cinder::volume_actions;
use crate::openstack::cinder::volumes::Volume;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use serde_json::{Map, Value};

/// What the keys begin with; the server's id follows.
const KEY: &str = "freezer_replaces_";
/// Stands in a value for what is not there.
const NONE: &str = "-";
/// Which word of a value tells when the new one was made.
const MADE_AT: usize = 7;
/// Cinder takes values of 255 characters. Names of devices that are longer are left to Nova.
const DEVICE_CHARS: usize = 20;

/// Which volume a server has in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    New,
    Old,
    /// Somebody else has taken it in hand, or there is no such server any more.
    LeftAlone,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Old => "old",
            Self::LeftAlone => "left_alone",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::New, Self::Old, Self::LeftAlone].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// The exchange at one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Ids of the volumes and of the server.
    pub new: String,
    pub old: String,
    pub server: String,
    /// Id of the old one's attachment that is meant: another one was made by somebody else.
    pub attachment: String,
    pub device: Option<String>,
    /// Id of the run, and the process that is at it.
    pub run: String,
    pub process: String,
    /// Of the backup, in epoch seconds.
    pub timestamp: i64,
    /// The new one's last change before it was anybody's, in Cinder's words: after another one somebody may have used it. Empty where
    /// it is not known, and once the exchange has ended.
    pub made: String,
    /// How it ended and when (epoch seconds): its run may be given to an agent again, and is not done twice.
    pub settled: Option<(Outcome, i64)>,
}

impl Exchange {
    /// The metadata key of the new volume.
    pub fn key(&self) -> String {
        format!("{KEY}{}", self.server)
    }

    fn value(&self) -> String {
        let settled = self.settled.map(|(outcome, secs)| format!("{}@{secs}", outcome.as_str()));
        let device = self.device.as_deref().filter(|device| device.len() <= DEVICE_CHARS);
        let timestamp = self.timestamp.to_string();
        let words = [
            word(&self.new),
            word(&self.old),
            word(&self.attachment),
            word(&self.run),
            word(&self.process),
            timestamp.as_str(),
            word(device.unwrap_or_default()),
            // Not with the end: there is no room for both, and nobody asks for it then.
            if settled.is_some() { NONE } else { word(&self.made) },
            settled.as_deref().unwrap_or(NONE),
        ];
        words.join(" ")
    }

    fn parse(key: &str, value: &str) -> Option<Self> {
        let server = key.strip_prefix(KEY)?.to_owned();
        let mut words: Vec<&str> = value.split(' ').collect();
        if words.len() == MADE_AT + 1 {
            // As earlier agents wrote it.
            words.insert(MADE_AT, NONE);
        }
        let &[new, old, attachment, run, process, timestamp, device, made, settled] = words.as_slice() else {
            return None;
        };
        let settled = match settled {
            NONE => None,
            word => {
                let (outcome, secs) = word.split_once('@')?;
                Some((Outcome::parse(outcome)?, secs.parse().ok()?))
            }
        };
        Some(Self {
            new: text(new),
            old: text(old),
            server,
            attachment: text(attachment),
            device: Some(text(device)).filter(|device| !device.is_empty()),
            run: text(run),
            process: text(process),
            timestamp: timestamp.parse().ok()?,
            made: text(made),
            settled,
        })
    }
}

/// One at server `s`, of which nobody has said how it ends.
#[cfg(test)]
impl Exchange {
    pub fn at_one_server() -> Self {
        Self {
            new: "new".into(),
            old: "old".into(),
            server: "s".into(),
            attachment: "first".into(),
            device: None,
            run: "r".into(),
            process: "p".into(),
            timestamp: 0,
            made: String::new(),
            settled: None,
        }
    }
}

fn word(text: &str) -> &str {
    if text.is_empty() || text.contains(char::is_whitespace) { NONE } else { text }
}

fn text(word: &str) -> String {
    if word == NONE { String::new() } else { word.to_owned() }
}

/// Whether a metadata key is one of these.
pub fn is_mark(key: &str) -> bool {
    key.starts_with(KEY)
}

/// The exchanges that a volume's metadata tell of. Marks of another volume mean nothing: Cinder's own backups bring them along.
pub fn of(volume: &Volume) -> Vec<Exchange> {
    let metadata = volume.map("metadata");
    let found = metadata.iter().filter_map(|(key, value)| Exchange::parse(key, value.as_str()?));
    found.filter(|exchange| exchange.new == volume.id()).collect()
}

/// As metadata of the new volume.
pub fn marks(exchanges: &[Exchange]) -> Map<String, Value> {
    exchanges.iter().map(|exchange| (exchange.key(), Value::String(exchange.value()))).collect()
}

/// Writes down how an exchange has ended.
pub async fn settle(
    cloud: &Cloud,
    exchange: &Exchange,
    outcome: Outcome,
    now_secs: i64,
) -> Result<(), CloudError> {
    let settled = Exchange { settled: Some((outcome, now_secs)), ..exchange.clone() };
    let mark = Value::Object(marks(&[settled]));
    volume_actions::add_metadata(cloud, &exchange.new, &mark).await
}

/// There is nothing to be told of them any more. Answers what is to be said of marks that stay.
pub async fn clear(cloud: &Cloud, exchanges: &[Exchange]) -> Vec<String> {
    let mut left = Vec::new();
    for exchange in exchanges {
        let (id, key) = (&exchange.new, exchange.key());
        if let Err(error) = volume_actions::remove_metadata(cloud, id, &key).await {
            left.push(format!(
                "volume {id} still bears the mark {key} ({error}); remove it: openstack volume unset --property {key} {id}"
            ));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn exchange(new: &str) -> Exchange {
        Exchange {
            new: new.to_owned(),
            old: "6f0d3a0e-9c1b-4a5e-8a53-0f6f5a1f9d10".to_owned(),
            server: "1d7a2a53-53a5-4b2e-9d0a-7c7d7f3f2b11".to_owned(),
            attachment: "b1c9f5de-2f0e-4f0e-a2f3-0d3e4c5b6a12".to_owned(),
            device: Some("/dev/vdb".to_owned()),
            run: "0123456789abcdef0123456789abcdef".to_owned(),
            process: "0123abcd.4194303.1234567890.1234".to_owned(),
            timestamp: 1_700_000_000,
            made: "2026-11-27T12:00:00.000000".to_owned(),
            settled: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_fits_into_metadata() {
        let id = "30a9b1f4-3d3e-4b0e-9b8e-0a2c1d9f7e55";
        let settled = Some((Outcome::LeftAlone, 1_700_000_000));
        let unknown =
            Exchange { device: None, run: String::new(), attachment: String::new(), ..exchange(id) };
        let ended = Exchange { settled, made: String::new(), ..exchange(id) };
        for written in [exchange(id), ended, unknown] {
            let metadata = Value::Object(marks(std::slice::from_ref(&written)));
            let (key, value) = metadata.as_object().unwrap().iter().next().unwrap();
            assert!(is_mark(key) && value.as_str().unwrap().len() <= 255, "{value}");
            let volume = Volume { document: json!({"id": id, "metadata": metadata}) };
            assert_eq!(of(&volume), [written]);
        }
        let long = Exchange { device: Some("/dev/disk/by-id/something".to_owned()), ..exchange(id) };
        let volume = Volume { document: json!({"id": id, "metadata": marks(&[long])}) };
        assert_eq!(of(&volume), [Exchange { device: None, ..exchange(id) }]);
        let unknown = Exchange { made: String::new(), ..exchange(id) };
        let (key, earlier) = (unknown.key(), unknown.value().replace(" - -", " -"));
        let volume = Volume { document: json!({"id": id, "metadata": {key: earlier}}) };
        assert_eq!(of(&volume), [unknown]);
    }

    #[test]
    fn what_was_written_for_another_volume_means_nothing() {
        let marks = marks(&[exchange("30a9b1f4-3d3e-4b0e-9b8e-0a2c1d9f7e55")]);
        let volume = Volume { document: json!({"id": "another", "metadata": marks}) };
        assert!(of(&volume).is_empty());
        let volume =
            Volume { document: json!({"id": "v", "metadata": {"freezer_replaces_s": "v", "a": "b"}}) };
        assert!(of(&volume).is_empty());
    }
}
