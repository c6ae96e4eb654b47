//! All options a program knows, collected from its libraries before anything is read.

use crate::arguments::LoadArgs;
use crate::config::Config;
use crate::error::ConfigError;
use crate::opt::{Opt, OptGroup};

/// The options of a program. Cheap to build; loaded once.
#[derive(Clone, Debug)]
pub struct Registry {
    project: String,
    program: String,
    groups: Vec<OptGroup>,
    open_sections: Vec<String>,
    conflict: Option<(String, String)>,
}

impl Registry {
    /// `project` and `program` decide which files are searched: `<project>.conf`, `<program>.conf`.
    pub fn new(project: &str, program: &str) -> Self {
        let groups = vec![OptGroup::new("DEFAULT", Vec::new())];
        Registry {
            project: project.to_owned(),
            program: program.to_owned(),
            groups,
            open_sections: Vec::new(),
            conflict: None,
        }
    }

    /// Adds options to one section.
    pub fn group(self, name: &str, opts: Vec<Opt>) -> Self {
        self.groups_of(vec![OptGroup::new(name, opts)])
    }

    /// Adds what a library's `options()` returned. The same option registered again alike is fine.
    pub fn groups_of(mut self, groups: Vec<OptGroup>) -> Self {
        for group in groups {
            self.add(group);
        }
        self
    }

    /// A section whose options are read by name later ([`Config::section_raw`], [`Config::with_groups`]): no warnings
    /// about what stands in it.
    pub fn open_section(mut self, name: &str) -> Self {
        self.open_sections.push(section_key(name));
        self
    }

    /// Reads and checks everything. See [`LoadArgs`] for what is read.
    pub fn load(&self, args: LoadArgs) -> Result<Config, ConfigError> {
        let files = crate::find::read_all(self, &args)?;
        Config::resolve(self.clone(), args, files)
    }

    /// A commented sample file of all options.
    pub fn sample(&self) -> String {
        crate::sample::write(&self.groups)
    }

    /// The project's name.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        &self.program
    }

    fn add(&mut self, added: OptGroup) {
        let key = section_key(&added.name);
        let Some(group) = self.groups.iter_mut().find(|g| section_key(&g.name) == key) else {
            let empty = OptGroup { opts: Vec::new(), ..added.clone() };
            self.groups.push(empty);
            return self.add(added);
        };
        if group.help.is_empty() {
            group.help = added.help;
        }
        for opt in added.opts {
            match group.opts.iter().find(|known| known.name == opt.name) {
                None => group.opts.push(opt),
                Some(known) if *known == opt => {}
                Some(_) => self.conflict = Some((group.name.clone(), opt.name)),
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match &self.conflict {
            Some((group, name)) => Err(ConfigError::Conflict { group: group.clone(), name: name.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn groups(&self) -> &[OptGroup] {
        &self.groups
    }

    pub(crate) fn group_named(&self, section: &str) -> Option<&OptGroup> {
        let key = section_key(section);
        self.groups.iter().find(|g| section_key(&g.name) == key)
    }

    pub(crate) fn find(&self, section: &str, name: &str) -> Option<&Opt> {
        self.group_named(section)?.opts.iter().find(|opt| opt.name == name)
    }

    /// The section and option that still read this old place.
    pub(crate) fn find_deprecated(&self, section: &str, name: &str) -> Option<(&str, &Opt)> {
        let key = section_key(section);
        for group in &self.groups {
            for opt in &group.opts {
                if opt.deprecated_names.iter().any(|(g, n)| *g == key && n == name) {
                    return Some((&group.name, opt));
                }
            }
        }
        None
    }

    pub(crate) fn knows_section(&self, section: &str) -> bool {
        let key = section_key(section);
        let old = |opt: &Opt| opt.deprecated_names.iter().any(|(g, _)| *g == key);
        self.groups.iter().any(|g| section_key(&g.name) == key || g.opts.iter().any(old))
    }

    pub(crate) fn is_open(&self, section: &str) -> bool {
        let key = section_key(section);
        self.open_sections.contains(&key)
    }
}

/// What two spellings of a section have in common: the case of `DEFAULT` counts, that of others does not.
pub(crate) fn section_key(name: &str) -> String {
    if name == "DEFAULT" { name.to_owned() } else { name.to_lowercase() }
}
