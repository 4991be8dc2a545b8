//! `[server.overload]`: from where on the node has too much to do.

use std::time::Duration;

use farmgate_plugin_api::decode::{Diagnostics, Located};
use farmgate_plugin_api::units::Ratio;

use super::codes;
use crate::config::words::OverloadConfig;

/// The usual limit of the lag.
pub const LAG: Duration = Duration::from_millis(400);
/// The least limit of the lag: the clock of the runtime goes by milliseconds.
pub const LEAST_LAG: Duration = Duration::from_millis(1);
/// The longest: a node whose tasks wait longer answers nobody in time.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// From where on the node is overloaded. `None` turns a resource off: it is measured and sheds nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct OverloadLimits {
    /// Share of the CPUs the process may use, above 0 up to 1.
    pub cpu: Option<f32>,
    /// Share of the memory it may use, above 0 up to 1.
    pub memory: Option<f32>,
    /// Share of the descriptors it may open, above 0 up to 1.
    pub open_files: Option<f32>,
    /// How late a task may run, on the mean; 1 ms to 60 s.
    pub loop_lag: Option<Duration>,
}

impl Default for OverloadLimits {
    fn default() -> Self {
        compile(&OverloadConfig::default(), &mut Diagnostics::default())
    }
}

/// From the words; shares and times of nothing are off.
pub(super) fn compile(words: &OverloadConfig, diagnostics: &mut Diagnostics) -> OverloadLimits {
    #[expect(clippy::cast_possible_truncation, reason = "a share needs no more")]
    let share = |words: &Located<Ratio>| match words.value.share() as f32 {
        0.0 => None,
        share => Some(share),
    };
    let lag = words.loop_lag.value.get();
    if !lag.is_zero() && !(LEAST_LAG..=LONGEST_LAG).contains(&lag) {
        let text = "loop_lag is 1ms to 1m, or 0s for no limit";
        diagnostics.error(codes::OVERLOAD_LAG, &words.loop_lag.place, text);
    }
    OverloadLimits {
        cpu: share(&words.cpu),
        memory: share(&words.memory),
        open_files: share(&words.open_files),
        loop_lag: (!lag.is_zero()).then_some(lag),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, OverloadLimits};

    #[test]
    fn the_usual_limits() {
        let usual = OverloadLimits {
            cpu: Some(0.95),
            memory: Some(0.9),
            open_files: Some(0.9),
            loop_lag: Some(Duration::from_millis(400)),
        };
        assert_eq!(OverloadLimits::default(), usual);
    }
}
