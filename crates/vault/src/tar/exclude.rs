//! GNU tar's `--exclude` with its defaults: shell wildcards that also match `/`, unanchored (a match may start
//! after any `/`), backslash quotes.

/// The patterns of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Excludes {
    patterns: Vec<Vec<u8>>,
}

impl Excludes {
    pub fn new(patterns: &[Vec<u8>]) -> Self {
        Self { patterns: patterns.iter().filter(|pattern| !pattern.is_empty()).cloned().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// `name` as in the archive: `./sub/file`, without a trailing slash.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| {
            glob(pattern, name)
                || name.iter().enumerate().any(|(at, &byte)| {
                    let rest = name.get(at + 1..).unwrap_or_default();
                    byte == b'/' && !rest.starts_with(b"/") && glob(pattern, rest)
                })
        })
    }
}

/// Whole-string match. Iterative with one point to fall back to, so that no pattern takes exponential time.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = p.strip_prefix(b"*") {
            star = Some((rest, t));
            p = rest;
            continue;
        }
        let step = match (p.is_empty(), t.is_empty()) {
            (true, true) => return true,
            (false, false) => one(p, t),
            _ => None,
        };
        match (step, star) {
            (Some((p_rest, t_rest)), _) => (p, t) = (p_rest, t_rest),
            (None, Some((after, from))) if !from.is_empty() => {
                let (_, from) = character(from);
                star = Some((after, from));
                (p, t) = (after, from);
            }
            (None, _) => return false,
        }
    }
}

/// Matches one unit of the pattern against one character; what is left of both.
fn one<'p, 't>(pattern: &'p [u8], text: &'t [u8]) -> Option<(&'p [u8], &'t [u8])> {
    let (letter, t_rest) = character(text);
    let (&first, p_rest) = pattern.split_first()?;
    match first {
        b'?' => Some((p_rest, t_rest)),
        b'[' => match bracket(p_rest, letter) {
            Some((true, rest)) => Some((rest, t_rest)),
            Some((false, _)) => None,
            // No closing bracket: an ordinary character.
            None => (letter == b"[").then_some((p_rest, t_rest)),
        },
        _ => {
            let quoted = if first == b'\\' && !p_rest.is_empty() { p_rest } else { pattern };
            let (wanted, rest) = character(quoted);
            (wanted == letter).then_some((rest, t_rest))
        }
    }
}

/// The first UTF-8 character, or the first byte where the text is not UTF-8.
fn character(text: &[u8]) -> (&[u8], &[u8]) {
    let width = match text.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    match text.split_at_checked(width) {
        Some((letter, rest)) if std::str::from_utf8(letter).is_ok() => (letter, rest),
        _ => text.split_at_checked(1).unwrap_or((text, &[])),
    }
}

/// After `[`: whether `letter` is in the set, and the pattern after `]`.
fn bracket<'p>(mut rest: &'p [u8], letter: &[u8]) -> Option<(bool, &'p [u8])> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        rest = rest.get(1..)?;
    }
    let mut hit = false;
    let mut first = true;
    loop {
        if !first && let Some(rest) = rest.strip_prefix(b"]") {
            return Some((hit != negated, rest));
        }
        first = false;
        if let Some(class) = rest.strip_prefix(b"[:") {
            let end = class.windows(2).position(|pair| pair == b":]")?;
            hit |= in_class(class.get(..end)?, letter);
            rest = class.get(end + 2..)?;
            continue;
        }
        let (low, tail) = set_member(rest)?;
        rest = tail;
        let range = rest.strip_prefix(b"-").filter(|tail| !tail.is_empty() && !tail.starts_with(b"]"));
        if let Some(tail) = range {
            let (high, tail) = set_member(tail)?;
            rest = tail;
            hit |= code(low) <= code(letter) && code(letter) <= code(high);
        } else {
            hit |= low == letter;
        }
    }
}

fn set_member(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = rest.strip_prefix(b"\\").filter(|tail| !tail.is_empty()).unwrap_or(rest);
    (!rest.is_empty()).then(|| character(rest))
}

fn code(letter: &[u8]) -> u32 {
    match std::str::from_utf8(letter).ok().and_then(|text| text.chars().next()) {
        Some(char) => u32::from(char),
        None => letter.first().map_or(0, |&byte| u32::from(byte)),
    }
}

fn in_class(name: &[u8], letter: &[u8]) -> bool {
    let Some(c) = std::str::from_utf8(letter).ok().and_then(|text| text.chars().next()) else { return false };
    match name {
        b"alpha" => c.is_alphabetic(),
        b"digit" => c.is_ascii_digit(),
        b"alnum" => c.is_alphanumeric(),
        b"upper" => c.is_uppercase(),
        b"lower" => c.is_lowercase(),
        b"space" => c.is_whitespace(),
        b"blank" => c == ' ' || c == '\t',
        b"punct" => c.is_ascii_punctuation(),
        b"xdigit" => c.is_ascii_hexdigit(),
        b"cntrl" => c.is_control(),
        b"print" => !c.is_control(),
        b"graph" => !c.is_control() && !c.is_whitespace(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(pattern: &str, name: &str) -> bool {
        Excludes::new(&[pattern.as_bytes().to_vec()]).matches(name.as_bytes())
    }

    #[test]
    fn gnu_rules() {
        for (pattern, name) in [
            ("*.log", "./a.log"),
            ("*.log", "./deep/er/a.log"),
            ("sub", "./sub"),
            ("sub/file", "./top/sub/file"),
            ("./sub", "./sub"),
            ("s*e", "./sub/file"),
            ("s?b", "./sub"),
            ("?", "./\u{e9}"),
            ("[a-c]x", "./bx"),
            ("[!a-c]x", "./dx"),
            ("[]x]y", "./]y"),
            ("[[:digit:]]*", "./7up"),
            ("a\\*b", "./a*b"),
            ("a[b", "./a[b"),
            ("*", "./anything"),
        ] {
            assert!(excluded(pattern, name), "{pattern} should exclude {name}");
        }
        for (pattern, name) in [
            ("log", "./a.log"),
            ("/sub", "./sub"),
            ("sub/", "./sub"),
            ("./file", "./sub/file"),
            ("a\\*b", "./axb"),
            ("[a-c]x", "./dx"),
            ("*.log", "./a.logs"),
            ("", "./a"),
        ] {
            assert!(!excluded(pattern, name), "{pattern} should not exclude {name}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!excluded(&pattern, &("./".to_owned() + &"a".repeat(4000))));
    }
}
