//! Policy files: YAML (and so JSON), a mapping from names to rules.
//!
//! Only what a policy file may hold is read: texts, lists of texts, lists of those. Whether `1` is a number does not
//! matter for a rule, so scalars stay text; except that YAML's null is no text.

use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::Value;

use crate::check::Check;
use crate::error::PolicyError;
use crate::parse;

/// The rules of one file. None: there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<(String, Check)>>, PolicyError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(PolicyError::Unreadable { path: path.to_path_buf(), cause }),
    };
    let mut reader = Reader { events: Parser::new_from_str(&text), anchors: Vec::new() };
    let entries =
        reader.file().map_err(|problem| PolicyError::Malformed { path: path.to_path_buf(), problem })?;
    let mut rules: Vec<(String, Check)> = Vec::new();
    for (name, line, node) in entries {
        if rules.iter().any(|(known, _)| *known == name) {
            tracing::warn!("{}:{line}: policy {name} is there twice, the last one counts", path.display());
        }
        rules.push((name, rule_of(node)));
    }
    Ok(Some(rules))
}

/// The files of a policy directory, sorted: all but hidden ones, whatever their extension; no subdirectories.
pub(crate) fn list_dir(dir: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let unreadable = |cause| PolicyError::Unreadable { path: dir.to_path_buf(), cause };
    let listing = match std::fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(unreadable(cause)),
    };
    let mut files = Vec::new();
    for entry in listing {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A value of the file.
#[derive(Clone)]
enum Node {
    Text(String),
    /// YAML's null.
    Nothing,
    List(Vec<Node>),
    /// A mapping, or something with a tag.
    Other,
}

fn rule_of(node: Node) -> Check {
    match node {
        Node::Nothing => {
            Check::Broken("the rule is empty: write \"\" to allow everybody, or \"!\" to refuse".to_owned())
        }
        Node::Text(text) => parse::rule(&text),
        Node::List(items) => match items.into_iter().map(plain).collect::<Option<Vec<Value>>>() {
            Some(items) => parse::list(&items),
            None => Check::Broken(
                "the list holds something that is neither a check nor a list of checks".to_owned(),
            ),
        },
        Node::Other => Check::Broken("the rule is neither text nor a list".to_owned()),
    }
}

fn plain(node: Node) -> Option<Value> {
    match node {
        Node::Text(text) => Some(Value::String(text)),
        Node::List(items) => items.into_iter().map(plain).collect::<Option<_>>().map(Value::Array),
        Node::Nothing | Node::Other => None,
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Texts with an anchor (`&name`), by the parser's number of it.
    anchors: Vec<(usize, Node)>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), String> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it ends too early".to_owned()),
        }
    }

    /// Names, their lines and their values.
    fn file(&mut self) -> Result<Vec<(String, usize, Node)>, String> {
        let entries = loop {
            match self.next()?.0 {
                Event::StreamEnd => return Ok(Vec::new()),
                Event::MappingStart(..) => break self.mapping()?,
                Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => break Vec::new(),
                Event::Scalar(..) | Event::SequenceStart(..) => {
                    return Err("it is not a mapping of names to rules".to_owned());
                }
                _ => {}
            }
        };
        loop {
            match self.next()?.0 {
                Event::StreamEnd => return Ok(entries),
                Event::DocumentStart(_) => {
                    return Err("there is more than one YAML document in it".to_owned());
                }
                _ => {}
            }
        }
    }

    fn mapping(&mut self) -> Result<Vec<(String, usize, Node)>, String> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(entries);
            }
            let line = span.start.line();
            let Event::Scalar(name, _, _, None) = event else {
                return Err(format!("line {line}: the name of a rule must be text"));
            };
            let value = self.next()?.0;
            entries.push((name.into_owned(), line, self.value(value, 0)?));
        }
    }

    /// The value that starts with `event`; lists may hold lists, no deeper.
    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = match tag {
                    Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == "str") => Node::Other,
                    None if style == ScalarStyle::Plain && is_null(&text) => Node::Nothing,
                    _ => Node::Text(text.into_owned()),
                };
                if anchor > 0 {
                    self.anchors.push((anchor, node.clone()));
                }
                Ok(node)
            }
            Event::Alias(number) => {
                let found = self.anchors.iter().rev().find(|(anchor, _)| *anchor == number);
                found
                    .map(|(_, node)| node.clone())
                    .ok_or_else(|| "an alias (*name) must stand for a text".to_owned())
            }
            Event::SequenceStart(..) if depth < 2 => {
                let mut items = Vec::new();
                loop {
                    match self.next()?.0 {
                        Event::SequenceEnd => return Ok(Node::List(items)),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            _ => self.skip(),
        }
    }

    /// Past a mapping or a list that was just begun.
    fn skip(&mut self) -> Result<Node, String> {
        let mut open = 1_usize;
        while open > 0 {
            match self.next()?.0 {
                Event::MappingStart(..) | Event::SequenceStart(..) => open += 1,
                Event::MappingEnd | Event::SequenceEnd => open -= 1,
                _ => {}
            }
        }
        Ok(Node::Other)
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
