//! `$name`, `${name}`, `$group.name` inside values. Pure text work; the caller knows what a name stands for.

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text to keep.
    Text(&'a str),
    /// A reference to another option.
    Reference(&'a str),
}

/// Splits a value. `$$` and `\$` are a dollar; a `$` that starts no name stays as it is.
pub(crate) fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        let (before, from) = rest.split_at(position);
        let after = from.strip_prefix('$').unwrap_or_default();
        if let Some(before) = before.strip_suffix('\\') {
            pieces.push(Piece::Text(before));
            pieces.push(Piece::Text("$"));
            rest = after;
            continue;
        }
        pieces.push(Piece::Text(before));
        if let Some(next) = after.strip_prefix('$') {
            pieces.push(Piece::Text("$"));
            rest = next;
        } else if let Some((name, next)) = braced(after).or_else(|| plain(after)) {
            pieces.push(Piece::Reference(name));
            rest = next;
        } else {
            pieces.push(Piece::Text("$"));
            rest = after;
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

fn braced(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = plain(text.strip_prefix('{')?)?;
    Some((name, rest.strip_prefix('}')?))
}

/// A letter or underscore, then letters, digits, underscores and dots.
fn plain(text: &str) -> Option<(&str, &str)> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '.';
    if !text.starts_with(starts) {
        return None;
    }
    let end = text.find(|c| !goes_on(c)).unwrap_or(text.len());
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        split(text)
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Reference(name) => format!("<{name}>"),
            })
            .collect()
    }

    #[test]
    fn forms() {
        assert_eq!(joined("a$b.c-${d}e"), "a<b.c>-<d>e");
        assert_eq!(joined("$$x \\$y $ $1 ${ ${x"), "$x $y $ $1 ${ ${x");
        assert_eq!(joined("100%"), "100%");
        assert_eq!(joined("$$$a"), "$<a>");
    }
}
