//! Which events are written: a level for everything, and one for each logger of `default_log_levels`.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::metadata::LevelFilter;

/// Levels by logger name. Names are compared with `.` for `::`; the longest matching one decides.
pub(crate) struct Filter {
    debug: AtomicBool,
    levels: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// Takes `logger=LEVEL` pairs; the bad one comes back as the error.
    pub(crate) fn new(debug: bool, pairs: &[String]) -> Result<Self, String> {
        let mut levels = Vec::new();
        for pair in pairs.iter().filter(|pair| !pair.trim().is_empty()) {
            let parsed = pair
                .split_once('=')
                .and_then(|(name, level)| Some((dotted(name.trim()), parse(level.trim())?)));
            levels.push(parsed.ok_or_else(|| pair.clone())?);
        }
        levels.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(Filter { debug: AtomicBool::new(debug), levels })
    }

    pub(crate) fn allows(&self, target: &str, level: tracing::Level) -> bool {
        if target == crate::context::TARGET {
            return true;
        }
        LevelFilter::from_level(level) <= self.level_of(target)
    }

    /// The most that any logger may say.
    pub(crate) fn most(&self) -> LevelFilter {
        self.levels.iter().map(|(_, level)| *level).fold(self.root(), LevelFilter::max).max(LevelFilter::INFO)
    }

    pub(crate) fn set_debug(&self, on: bool) {
        self.debug.store(on, Ordering::Relaxed);
    }

    fn root(&self) -> LevelFilter {
        if self.debug.load(Ordering::Relaxed) { LevelFilter::DEBUG } else { LevelFilter::INFO }
    }

    fn level_of(&self, target: &str) -> LevelFilter {
        self.levels.iter().find(|(name, _)| is_within(target, name)).map_or(self.root(), |(_, level)| *level)
    }
}

/// Whether a target is the logger `name` or below it; compares without making a dotted copy of the target.
fn is_within(target: &str, name: &str) -> bool {
    let mut rest = target;
    let mut parts = name.split('.');
    loop {
        let Some(part) = parts.next() else { return true };
        let Some(after) = rest.strip_prefix(part) else { return false };
        rest = match after.strip_prefix("::").or_else(|| after.strip_prefix('.')) {
            Some(below) => below,
            None => return after.is_empty() && parts.next().is_none(),
        };
    }
}

fn dotted(name: &str) -> String {
    name.replace("::", ".")
}

fn parse(level: &str) -> Option<LevelFilter> {
    Some(match level.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" | "CRITICAL" | "FATAL" => LevelFilter::ERROR,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn the_longest_name_decides() {
        let pairs = ["hyper=WARN", "oslo.messaging=DEBUG", "hyper::client = ERROR", ""].map(str::to_owned);
        let filter = Filter::new(false, &pairs).unwrap();
        assert!(filter.allows("svc::jobs", Level::INFO) && !filter.allows("svc::jobs", Level::DEBUG));
        assert!(!filter.allows("hyper", Level::INFO) && !filter.allows("hyper::server", Level::INFO));
        assert!(filter.allows("hyper_util::x", Level::INFO), "only whole parts of a name match");
        assert!(
            !filter.allows("hyper::client::pool", Level::WARN) && filter.allows("hyper.server", Level::WARN)
        );
        assert!(filter.allows("oslo::messaging::rpc", Level::DEBUG) && !filter.allows("oslo", Level::DEBUG));
        assert_eq!(filter.most(), LevelFilter::DEBUG);
        filter.set_debug(true);
        assert!(filter.allows("svc", Level::DEBUG) && !filter.allows("svc", Level::TRACE));
        assert!(!filter.allows("hyper", Level::INFO), "debug does not change what has a level of its own");
        assert_eq!(Filter::new(false, &["x".to_owned()]).err().as_deref(), Some("x"));
        assert_eq!(Filter::new(false, &["x=LOUD".to_owned()]).err().as_deref(), Some("x=LOUD"));
    }
}
