//! The rules: read and compiled off the worker threads, shared by all instances that name the same
//! files, and replaced as one when a file changes.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, RelPath};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::services::{Files as HostFiles, Gauge};
use farmgate_waf::plan::{Plan, PlanOptions, PreparedExclusion, RuleSet};
use farmgate_waf::seclang::files::{glob_matches, is_pattern};
use farmgate_waf::seclang::{Files, Problem, Source};
use parking_lot::Mutex;

use super::exclude::{Excluded, Scope};

/// Most bytes of one file: country databases have about 10 MiB, city databases 70.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Files that one pattern may stand for.
const MAX_EXPANDED: usize = 10_000;
/// Problems of a version that are logged; `farmgate check` lists all.
const LOGGED: usize = 5;

/// What an instance is to run.
pub(super) struct Wanted {
    sources: Vec<Source>,
    options: PlanOptions,
    exclusions: Vec<Excluded>,
}

impl Wanted {
    pub(super) fn new(
        rules: &[Located<RelPath>],
        options: PlanOptions,
        exclusions: Vec<Excluded>,
    ) -> Self {
        let pattern = |rule: &Located<RelPath>| {
            let path = rule.value.path().to_string_lossy();
            Source::Pattern(path.into_owned())
        };
        Self {
            sources: rules.iter().map(pattern).collect(),
            options,
            exclusions,
        }
    }
}

/// The rules in force of an instance.
pub(super) struct Loaded {
    pub(super) plan: Arc<Plan>,
    exclusions: Vec<(Scope, PreparedExclusion)>,
    /// Keeps them to be found by other instances.
    _shared: Arc<Shared>,
}

impl Loaded {
    /// The exclusions that hold on this path of this route.
    pub(super) fn exclusions(
        &self,
        path: &str,
        route: &str,
    ) -> impl Iterator<Item = &PreparedExclusion> {
        let holds = move |(scope, _): &&(Scope, PreparedExclusion)| scope.holds(path, route);
        self.exclusions
            .iter()
            .filter(holds)
            .map(|(_, exclusion)| exclusion)
    }
}

/// Where the rules in force hang.
pub(super) type Current = Arc<ArcSwapOption<Loaded>>;

