//! The tiers of a configuration: what holds for everybody, joined with what holds for each plan.

use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::services::Kept;
use farmgate_plugin_api::{Services, Source};
use http::{HeaderValue, header};

use super::config::{GateConfig, LimitConfig, RateLimitConfig};
use super::fields::{policy, quoted};
use super::gcra::Pace;
use super::in_flight::{InFlight, MAX_GATES};
use super::store::Store;
use super::tier::{Gate, Limit, MAX_LIMITS, Tier, Tiers};

const MOST_PLANS: usize = 64;
const MOST_PLAN_NAME: usize = 64;
const MOST_IN_FLIGHT: u32 = 1_000_000;

/// Rates and gates as they were written, with their items of `RateLimit-Policy`.
#[derive(Clone, Default)]
struct Draft {
    limits: Vec<(Limit, String)>,
    gates: Vec<Gate>,
}

/// Compiles all tiers, and finds the stores of earlier configurations again.
pub(super) fn compile_tiers(
    config: &RateLimitConfig,
    max_keys: usize,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Tiers> {
    let mut compiler = Compiler {
        max_keys,
        services,
        diagnostics,
    };
    let mut common = Draft::default();
    compiler.add("", &config.limits, &config.concurrency, &mut common)?;
    compiler.check(&common, &config.limits.place, &config.concurrency.place);
    if config.plans.len() > MOST_PLANS
        && let Some(last) = config.plans.values().last()
    {
        let text = format!(
            "there are {} plans; {MOST_PLANS} are possible",
            config.plans.len()
        );
        compiler.diagnostics.error(codes::VALUE, &last.place, text);
    }
    let mut tiers = Tiers {
        other: common.clone().finish(config.headers),
        plans: Default::default(),
    };
    for (name, plan) in &config.plans {
        compiler.check_name(name, &plan.place);
        let mut draft = common.clone();
        compiler.add(
            &format!("{name}/"),
            &plan.limits,
            &plan.concurrency,
            &mut draft,
        )?;
        compiler.check(&draft, &plan.place, &plan.place);
        let tier = draft.finish(config.headers);
        tiers.plans.insert(name.as_str().into(), tier);
    }
    if let Some(default) = &config.default_plan {
        match tiers.plans.get(default.as_str()) {
            Some(tier) => tiers.other = tier.clone(),
            None => {
                let text = format!("there is no plan `{}`", default.value);
                let names: Vec<&str> = config.plans.keys().map(String::as_str).collect();
                let error = Diagnostic::error(codes::VALUE, &default.place, text);
                let help = match names.is_empty() {
                    true => "write it into plans".to_owned(),
                    false => format!("plans has {}", names.join(", ")),
                };
                compiler.diagnostics.push(error.with_help(help));
            }
        }
    }
    Some(tiers)
}

struct Compiler<'c> {
    max_keys: usize,
    services: &'c dyn Services,
    diagnostics: &'c mut Diagnostics,
}

