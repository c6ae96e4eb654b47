//! The section `[oslo_policy]`.

use std::path::PathBuf;
use std::time::Duration;

use oslo_config::{Config, Opt, OptGroup};

use crate::enforcer::PolicyOptions;

const GROUP: &str = "oslo_policy";

/// What a program registers to be able to call [`PolicyOptions::from_config`].
pub fn options() -> Vec<OptGroup> {
    vec![OptGroup::new(
        GROUP,
        vec![
            Opt::bool("enforce_scope")
                .default("true")
                .help("Refuse a request if its token is for another scope (project, domain, system) than the policy wants."),
            Opt::bool("enforce_new_defaults").default("true").help(
                "Use only the new default of a policy whose default changed; otherwise the old default allows, too.",
            ),
            Opt::str("policy_file").default("policy.yaml").help(
                "File that overrides policies, looked for beside the configuration files. It need not exist.",
            ),
            Opt::str("policy_default_rule").default("default").help("The rule used in place of one that does not exist."),
            Opt::multi("policy_dirs").default("policy.d").help(
                "Directories of more policy files, read after policy_file in the order of their names. They need not exist.",
            ),
        ],
    )]
}

impl PolicyOptions {
    /// As the configuration says. A relative name is looked for beside the configuration files and in the standard
    /// places; if it is nowhere yet, it is watched for beside the last configuration file.
    pub fn from_config(config: &Config) -> Self {
        let file = config.str(GROUP, "policy_file");
        if config.is_set(GROUP, "policy_file") && config.find_file(file).is_none() {
            tracing::warn!("policy file {file} does not exist: the default policies are in force");
        }
        PolicyOptions {
            policy_file: Some(place(config, file)),
            policy_dirs: config.list(GROUP, "policy_dirs").iter().map(|dir| place(config, dir)).collect(),
            default_rule: config.str(GROUP, "policy_default_rule").to_owned(),
            enforce_scope: config.bool(GROUP, "enforce_scope"),
            enforce_new_defaults: config.bool(GROUP, "enforce_new_defaults"),
            recheck: Duration::from_secs(1),
        }
    }
}

fn place(config: &Config, name: &str) -> PathBuf {
    let beside = || config.files().last().and_then(|file| file.parent()).map(|dir| dir.join(name));
    config.find_file(name).or_else(beside).unwrap_or_else(|| PathBuf::from(name))
}
