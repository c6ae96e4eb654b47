//! The flags of `freezer-agent`, made from the table of keys.

use super::keys::{KEYS, Kind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

/// All flags of an action: `--key VALUE`, and `--key`/`--nokey` for booleans.
pub fn flags(mut command: Command) -> Command {
    for key in KEYS {
        let help = match key.default {
            Some(default) if key.kind != Kind::Bool => format!("{} [default: {default}]", key.help),
            _ => key.help.to_owned(),
        };
        let mut arg = Arg::new(key.name).long(key.long()).help(help).help_heading(key.group);
        if let Some(letter) = key.short {
            arg = arg.short(letter);
        }
        if key.name.contains('_') && key.flag.is_none() {
            arg = arg.alias(key.name);
        }
        if let Some(other) = key.other_flag {
            arg = arg.alias(other);
        }
        if key.kind == Kind::Bool {
            let off = format!("no-{}", key.name);
            let negative = Arg::new(off.clone()).long(format!("no{}", key.long())).action(ArgAction::SetTrue);
            command = command
                .arg(arg.action(ArgAction::SetTrue).overrides_with(off))
                .arg(negative.hide(true).overrides_with(key.name));
        } else {
            command = command.arg(arg.value_name(value_name(key.kind)).num_args(1).allow_hyphen_values(true));
        }
    }
    command
}

fn value_name(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Bool => "TEXT".to_owned(),
        Kind::Int => "N".to_owned(),
        Kind::Float => "NUMBER".to_owned(),
        Kind::Rate => "RATE".to_owned(),
        Kind::Choice(words) => {
            words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join("|")
        }
    }
}

/// What the command line set, by key.
pub fn given(matches: &ArgMatches) -> Map<String, Value> {
    let mut map = Map::new();
    for key in KEYS {
        if key.kind == Kind::Bool {
            if matches.get_flag(key.name) {
                map.insert(key.name.to_owned(), Value::Bool(true));
            } else if matches.get_flag(&format!("no-{}", key.name)) {
                map.insert(key.name.to_owned(), Value::Bool(false));
            }
        } else if let Some(text) = matches.get_one::<String>(key.name) {
            map.insert(key.name.to_owned(), Value::String(text.clone()));
        }
    }
    map
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_flag_is_taken_under_each_of_its_names() {
        let taken = |words: &[&str]| {
            let command = flags(Command::new("freezer-agent")).infer_long_args(true);
            given(&command.try_get_matches_from([&["freezer-agent"], words].concat()).unwrap())
        };
        for (words, key, value) in [
            (&["--compression", "xz"][..], "compression", json!("xz")),
            (&["--compress", "xz"][..], "compression", json!("xz")),
            (&["--compression-l", "9"][..], "compression_level", json!("9")),
            (&["--backup-name", "b"][..], "backup_name", json!("b")),
            (&["--backup_name", "b"][..], "backup_name", json!("b")),
            (&["-N", "b"][..], "backup_name", json!("b")),
            (&["--engine", "tar"][..], "engine_name", json!("tar")),
            (&["--nosync"][..], "sync", json!(false)),
        ] {
            assert_eq!(Value::Object(taken(words)), json!({key: value}), "{words:?}");
        }
    }
}
