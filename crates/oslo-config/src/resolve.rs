//! From all places an option may be written to its one checked value.

use crate::arguments::{LoadArgs, Setting};
use crate::convert::convert;
use crate::error::BadValue;
use crate::ini::IniFile;
use crate::interpolate::{Piece, split};
use crate::opt::{Opt, OptGroup, Shape};
use crate::registry::{Registry, section_key};
use crate::value::{Origin, Value};
use crate::warn::variable_part;

/// A value with its history.
#[derive(Clone)]
pub(crate) struct Resolved {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// Declared secret, or made from an option that is.
    pub(crate) secret: bool,
    pub(crate) mutable: bool,
}

/// Looks options up in what was read.
pub(crate) struct Resolver<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) args: &'a LoadArgs,
    pub(crate) files: &'a [IniFile],
}

/// Texts of an option (several only for a multi-valued one) with where each was written.
type Texts = Vec<(String, Origin)>;

/// A problem on the way to a value, and whether a secret was involved.
struct Problem {
    words: String,
    secret: bool,
}

impl Resolver<'_> {
    /// The option's value.
    pub(crate) fn resolve(&self, group: &OptGroup, opt: &Opt) -> Result<Resolved, Box<BadValue>> {
        let mut path = Vec::new();
        self.follow(group, opt, &mut path)
    }

    /// `path` holds the options whose references led here, to notice circles.
    fn follow(&self, group: &OptGroup, opt: &Opt, path: &mut Vec<String>) -> Result<Resolved, Box<BadValue>> {
        let texts = self.texts(group, opt);
        let origin = texts.last().map_or(Origin::Default, |(_, origin)| origin.clone());
        let mut resolved = Resolved { value: Value::Null, origin, secret: opt.secret, mutable: opt.mutable };
        let mut items = Vec::new();
        path.push(format!("{}.{}", section_key(&group.name), opt.name));
        for (text, origin) in &texts {
            let bad = |problem: Problem| {
                Box::new(BadValue {
                    group: group.name.clone(),
                    name: opt.name.clone(),
                    origin: origin.clone(),
                    text: (!opt.secret && !problem.secret).then(|| text.clone()),
                    problem: problem.words,
                })
            };
            let (text, tainted) = self.substitute(group, text, path).map_err(bad)?;
            resolved.secret |= tainted;
            let problem = |words| bad(Problem { words, secret: tainted });
            items.push(convert(opt, &text).map_err(problem)?);
        }
        path.pop();
        resolved.value = match opt.shape {
            Shape::Multi => Value::List(items),
            _ => items.pop().unwrap_or(Value::Null),
        };
        if opt.required && resolved.value == Value::Null {
            return Err(Box::new(missing(group, opt, resolved.origin)));
        }
        Ok(resolved)
    }

    fn texts(&self, group: &OptGroup, opt: &Opt) -> Texts {
        let from = |settings: &[Setting], origin: Origin| -> Texts {
            let mine = |s: &&Setting| {
                section_key(&s.group) == section_key(&group.name) && s.name.replace('-', "_") == opt.name
            };
            settings.iter().filter(mine).map(|s| (s.text.clone(), origin.clone())).collect()
        };
        let places = [
            from(&self.args.overrides, Origin::Override),
            from(&self.args.command_line, Origin::CommandLine),
            self.in_environment(group, opt),
            self.in_files(group, opt),
            opt.defaults.iter().map(|text| (text.clone(), Origin::Default)).collect(),
        ];
        let mut found = places.into_iter().find(|texts| !texts.is_empty()).unwrap_or_default();
        if opt.shape != Shape::Multi && found.len() > 1 {
            found = found.split_off(found.len() - 1);
        }
        found
    }

    fn in_environment(&self, group: &OptGroup, opt: &Opt) -> Texts {
        let name = format!("OS_{}__{}", variable_part(&group.name), variable_part(&opt.name));
        match self.args.environment.get(&name) {
            Some(text) => vec![(text.clone(), Origin::Environment(name))],
            None => Vec::new(),
        }
    }

    /// The last file that has the option decides, and inside it the new name before the old ones.
    fn in_files(&self, group: &OptGroup, opt: &Opt) -> Texts {
        let mut names = vec![(section_key(&group.name), opt.name.clone())];
        names.extend(opt.deprecated_names.iter().cloned());
        let mut all = Vec::new();
        for file in self.files.iter().rev() {
            for (section, name) in &names {
                let texts = texts_in(file, section, name);
                if texts.is_empty() {
                    continue;
                }
                if opt.shape != Shape::Multi {
                    return texts;
                }
                all.splice(0..0, texts);
            }
        }
        all
    }

    fn substitute(
        &self,
        group: &OptGroup,
        text: &str,
        path: &mut Vec<String>,
    ) -> Result<(String, bool), Problem> {
        let mut whole = String::with_capacity(text.len());
        let mut tainted = false;
        for piece in split(text) {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Reference(name) => {
                    let referred = self.reference(group, name, path)?;
                    tainted |= referred.secret;
                    whole.push_str(&referred.value.to_string());
                }
            }
        }
        Ok((whole, tainted))
    }

    fn reference(&self, group: &OptGroup, name: &str, path: &mut Vec<String>) -> Result<Resolved, Problem> {
        let in_group = match name.split_once('.') {
            Some((other, option)) => self.registered(other, option),
            None => self.registered(&group.name, name),
        };
        let Some((target, opt)) = in_group.or_else(|| self.registered("DEFAULT", name)) else {
            // The name is part of the text: the caller leaves it out for a secret option, so must we.
            let words = "a $ followed by a name refers to another option, and there is none of that name; \
                         write a dollar that is part of the value as $$";
            return Err(Problem { words: words.to_owned(), secret: false });
        };
        if path.contains(&format!("{}.{}", section_key(&target.name), opt.name)) {
            let words = "the value refers to itself, directly or through other options".to_owned();
            return Err(Problem { words, secret: false });
        }
        self.follow(target, opt, path).map_err(|bad| Problem {
            words: format!(
                "it refers to option {} of section [{}], which has a bad value",
                bad.name, bad.group
            ),
            secret: false,
        })
    }

    fn registered(&self, section: &str, name: &str) -> Option<(&OptGroup, &Opt)> {
        let group = self.registry.group_named(section)?;
        Some((group, group.opts.iter().find(|opt| opt.name == name)?))
    }
}

fn texts_in(file: &IniFile, section: &str, name: &str) -> Texts {
    let sections = file.sections.iter().filter(|s| section_key(&s.name) == section);
    let entries = sections.flat_map(|s| &s.entries).filter(|entry| entry.key == name);
    entries
        .map(|entry| (entry.text.clone(), Origin::File { path: file.path.clone(), line: entry.line }))
        .collect()
}

fn missing(group: &OptGroup, opt: &Opt, origin: Origin) -> BadValue {
    let problem = format!(
        "a value is required: set {} in section [{}] of the configuration file, or OS_{}__{} in the environment",
        opt.name,
        group.name,
        variable_part(&group.name),
        variable_part(&opt.name)
    );
    BadValue { group: group.name.clone(), name: opt.name.clone(), origin, text: None, problem }
}
