//! Plugins: named ones once, inline ones where they stand, all into chains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farmgate_plugin_api::Credential;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, Table, did_you_mean};
use farmgate_plugin_api::{Fail, Kind, Phases};
use http::HeaderName;

use super::{World, codes, unknown};
use crate::config::words::{Config, PluginEntry};
use crate::snapshot::chain::Link;
use crate::snapshot::when::When;
use crate::snapshot::{Chain, Instance};
use crate::telemetry::credentials::Credentials;

/// One evaluation for a request that has nothing it may lack: what has no answer then probably was not meant.
fn trial(when: &When, plugin: &str, place: &Place, diagnostics: &mut Diagnostics) {
    let Err(fault) = when.trial() else { return };
    let message = format!(
        "for a request without such a value {fault}: that counts as `fail` of plugin {plugin:?}"
    );
    diagnostics.push(
        Diagnostic::warning(codes::PLUGIN_TRIAL, place, message)
            .with_help("ask first: has(request.headers[\"x\"]) && int(request.headers[\"x\"]) > 3"),
    );
}

/// Where a chain stands.
#[derive(Clone, Copy)]
pub(super) enum Spot<'a> {
    /// On a listener.
    Listener(&'a str),
    /// On a route, or in the defaults as part of it.
    Route(&'a str),
}

/// A list of entries as written.
pub(super) type Entries = [Located<PluginEntry>];

/// All instances of a configuration in the making.
pub(super) struct Plugins<'a> {
    kinds: BTreeMap<&'static str, &'static dyn Kind>,
    named: BTreeMap<Arc<str>, Arc<Instance>>,
    /// Says which names were written: no second message about a plugin that could not be built.
    config: &'a Config,
    used: BTreeSet<Arc<str>>,
    /// The defaults' inline instances, built once for all routes.
    defaults: Vec<Link>,
    next_id: u16,
    upstreams: Arc<[Arc<str>]>,
    identity: Vec<HeaderName>,
    /// Upstreams that plugins ask by themselves.
    asked: BTreeSet<Box<str>>,
    credentials: Credentials,
}

impl<'a> Plugins<'a> {
    /// Builds the named ones.
    pub(super) fn build(
        config: &'a Config,
        world: &dyn World,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut plugins = Self {
            kinds: farmgate_plugins::kinds()
                .iter()
                .map(|kind| (kind.name(), *kind))
                .collect(),
            named: BTreeMap::new(),
            config,
            used: BTreeSet::new(),
            defaults: Vec::new(),
            next_id: 0,
            upstreams: config
                .upstreams
                .iter()
                .map(|upstream| Arc::from(upstream.name.value.as_str()))
                .collect(),
            identity: Vec::new(),
            asked: BTreeSet::new(),
            credentials: Credentials::default(),
        };
        #[cfg(debug_assertions)]
        if super::probe::is_on() {
            plugins.kinds.insert("probe", &super::probe::Probe);
        }
        for words in &config.plugins {
            let name: Arc<str> = words.name.value.as_str().into();
            let built = plugins.instance(
                &name,
                &words.kind,
                words.fail,
                &words.table,
                world,
                diagnostics,
            );
            if let Some(instance) = built {
                plugins.named.insert(name, instance);
            }
        }
        plugins.defaults = plugins.links(
            Spot::Route("defaults"),
            &config.defaults.plugins,
            world,
            diagnostics,
        );
        plugins
    }

    /// The chain of a place: the lists in order.
    pub(super) fn chain(
        &mut self,
        spot: Spot<'_>,
        lists: &[&Entries],
        world: &dyn World,
        diagnostics: &mut Diagnostics,
    ) -> Chain {
        let mut links = Vec::new();
        for list in lists {
            links.extend(self.links(spot, list, world, diagnostics));
        }
        Chain::new(links)
    }

    /// The chain of a route: the defaults, unless it leaves them out, then its own.
    pub(super) fn route_chain(
        &mut self,
        route: &str,
        with_defaults: bool,
        own: &Entries,
        world: &dyn World,
        diagnostics: &mut Diagnostics,
    ) -> Chain {
        let mut links = if with_defaults {
            self.defaults.clone()
        } else {
            Vec::new()
        };
        links.extend(self.links(Spot::Route(route), own, world, diagnostics));
        Chain::new(links)
    }

