//! A sample policy file: every rule with its documentation and its default, commented out.

use crate::rule::RuleDefault;

/// The file. Putting a line in force changes nothing until it is edited.
pub fn sample(defaults: &[RuleDefault]) -> String {
    let mut text = String::new();
    for rule in defaults {
        for line in rule.description.lines().filter(|line| !line.trim().is_empty()) {
            text.push_str(&format!("# {}\n", line.trim()));
        }
        for operation in &rule.operations {
            text.push_str(&format!("# {}  {}\n", operation.method, operation.path));
        }
        if !rule.scope_types.is_empty() {
            text.push_str(&format!("# Intended scope(s): {}\n", rule.scope_types.join(", ")));
        }
        text.push_str(&format!("#{}: {}\n", quote(&rule.name), quote(&rule.check)));
        if let Some(old) = &rule.deprecated_rule {
            let (was, is) = (format!("{}: {}", quote(&old.name), quote(&old.check)), quote(&rule.name));
            text.push_str(&format!(
                "# DEPRECATED: {was} was replaced by {is} in {}.\n",
                one_line(&old.since)
            ));
            text.push_str(&format!("# {}\n", one_line(&old.reason)));
        }
        text.push('\n');
    }
    text
}

/// A JSON text is a YAML text.
fn quote(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
