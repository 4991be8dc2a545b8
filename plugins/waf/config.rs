//! The words of the `waf` kind.

use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, RelPath};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::list::OneOrMany;
use farmgate_plugin_api::units::{Duration, Size};
use farmgate_plugin_api::{OverLimit, Services};
use farmgate_waf::plan::PlanOptions;
use farmgate_waf::seclang::EngineMode;
use farmgate_waf::transaction::Limits;
use serde::Deserialize;

use super::audit::Audit;
use super::exclude::ExcludeConfig;
use super::filter::WafFilter;
use super::metrics::Metrics;
use super::redact::Redaction;
use super::rules;

const INSPECT: Size = Size::kib(128);
const UPLOAD: Size = Size::mib(100);
const RESPONSE_INSPECT: Size = Size::kib(512);
/// Most bytes that rules may look at: a body of this size costs seconds at the worst.
const MOST_INSPECT: Size = Size::mib(64);
const MOST_UPLOAD: Size = Size::mib(10 * 1024);
const BUDGET: Duration = Duration::from_millis(50);
const MOST_BUDGET: Duration = Duration::from_secs(10);
const MOST_SCORE: u32 = 100_000;
pub(super) const MOST_EXCLUSIONS: usize = 1000;
const MOST_PATTERNS: usize = 1000;

/// The table of a `waf` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WafConfig {
    engine: Engine,
    rules: Located<Vec<Located<RelPath>>>,
    paranoia: Option<Located<u8>>,
    detection_paranoia: Option<Located<u8>>,
    #[serde(default)]
    anomaly: AnomalyConfig,
    #[serde(default)]
    request_body: RequestBodyConfig,
    #[serde(default)]
    response_body: ResponseBodyConfig,
    cpu_budget: Option<Located<Duration>>,
    #[serde(default)]
    over_budget: OverBudget,
    audit_log: Option<Located<RelPath>>,
    #[serde(default)]
    exclude: Vec<Located<ExcludeConfig>>,
    #[serde(default)]
    redact: RedactConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Engine {
    On,
    DetectionOnly,
    Off,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnomalyConfig {
    inbound: Option<Located<u32>>,
    outbound: Option<Located<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBodyConfig {
    inspect: Option<Located<Size>>,
    upload: Option<Located<Size>>,
    #[serde(default)]
    over_limit: OverRequest,
    #[serde(default)]
    compressed: Compressed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseBodyConfig {
    inspect: Option<Located<Size>>,
    #[serde(default)]
    over_limit: OverResponse,
    #[serde(default)]
    hold: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedactConfig {
    #[serde(default)]
    names: OneOrMany<String>,
    #[serde(default = "yes")]
    defaults: bool,
}

impl Default for RedactConfig {
    fn default() -> Self {
        Self {
            names: OneOrMany::default(),
            defaults: true,
        }
    }
}

fn yes() -> bool {
    true
}

/// What happens to a request body over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OverRequest {
    /// 413.
    #[default]
    Reject,
    /// What follows is not seen.
    Partial,
}

/// What happens to a response body over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OverResponse {
    /// The rest is not seen.
    #[default]
    Partial,
    /// The response is refused.
    Reject,
}

/// What happens to a compressed request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Compressed {
    /// It is decoded for the rules.
    #[default]
    Inspect,
    /// 415.
    Refuse,
}

/// What happens to a request whose budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OverBudget {
    /// 503.
    #[default]
    Block,
    /// It goes on, the rest unseen.
    Pass,
}

/// What is done with bodies, as the filter needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bodies {
    pub(super) inspect: u64,
    pub(super) upload: u64,
    pub(super) over_request: OverRequest,
    pub(super) compressed: Compressed,
    pub(super) response: u64,
    pub(super) over_response: OverResponse,
    pub(super) hold: bool,
}

impl Bodies {
    /// What the host does with a longer request body.
    pub(super) fn over(&self) -> OverLimit {
        match self.over_request {
            OverRequest::Reject => OverLimit::Refuse,
            OverRequest::Partial => OverLimit::Partial,
        }
    }
}