/// Loads the rules now, and again when their files change.
pub(super) fn load(
    wanted: Wanted,
    place: &Place,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Current> {
    let current: Current = Arc::default();
    let told: Arc<Mutex<Option<Told>>> = Arc::new(Mutex::new(Some(Told::default())));
    let (held, telling) = (Arc::clone(&current), Arc::clone(&told));
    let rules = services.gauge("rules", "Rules in force.");
    let load = Box::new(move |files: &dyn HostFiles| {
        let mut new = Told::default();
        let loaded = make(&wanted, files, &mut new);
        let summary = new.summary();
        // Only the first run has somebody to tell.
        if let Some(told) = telling.lock().as_mut() {
            *told = new;
        }
        let loaded = loaded.ok_or(summary)?;
        count_rules(&*rules, &loaded);
        held.store(Some(Arc::new(loaded)));
        Ok(())
    });
    let result = services.watch_files(load);
    if let Some(told) = told.lock().take() {
        if let (Err(why), true) = (&result, told.errors.is_empty()) {
            diagnostics.error(codes::FILE, place, why.clone());
        }
        told.tell(place, diagnostics);
    }
    result.is_ok().then_some(current)
}

fn count_rules(gauge: &dyn Gauge, loaded: &Loaded) {
    let count = loaded.plan.rule_set().rules().count();
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// What is said of the rules.
#[derive(Default)]
struct Told {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Of exclusions, at their places in the configuration.
    exclusions: Vec<(Place, bool, String)>,
}

impl Told {
    fn summary(&self) -> String {
        let lines = self.errors.iter().take(LOGGED).map(Problem::to_string);
        let wrong = self.exclusions.iter().filter(|(_, error, _)| *error);
        let lines = lines.chain(wrong.map(|(place, _, text)| format!("{place}: {text}")));
        let lines: Vec<_> = lines.take(LOGGED).collect();
        let more = self.errors.len().saturating_sub(LOGGED);
        let tail = if more > 0 {
            format!("\n{more} more")
        } else {
            String::new()
        };
        format!("the rules cannot be used: {}{tail}", lines.join("\n"))
    }

    fn tell(self, place: &Place, diagnostics: &mut Diagnostics) {
        let at = |problem: &Problem| match &problem.place {
            Some(place) => Place {
                file: Arc::clone(&place.file),
                line: place.line,
                column: 1,
            },
            None => place.clone(),
        };
        for (problems, error) in [(&self.errors, true), (&self.warnings, false)] {
            for problem in problems {
                let make = if error {
                    Diagnostic::error
                } else {
                    Diagnostic::warning
                };
                let diagnostic = make(codes::FILE, &at(problem), problem.message.clone());
                diagnostics.push(match &problem.help {
                    Some(help) if !help.is_empty() => diagnostic.with_help(help.clone()),
                    _ => diagnostic,
                });
            }
        }
        for (place, error, text) in self.exclusions {
            if error {
                diagnostics.error(codes::VALUE, &place, text);
            } else {
                diagnostics.warning(codes::IDLE, &place, text);
            }
        }
    }
}

fn make(wanted: &Wanted, files: &dyn HostFiles, told: &mut Told) -> Option<Loaded> {
    let files = Noting {
        files,
        notes: RefCell::default(),
    };
    let shared = match share(&wanted.sources, &files) {
        Ok((shared, warnings)) => {
            told.warnings = warnings;
            shared
        }
        Err(errors) => {
            told.errors = errors;
            return None;
        }
    };
    let (plan, warnings) = shared.plan(&wanted.options);
    told.warnings.extend(warnings);
    let mut exclusions = Vec::new();
    for excluded in &wanted.exclusions {
        match shared.rules.exclusion(&excluded.exclusion) {
            Ok(prepared) => {
                if prepared.rules() == 0 {
                    let text = format!("no rule is {excluded}: nothing is excluded");
                    told.exclusions.push((excluded.place.clone(), false, text));
                } else if plan.has_done(&prepared) {
                    let text = format!(
                        "{excluded}: this is done when the rules are loaded, before any request, and cannot be \
                         excluded here; put SecRuleRemoveById into a rule file"
                    );
                    told.exclusions.push((excluded.place.clone(), false, text));
                }
                exclusions.push((excluded.scope.clone(), prepared));
            }
            Err(why) => told.exclusions.push((excluded.place.clone(), true, why)),
        }
    }
    if told.exclusions.iter().any(|(_, error, _)| *error) {
        return None;
    }
    Some(Loaded {
        plan,
        exclusions,
        _shared: shared,
    })
}

/// Rules that instances share, and what they were made of.
struct Shared {
    sources: Vec<Source>,
    notes: Notes,
    rules: Arc<RuleSet>,
    warnings: Vec<Problem>,
    plans: Mutex<Vec<(PlanOptions, Weak<Plan>)>>,
}

impl Shared {
    /// The plan of these options, made once.
    fn plan(&self, options: &PlanOptions) -> (Arc<Plan>, Vec<Problem>) {
        let mut plans = self.plans.lock();
        plans.retain(|(_, plan)| plan.strong_count() > 0);
        let known = plans.iter().find(|(known, _)| known == options);
        if let Some(plan) = known.and_then(|(_, plan)| plan.upgrade()) {
            // The one who had it made was told.
            return (plan, Vec::new());
        }
        let (plan, warnings) = Plan::compile(&self.rules, options);
        plans.push((options.clone(), Arc::downgrade(&plan)));
        (plan, warnings)
    }
}

/// All rule sets in use. It keeps none alive, so it is bounded by what is configured.
static SHARED: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn share(
    sources: &[Source],
    files: &Noting<'_>,
) -> Result<(Arc<Shared>, Vec<Problem>), Vec<Problem>> {
    let known: Vec<Arc<Shared>> = {
        let mut all = SHARED.lock();
        all.retain(|one| one.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    };
    for shared in known {
        if shared.sources == sources && files.finds_again(&shared.notes) {
            let warnings = shared.warnings.clone();
            return Ok((shared, warnings));
        }
    }
    files.notes.take();
    let (rules, warnings) = RuleSet::load(sources, files)?;
    let shared = Arc::new(Shared {
        sources: sources.to_vec(),
        notes: files.notes.take(),
        rules,
        warnings: warnings.clone(),
        plans: Mutex::default(),
    });
    SHARED.lock().push(Arc::downgrade(&shared));
    Ok((shared, warnings))
}

/// What was read, and what it was.
#[derive(Default)]
struct Notes {
    files: Vec<(PathBuf, u64)>,
    patterns: Vec<(PathBuf, u64)>,
}

/// The host's files as the engine sees them.
struct Noting<'a> {
    files: &'a dyn HostFiles,
    notes: RefCell<Notes>,
}

impl Noting<'_> {
    /// True if reading again gives what it gave then.
    fn finds_again(&self, notes: &Notes) -> bool {
        let patterns = notes.patterns.iter();
        let files = notes.files.iter();
        patterns
            .map(|(pattern, hash)| HASHER.hash_one(self.find(pattern)) == *hash)
            .chain(files.map(|(path, hash)| {
                HASHER.hash_one(self.files.read(path, MAX_FILE_BYTES)) == *hash
            }))
            .all(|same| same)
    }

    fn find(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let mut found = vec![PathBuf::new()];
        for part in pattern.components() {
            let name = part.as_os_str().as_encoded_bytes();
            let mut next = Vec::new();
            for folder in found {
                if !is_pattern(name) {
                    next.push(folder.join(part));
                    continue;
                }
                // What cannot be listed holds nothing; that no file is found is reported.
                for entry in self.files.list(&folder).unwrap_or_default() {
                    if glob_matches(name, entry.as_os_str().as_encoded_bytes()) {
                        next.push(folder.join(entry));
                    }
                }
                if next.len() > MAX_EXPANDED {
                    return Err(format!("stands for more than {MAX_EXPANDED} files"));
                }
            }
            found = next;
        }
        found.sort();
        Ok(found)
    }
}

impl Files for Noting<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let content = self.files.read(path, MAX_FILE_BYTES);
        let hash = HASHER.hash_one(&content);
        self.notes.borrow_mut().files.push((path.to_owned(), hash));
        content
    }

    fn expand(&self, pattern: &str, beside: Option<&Path>) -> Result<Vec<PathBuf>, String> {
        let full = beside.map_or_else(|| PathBuf::from(pattern), |folder| folder.join(pattern));
        let found = self.find(&full);
        let hash = HASHER.hash_one(&found);
        self.notes.borrow_mut().patterns.push((full, hash));
        found
    }
}

