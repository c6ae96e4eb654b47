//! The sample file: every option with its help, type, limits and default, all commented out.

use crate::opt::{Kind, Opt, OptGroup, Shape};

const WIDTH: usize = 79;

/// The whole file. Sections in the order registered, empty ones left out.
pub(crate) fn write(groups: &[OptGroup]) -> String {
    let mut text = String::new();
    for group in groups.iter().filter(|group| !group.opts.is_empty()) {
        text.push_str(&format!("[{}]\n", group.name));
        if !group.help.is_empty() {
            text.push_str("\n#\n");
            comment(&mut text, &group.help);
            text.push_str("#\n");
        }
        text.push('\n');
        for opt in &group.opts {
            option(&mut text, opt);
            text.push('\n');
        }
        text.push('\n');
    }
    let end = text.trim_end().len();
    text.truncate(end);
    text.push('\n');
    text
}

fn option(text: &mut String, opt: &Opt) {
    let mut help = opt.help.trim().to_owned();
    if !help.is_empty() {
        help.push(' ');
    }
    comment(text, &format!("{help}({})", type_name(opt)));
    for (words, limit) in [("Minimum", opt.min), ("Maximum", opt.max)] {
        let port =
            if opt.kind == Kind::Port { Some(if words == "Minimum" { 0.0 } else { 65535.0 }) } else { None };
        if let Some(limit) = limit.or(port) {
            text.push_str(&format!("# {words} value: {limit}\n"));
        }
    }
    if !opt.choices.is_empty() {
        comment(text, &format!("Allowed values: {}", opt.choices.join(", ")));
    }
    if opt.required {
        text.push_str("# This option must be set.\n");
    }
    if opt.mutable {
        text.push_str("# Note: This option can be changed without restarting.\n");
    }
    if opt.advanced {
        text.push_str("# Advanced Option: intended for advanced users and not used by the majority.\n");
    }
    for (group, name) in &opt.deprecated_names {
        text.push_str(&format!("# Deprecated group/name - [{group}]/{name}\n"));
    }
    if let Some(reason) = &opt.deprecated_for_removal {
        text.push_str("# This option is deprecated for removal.\n");
        comment(text, &format!("Reason: {reason}"));
    }
    for value in defaults(opt) {
        text.push_str(format!("#{} = {value}", opt.name).trim_end());
        text.push('\n');
    }
}

fn defaults(opt: &Opt) -> Vec<String> {
    if let Some(shown) = &opt.sample_default {
        return vec![shown.clone()];
    }
    match (opt.shape, opt.defaults.is_empty()) {
        (Shape::One, true) => vec!["<None>".to_owned()],
        (_, true) => vec![String::new()],
        (_, false) => opt.defaults.iter().map(|text| written(text)).collect(),
    }
}

/// A default as it must stand in a file to be read back: quoted if blanks or quotes at its ends would get lost,
/// further lines indented (and commented out like the first).
fn written(text: &str) -> String {
    let quote = |c: char| text.starts_with(c) && text.ends_with(c);
    let text = if !text.is_empty() && (text.trim() != text || quote('"') || quote('\'')) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    };
    text.replace('\n', "\n#  ")
}

fn type_name(opt: &Opt) -> &'static str {
    match (opt.shape, opt.kind) {
        (Shape::List, _) => "list value",
        (Shape::Dict, _) => "dict value",
        (Shape::Multi, _) => "multi valued",
        (Shape::One, Kind::Str) => "string value",
        (Shape::One, Kind::Int) => "integer value",
        (Shape::One, Kind::Float) => "floating point value",
        (Shape::One, Kind::Bool) => "boolean value",
        (Shape::One, Kind::Port) => "port value",
        (Shape::One, Kind::Ip) => "IP address value",
        (Shape::One, Kind::Hostname) => "hostname value",
        (Shape::One, Kind::HostAddress) => "host address value",
        (Shape::One, Kind::Uri) => "URI value",
    }
}

/// Help text as comment lines, wrapped at blanks; paragraphs stay apart.
fn comment(text: &mut String, help: &str) {
    for paragraph in help.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() > 1 && line.len() + 1 + word.len() > WIDTH {
                text.push_str(&line);
                text.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(&line);
        text.push('\n');
    }
}