    fn links(
        &mut self,
        spot: Spot<'_>,
        entries: &Entries,
        world: &dyn World,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Link> {
        let mut links = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let (instance, when) = match &entry.value {
                PluginEntry::Named { name, when } => (self.find(name, diagnostics), when.as_ref()),
                PluginEntry::Inline { kind, fail, table } => {
                    let owner = match spot {
                        Spot::Listener(name) | Spot::Route(name) => name,
                    };
                    let name: Arc<str> = format!("{owner}/{}#{at}", kind.value).into();
                    let built = self.instance(&name, kind, *fail, table, world, diagnostics);
                    (built, None)
                }
            };
            let Some(instance) = instance else { continue };
            let phases = instance.filter.phases();
            if matches!(spot, Spot::Route(_)) && phases == Phases::ACCEPT {
                diagnostics.error(
                    codes::LISTENER_PHASE,
                    &entry.place,
                    format!(
                        "plugin {:?} works when connections are accepted: it belongs on a listener",
                        instance.name
                    ),
                );
            }
            let when = match when {
                None => None,
                Some(text) => match When::parse(&text.value) {
                    Ok(when) => {
                        trial(&when, &instance.name, &text.place, diagnostics);
                        Some(Arc::new(when))
                    }
                    Err(error) => {
                        let message =
                            format!("{} (at character {})", error.message, error.offset + 1);
                        diagnostics.push(
                            Diagnostic::error(codes::PLUGIN_WHEN, &text.place, message)
                                .with_help(error.help.unwrap_or_default()),
                        );
                        continue;
                    }
                },
            };
            links.push(Link { instance, when });
        }
        links
    }

    fn find(
        &mut self,
        name: &Located<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Instance>> {
        if let Some(instance) = self.named.get(name.value.as_str()) {
            self.used.insert(Arc::clone(&instance.name));
            return Some(Arc::clone(instance));
        }
        if !self.config.declares("plugin", &name.value) {
            let (message, help) = unknown("plugin", &name.value, &self.named);
            diagnostics
                .push(Diagnostic::error(codes::PLUGIN_NAME, &name.place, message).with_help(help));
        }
        None
    }

    fn instance(
        &mut self,
        name: &Arc<str>,
        kind: &Located<String>,
        fail: Fail,
        table: &Table,
        world: &dyn World,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Instance>> {
        let Some(found) = self.kinds.get(kind.value.as_str()).copied() else {
            self.unknown_kind(kind, diagnostics);
            return None;
        };
        let services = world.lend(found.name(), name, &self.upstreams);
        let built = found.build(name, table, &*services, diagnostics)?;
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        self.asked.extend(built.filter.upstreams().iter().cloned());
        for header in built.filter.identity_headers() {
            if !self.identity.contains(header) {
                self.identity.push(header.clone());
            }
        }
        for credential in built.filter.credentials() {
            match credential {
                Credential::Header(name) => self.credentials.add_header(name.as_str()),
                Credential::Query(name) => self.credentials.add_query(name),
                // Cookies are never shown.
                Credential::Cookie(_) => {}
            }
        }
        let metrics = world.metrics();
        Some(Arc::new(Instance {
            id,
            name: Arc::clone(name),
            kind: found.name(),
            filter: built.filter,
            fail,
            on: world.switch(name),
            series: metrics.plugin(name),
            seconds: Phases::ALL
                .iter()
                .map(|(_, phase)| metrics.plugin_phase(name, phase))
                .collect(),
            services,
        }))
    }

    fn unknown_kind(&self, kind: &Located<String>, diagnostics: &mut Diagnostics) {
        let kinds: Vec<&str> = self.kinds.keys().copied().collect();
        let diagnostic = Diagnostic::error(
            codes::PLUGIN_KIND,
            &kind.place,
            format!("there is no plugin kind {:?}", kind.value),
        )
        .with_help(did_you_mean(&kind.value, &kinds));
        diagnostics.push(diagnostic);
    }

    /// Named plugins that no list names, with their places.
    pub(super) fn unused<'c>(&self, config: &'c Config) -> Vec<(&'c str, &'c Place)> {
        config
            .plugins
            .iter()
            .map(|words| (words.name.value.as_str(), &words.name.place))
            .filter(|(name, _)| self.named.contains_key(*name) && !self.used.contains(*name))
            .collect()
    }

    /// True if some plugin asks this upstream by itself.
    pub(super) fn asks(&self, upstream: &str) -> bool {
        self.asked.contains(upstream)
    }

    /// Fields that some plugin writes as identity.
    pub(super) fn identity_headers(&self) -> Vec<HeaderName> {
        self.identity.clone()
    }

    /// Where plugins read credentials.
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The named instances.
    pub(super) fn into_named(self) -> BTreeMap<Arc<str>, Arc<Instance>> {
        self.named
    }
}