/// Work that takes so long on an idle core of this machine.
pub(super) fn units(time: Duration) -> u64 {
    let per_ms = u128::from(units_per_ms());
    let units = time.as_micros() * per_ms / 1000;
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// Seconds that so much work takes on an idle core of this machine.
pub(super) fn seconds(units: u64) -> f64 {
    units as f64 / (units_per_ms() as f64 * 1000.0)
}

/// A machine slower than this has more to do than to serve: 20 ns for a unit, which is meant to be one.
const LEAST_UNITS_PER_MS: u64 = 50_000;

/// Measured once, in 5 to 10 ms of one processor.
fn units_per_ms() -> u64 {
    static MEASURED: OnceLock<u64> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let per_us = farmgate_waf::work::calibrate();
        ((per_us * 1000.0) as u64).max(LEAST_UNITS_PER_MS)
    })
}

/// How many rule sets of this file are in use.
#[cfg(test)]
pub(super) fn in_use(file: &str) -> usize {
    let all = SHARED.lock();
    let named = Source::Pattern(file.to_owned());
    all.iter()
        .filter_map(Weak::upgrade)
        .filter(|one| one.sources.contains(&named))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_measured_and_turned_into_time() {
        let unit = units(Duration::from_millis(50));
        assert!(unit >= 50 * LEAST_UNITS_PER_MS);
        assert!((seconds(unit) - 0.05).abs() < 0.001);
        println!("units per ms: {}", units_per_ms());
    }
}