impl Compiler<'_> {
    /// Adds limits to a tier; their names begin with `prefix`. None when the host lends no state.
    fn add(
        &mut self,
        prefix: &str,
        limits: &[Located<LimitConfig>],
        gates: &[Located<GateConfig>],
        draft: &mut Draft,
    ) -> Option<()> {
        let own = draft.limits.len();
        for config in limits {
            self.check_reveal(config);
            let Some(pace) = self.pace(config) else {
                continue;
            };
            let key = &config.key.value;
            let before = draft.limits.iter().skip(own);
            let same = before.filter(|(limit, _)| limit.source == *key).count();
            let name = numbered(format!("{prefix}{key}"), same);
            let quoted = quoted(&name);
            let policy = policy(&quoted, config.rate, per_ns(config));
            let limit = Limit {
                store: self.store(&name, key)?,
                source: key.clone(),
                name: name.into(),
                quoted: quoted.into(),
                reveal: config.reveal,
                pace,
            };
            draft.limits.push((limit, policy));
        }
        let own = draft.gates.len();
        for config in gates {
            let most = config.most.value;
            if !(1..=MOST_IN_FLIGHT).contains(&most) {
                let text = format!("most is from 1 to {MOST_IN_FLIGHT}");
                self.diagnostics
                    .error(codes::VALUE, &config.most.place, text);
            }
            let key = &config.key;
            let before = draft.gates.iter().skip(own);
            let same = before.filter(|gate| gate.source == *key).count();
            let name = numbered(format!("in_flight:{prefix}{key}"), same);
            draft.gates.push(Gate {
                table: self.table(&name, key)?,
                source: key.clone(),
                name: name.into(),
                most,
            });
        }
        Some(())
    }

    fn check(&mut self, draft: &Draft, limits: &Place, gates: &Place) {
        for (what, place, have, most) in [
            ("limits", limits, draft.limits.len(), MAX_LIMITS),
            ("concurrency limits", gates, draft.gates.len(), MAX_GATES),
        ] {
            if have > most {
                let text = format!("a request meets {have} {what} here; 1 to {most} are possible");
                let error = Diagnostic::error(codes::VALUE, place, text);
                self.diagnostics
                    .push(error.with_help("a second plugin can hold more of them"));
            }
        }
    }

    fn check_name(&mut self, name: &str, place: &Place) {
        let legal = |c: char| matches!(c, ' '..='~') && !matches!(c, '/' | ':' | '"' | '\\');
        if name.is_empty() || name.len() > MOST_PLAN_NAME || !name.chars().all(legal) {
            let text = "this cannot be the name of a plan";
            let error = Diagnostic::error(codes::VALUE, place, text);
            let help = "use 1 to 64 printable ASCII characters, and none of / : \" \\";
            self.diagnostics.push(error.with_help(help));
        }
    }

    fn check_reveal(&mut self, config: &LimitConfig) {
        let Source::Header(name) = &config.key.value else {
            return;
        };
        let secret = [
            header::AUTHORIZATION,
            header::PROXY_AUTHORIZATION,
            header::COOKIE,
        ];
        if config.reveal && secret.contains(name) {
            let text = format!("`{name}` is a credential and is never shown");
            let error = Diagnostic::error(codes::VALUE, &config.key.place, text);
            self.diagnostics.push(error.with_help("leave out reveal"));
        }
    }

    fn pace(&mut self, config: &Located<LimitConfig>) -> Option<Pace> {
        let burst = config.burst.unwrap_or(config.rate);
        let pace = Pace::new(config.rate, per_ns(config), burst);
        if pace.is_none() {
            let text = "this limit is impossible: rate, per and burst are above 0, and a burst \
                        refills within 400 days";
            self.diagnostics.error(codes::VALUE, &config.place, text);
        }
        pace
    }

    /// Keys that state for this source must hold.
    fn keys(&self, source: &Source) -> usize {
        match source {
            Source::Global => 1,
            _ => self.max_keys,
        }
    }

    /// The store of this limit: the one that an earlier configuration made, or a new one.
    fn store(&self, name: &str, source: &Source) -> Option<Arc<Store>> {
        let keys = self.keys(source);
        let mut make = || Arc::new(Store::new(self.services.clock(), keys)) as Arc<dyn Kept>;
        self.services.kept(name, &mut make).downcast().ok()
    }

    fn table(&self, name: &str, source: &Source) -> Option<Arc<InFlight>> {
        let keys = self.keys(source);
        let mut make = || Arc::new(InFlight::new(keys)) as Arc<_>;
        self.services.shared(name, &mut make).downcast().ok()
    }
}

impl Draft {
    fn finish(mut self, headers: bool) -> Tier {
        let items: Vec<String> = self.limits.iter().map(|(_, item)| item.clone()).collect();
        self.limits.sort_by_key(|(limit, _)| limit.store.id());
        self.gates.sort_by_key(|gate| gate.table.id());
        let policy = HeaderValue::from_maybe_shared(Bytes::from(items.join(", ")));
        Tier {
            policy: policy.ok().filter(|_| headers && !items.is_empty()),
            limits: self.limits.into_iter().map(|(limit, _)| limit).collect(),
            gates: self.gates.into(),
        }
    }
}

/// A second limit on the same key is another limit with another state.
fn numbered(name: String, same: usize) -> String {
    match same {
        0 => name,
        others => format!("{name}#{}", others + 1),
    }
}

fn per_ns(config: &LimitConfig) -> u64 {
    config.per.as_ms().saturating_mul(1_000_000)
}
