//! Declarations: what an option is called, which values it takes, what the operator should know about it.
//!
//! A declaration is data only; it never holds a value that was read.

/// What kind of value an option takes. The rules of each are those of oslo.config's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Str,
    /// A whole number, decimal; empty text is "no value".
    Int,
    /// A number; empty text is "no value".
    Float,
    /// true/false, yes/no, on/off, 1/0.
    Bool,
    /// 0 to 65535.
    Port,
    /// An IPv4 or IPv6 address without prefix length.
    Ip,
    /// A host name (RFC 1123; the last label is not a number).
    Hostname,
    /// A host name or an IP address.
    HostAddress,
    /// A URI with scheme and exactly one host.
    Uri,
}

/// How many values of a [`Kind`] an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    List,
    Dict,
    Multi,
}

/// One option. Built with the constructor of its type and refined by the methods after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Opt {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    pub(crate) defaults: Vec<String>,
    pub(crate) sample_default: Option<String>,
    pub(crate) help: String,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) max_length: Option<usize>,
    pub(crate) choices: Vec<String>,
    pub(crate) ignore_case: bool,
    pub(crate) bounds: bool,
    pub(crate) secret: bool,
    pub(crate) required: bool,
    pub(crate) mutable: bool,
    pub(crate) advanced: bool,
    pub(crate) deprecated_names: Vec<(String, String)>,
    pub(crate) deprecated_for_removal: Option<String>,
}

impl Opt {
    fn new(name: &str, kind: Kind, shape: Shape) -> Self {
        Opt {
            name: name.replace('-', "_"),
            kind,
            shape,
            defaults: Vec::new(),
            sample_default: None,
            help: String::new(),
            min: None,
            max: None,
            max_length: None,
            choices: Vec::new(),
            ignore_case: false,
            bounds: false,
            secret: false,
            required: false,
            mutable: false,
            advanced: false,
            deprecated_names: Vec::new(),
            deprecated_for_removal: None,
        }
    }

    /// A text option.
    pub fn str(name: &str) -> Self {
        Opt::new(name, Kind::Str, Shape::One)
    }

    /// A whole number.
    pub fn int(name: &str) -> Self {
        Opt::new(name, Kind::Int, Shape::One)
    }

    /// A number with a fraction.
    pub fn float(name: &str) -> Self {
        Opt::new(name, Kind::Float, Shape::One)
    }

    /// A switch.
    pub fn bool(name: &str) -> Self {
        Opt::new(name, Kind::Bool, Shape::One)
    }

    /// A TCP or UDP port.
    pub fn port(name: &str) -> Self {
        Opt::new(name, Kind::Port, Shape::One)
    }

    /// An IP address.
    pub fn ip(name: &str) -> Self {
        Opt::new(name, Kind::Ip, Shape::One)
    }

    /// A host name.
    pub fn hostname(name: &str) -> Self {
        Opt::new(name, Kind::Hostname, Shape::One)
    }

    /// A host name or IP address.
    pub fn host_address(name: &str) -> Self {
        Opt::new(name, Kind::HostAddress, Shape::One)
    }

    /// A URI with a scheme and one host. A transport URL with several hosts is not one: use [`Opt::str`].
    pub fn uri(name: &str) -> Self {
        Opt::new(name, Kind::Uri, Shape::One)
    }

    /// Texts separated by commas. Its default is written the same way.
    pub fn list(name: &str) -> Self {
        Opt::new(name, Kind::Str, Shape::List)
    }

    /// `key:value` pairs separated by commas.
    pub fn dict(name: &str) -> Self {
        Opt::new(name, Kind::Str, Shape::Dict)
    }

    /// An option that may be written several times; each line is one element.
    pub fn multi(name: &str) -> Self {
        Opt::new(name, Kind::Str, Shape::Multi)
    }

    /// The kind of each element of a list, dict or multi-valued option (text unless set).
    pub fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The default, written as in a file (`$name` references work). For a multi-valued option: one more element.
    pub fn default(mut self, text: impl Into<String>) -> Self {
        if self.shape != Shape::Multi {
            self.defaults.clear();
        }
        self.defaults.push(text.into());
        self
    }

    /// What the sample file shows in place of a default that differs from machine to machine.
    pub fn sample_default(mut self, text: impl Into<String>) -> Self {
        self.sample_default = Some(text.into());
        self
    }

    /// What the option does, for the sample file. Blank lines separate paragraphs.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = text.into();
        self
    }

    /// Smallest allowed number.
    pub fn min(mut self, least: impl Into<f64>) -> Self {
        self.min = Some(least.into());
        self
    }

    /// Largest allowed number.
    pub fn max(mut self, most: impl Into<f64>) -> Self {
        self.max = Some(most.into());
        self
    }

    /// Largest number of characters.
    pub fn max_length(mut self, characters: usize) -> Self {
        self.max_length = Some(characters);
        self
    }

    /// The only values allowed.
    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|c| (*c).to_owned()).collect();
        self
    }

    /// Letters of [`Opt::choices`] match in any case; the text stays as written.
    pub fn ignore_case(mut self) -> Self {
        self.ignore_case = true;
        self
    }

    /// A list must be written in `[…]`, a dict in `{…}`.
    pub fn bounds(mut self) -> Self {
        self.bounds = true;
        self
    }

    /// The value must not be shown anywhere.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Loading fails without a value.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The value may change while the program runs (see [`crate::Config::mutate`]).
    pub fn mutable(mut self) -> Self {
        self.mutable = true;
        self
    }

    /// Rarely needed: the sample file says so.
    pub fn advanced(mut self) -> Self {
        self.advanced = true;
        self
    }

    /// An older place of this option, read (with a warning) when the new one is absent. The first one listed wins.
    pub fn deprecated_name(mut self, group: &str, name: &str) -> Self {
        self.deprecated_names.push((crate::registry::section_key(group), name.replace('-', "_")));
        self
    }

    /// The option still works and will go away; setting it gives a warning with this reason.
    pub fn deprecated_for_removal(mut self, reason: impl Into<String>) -> Self {
        self.deprecated_for_removal = Some(reason.into());
        self
    }

    /// The option's name, with underscores.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

/// The options of one section, as a library registers them.
#[derive(Clone, Debug)]
pub struct OptGroup {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) opts: Vec<Opt>,
}

impl OptGroup {
    /// Options of the section `name` (`DEFAULT` in capitals; the case of others does not count).
    pub fn new(name: &str, opts: Vec<Opt>) -> Self {
        OptGroup { name: name.to_owned(), help: String::new(), opts }
    }

    /// What the section is about, for the sample file.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = text.into();
        self
    }

    /// The section's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
