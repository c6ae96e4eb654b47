//! The INI dialect of oslo.config: text to sections, options and their lines. Knows nothing of registered options.
//!
//! Differences from other INI files that matter: no comments after a value, an indented line always continues the
//! value before it (even when it starts with `#`), one pair of quotes around a whole value is removed, an option
//! before the first section is refused. Values are never put into an error: they may be secrets.

use std::path::{Path, PathBuf};

use crate::error::ConfigError;

/// One file, taken apart.
#[derive(Clone)]
pub(crate) struct IniFile {
    pub(crate) path: PathBuf,
    pub(crate) sections: Vec<Section>,
}

/// One section header and what follows it; a name may come several times.
#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) entries: Vec<Entry>,
}

/// One option.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Reads and takes apart a file.
pub(crate) fn read(path: &Path) -> Result<IniFile, ConfigError> {
    let bytes = std::fs::read(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => ConfigError::NoSuchFile(path.to_path_buf()),
        _ => ConfigError::Unreadable { path: path.to_path_buf(), cause },
    })?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count();
            let problem = "not UTF-8 text: save the file as UTF-8".to_owned();
            return Err(ConfigError::Syntax { path: path.to_path_buf(), line, problem });
        }
    };
    parse(path, &text)
}

/// Takes text apart; `path` is only for messages.
pub(crate) fn parse(path: &Path, text: &str) -> Result<IniFile, ConfigError> {
    let mut parser = Parser { sections: Vec::new(), open: false };
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, line) in unified.split('\n').enumerate() {
        parser.line(index + 1, line.trim_end()).map_err(|problem| ConfigError::Syntax {
            path: path.to_path_buf(),
            line: index + 1,
            problem,
        })?;
    }
    Ok(IniFile { path: path.to_path_buf(), sections: parser.sections })
}

struct Parser {
    sections: Vec<Section>,
    /// Whether the last line was part of a value that an indented line may continue.
    open: bool,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.is_empty() {
            self.open = false;
            return Ok(());
        }
        if line.starts_with([' ', '\t']) {
            return self.continuation(line.trim_start());
        }
        self.open = false;
        if line.starts_with(['#', ';']) {
            return Ok(());
        }
        if line.starts_with('[') {
            return self.header(number, line);
        }
        self.assignment(number, line)
    }

    fn continuation(&mut self, text: &str) -> Result<(), String> {
        let entry = self.sections.last_mut().and_then(|section| section.entries.last_mut());
        match entry {
            Some(entry) if self.open => {
                entry.text.push('\n');
                entry.text.push_str(text);
                Ok(())
            }
            _ => Err("an indented line continues the value of the line before it, and there is none: \
                      remove the blanks at its start"
                .to_owned()),
        }
    }

    fn header(&mut self, number: usize, line: &str) -> Result<(), String> {
        let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return Err("a section must end with ]".to_owned());
        };
        if name.is_empty() {
            return Err("the section has no name between [ and ]".to_owned());
        }
        self.sections.push(Section { name: name.to_owned(), line: number, entries: Vec::new() });
        Ok(())
    }

    fn assignment(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.starts_with('\u{feff}') {
            return Err("the file starts with a byte order mark: save it without one".to_owned());
        }
        let Some((key, value)) = line.split_once(['=', ':']) else {
            return Err(
                "neither a section, nor a comment, nor `option = value`: there is no = or : in it".to_owned()
            );
        };
        let key = key.trim();
        if key.is_empty() {
            return Err("there is no option name before the = or :".to_owned());
        }
        let Some(section) = self.sections.last_mut() else {
            return Err(format!("option {key} stands before the first section: write [DEFAULT] above it"));
        };
        section.entries.push(Entry {
            key: key.to_owned(),
            text: unquote(value.trim()).to_owned(),
            line: number,
        });
        self.open = true;
        Ok(())
    }
}

/// Removes one pair of equal quotes around the whole text. A lone quote counts as a pair, as upstream.
fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if text.starts_with(quote) && text.ends_with(quote) {
            return text.strip_prefix(quote).map_or("", |rest| rest.strip_suffix(quote).unwrap_or(""));
        }
    }
    text
}