impl WafConfig {
    /// Checks what the words mean together, and loads the rules.
    pub(super) fn compile(
        self,
        name: &str,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<WafFilter> {
        let before = diagnostics.error_count();
        let options = self.options(diagnostics);
        let bodies = self.bodies(diagnostics);
        let budget = within(
            self.cpu_budget.as_ref(),
            BUDGET,
            (Duration::from_millis(1), MOST_BUDGET),
            "cpu_budget",
            diagnostics,
        );
        let count = self.rules.value.len();
        if count == 0 || count > MOST_PATTERNS {
            let text = format!("rules holds {count} patterns; 1 to {MOST_PATTERNS} are possible");
            let error = Diagnostic::error(codes::VALUE, &self.rules.place, text);
            diagnostics
                .push(error.with_help("rules = [\"crs/crs-setup.conf\", \"crs/rules/*.conf\"]"));
        }
        if self.exclude.len() > MOST_EXCLUSIONS
            && let Some(one) = self.exclude.get(MOST_EXCLUSIONS)
        {
            let text = format!("exclude holds more than {MOST_EXCLUSIONS} exclusions");
            diagnostics.error(codes::VALUE, &one.place, text);
        }
        let exclusions: Vec<_> = self
            .exclude
            .iter()
            .filter_map(|config| config.value.compile(&config.place, diagnostics))
            .collect();
        let redaction = Arc::new(Redaction::new(&self.redact.names.0, self.redact.defaults));
        let audit =
            self.audit_log
                .as_ref()
                .and_then(|path| match services.log_writer(path.value.path()) {
                    Ok(writer) => Some(Audit::new(name, writer, Arc::clone(&redaction))),
                    Err(why) => {
                        let text = format!("{} {why}", path.value);
                        diagnostics.error(codes::FILE, &path.place, text);
                        None
                    }
                });
        if diagnostics.error_count() > before {
            return None;
        }
        let mode = match self.engine {
            Engine::On => EngineMode::On,
            Engine::DetectionOnly => EngineMode::DetectionOnly,
            Engine::Off => EngineMode::Off,
        };
        let current = match mode {
            // Off costs nothing: not even the memory of rules.
            EngineMode::Off => None,
            EngineMode::On | EngineMode::DetectionOnly => {
                let wanted = rules::Wanted::new(&self.rules.value, options, exclusions);
                Some(rules::load(
                    wanted,
                    &self.rules.place,
                    services,
                    diagnostics,
                )?)
            }
        };
        Some(WafFilter {
            mode,
            limits: Limits {
                work: rules::units(budget.get()),
                inspect: bodies.inspect,
                response: bodies.response,
                ..Limits::default()
            },
            bodies,
            over_budget: self.over_budget,
            current,
            audit,
            redaction,
            metrics: Metrics::new(services),
            clock: services.clock(),
            offload: services.offloader(),
        })
    }

    fn options(&self, diagnostics: &mut Diagnostics) -> PlanOptions {
        for level in [&self.paranoia, &self.detection_paranoia]
            .into_iter()
            .flatten()
        {
            if !(1..=4).contains(&level.value) {
                diagnostics.error(
                    codes::VALUE,
                    &level.place,
                    "a paranoia level is from 1 to 4",
                );
            }
        }
        if let Some(detection) = &self.detection_paranoia {
            let blocking = self.paranoia.as_ref().map_or(1, |level| level.value);
            if detection.value < blocking {
                let text = format!("detection_paranoia is below paranoia, which is {blocking}");
                let error = Diagnostic::error(codes::OPTIONS, &detection.place, text);
                diagnostics.push(error.with_help("rules that block are rules that report"));
            }
        }
        let anomaly = &self.anomaly;
        for score in [&anomaly.inbound, &anomaly.outbound].into_iter().flatten() {
            if !(1..=MOST_SCORE).contains(&score.value) {
                let text = format!("a threshold is from 1 to {MOST_SCORE}");
                diagnostics.error(codes::VALUE, &score.place, text);
            }
        }
        PlanOptions {
            paranoia: self.paranoia.as_ref().map(|level| level.value),
            detection_paranoia: self.detection_paranoia.as_ref().map(|level| level.value),
            inbound: anomaly.inbound.as_ref().map(|score| score.value),
            outbound: anomaly.outbound.as_ref().map(|score| score.value),
        }
    }

    fn bodies(&self, diagnostics: &mut Diagnostics) -> Bodies {
        let (request, response) = (&self.request_body, &self.response_body);
        let none = Size::from_bytes(0);
        let inspected = (none, MOST_INSPECT);
        let inspect = within(
            request.inspect.as_ref(),
            INSPECT,
            inspected,
            "inspect",
            diagnostics,
        );
        let upload = within(
            request.upload.as_ref(),
            UPLOAD.max(inspect),
            (none, MOST_UPLOAD),
            "upload",
            diagnostics,
        );
        if let Some(written) = &request.upload
            && upload < inspect
        {
            let text = format!("upload is below inspect, which is {inspect}");
            let error = Diagnostic::error(codes::OPTIONS, &written.place, text);
            diagnostics.push(
                error.with_help(
                    "upload bounds a whole multipart body, inspect what rules see of it",
                ),
            );
        }
        let seen = within(
            response.inspect.as_ref(),
            RESPONSE_INSPECT,
            inspected,
            "inspect",
            diagnostics,
        );
        Bodies {
            inspect: inspect.bytes(),
            upload: upload.bytes(),
            over_request: request.over_limit,
            compressed: request.compressed,
            response: seen.bytes(),
            over_response: response.over_limit,
            hold: response.hold,
        }
    }
}

/// A value within its range, or an error at its place.
fn within<T: Copy + PartialOrd + std::fmt::Display>(
    written: Option<&Located<T>>,
    default: T,
    (least, most): (T, T),
    word: &str,
    diagnostics: &mut Diagnostics,
) -> T {
    let Some(written) = written else {
        return default;
    };
    if written.value < least || written.value > most {
        let text = format!("{word} is from {least} to {most}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    written.value
}
