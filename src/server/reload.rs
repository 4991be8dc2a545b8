//! Reload: all or nothing. The first start is a reload from nothing.
//!
//! read → compile → look whether it can be done in place → bind what is new → publish → retire what
//! is gone. Up to the publishing nothing that runs has changed; after it nothing can fail.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Place};

use super::bind::{Bound, bind};
use super::upgrade::channel::Role;
use super::world::LiveWorld;
use super::{LastReload, Server, systemd};
use crate::cache::shared::{DiskSettings, Durability};
use crate::compile::{Binding, Compiled, Settings, Slots, codes, compile};
use crate::config::load::{Loaded, Text, read, read_texts};
use crate::snapshot::listener::BindAddress;
use crate::state::cache::Held;
use crate::telemetry::access_log::{AccessLog, AccessLogOptions, Output};
use crate::telemetry::clock;
use crate::telemetry::explain::ExplainRing;
use crate::upstream::group::retire_missing;

/// Why a reload was refused. Nothing changed.
#[derive(Debug)]
pub struct Refused(pub Diagnostics);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

/// A reload that was taken.
#[derive(Debug)]
pub struct Reloaded {
    /// The generation now in force.
    pub generation: u64,
    /// What is worth a look.
    pub warnings: Diagnostics,
}

impl Server {
    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// It is wrong, or cannot be put in force here; what ran goes on.
    pub async fn reload(&self) -> Result<Reloaded, Refused> {
        let _one = self.changing.lock().await;
        let loaded = read(&self.paths, &|name| std::env::var(name).ok());
        self.change(&loaded, "reload").await
    }

    /// Puts texts in force as if they were the files: an earlier configuration, or the last good one.
    ///
    /// # Errors
    /// As [`Server::reload`].
    pub async fn apply(&self, texts: &[Text], why: &'static str) -> Result<Reloaded, Refused> {
        let _one = self.changing.lock().await;
        let loaded = read_texts(texts, &|name| std::env::var(name).ok());
        self.change(&loaded, why).await
    }

    async fn change(&self, loaded: &Loaded, why: &'static str) -> Result<Reloaded, Refused> {
        if self.upgrades.is_over() {
            let mut diagnostics = Diagnostics::new();
            let message = "another process has just taken over: ask again";
            diagnostics.error(codes::DRAINING, &self.place(), message);
            // A signal has no answer, and waits for the upgrade: the new process may have read older files.
            log::warn!("{why} refused: {message}");
            return Err(Refused(diagnostics));
        }
        if self.drain.lock().is_some() || self.node.is_leaving() {
            let mut diagnostics = Diagnostics::new();
            let message = "this process is draining and takes no new configuration";
            diagnostics.error(codes::DRAINING, &self.place(), message);
            log::warn!("{why} refused: {message}");
            return Err(Refused(diagnostics));
        }
        let result = self.put(loaded, why).await;
        let now = clock::unix_ms() / 1000;
        self.node
            .metrics
            .config()
            .reloaded(result.as_ref().ok().map(|done| done.generation), now);
        *self.last_reload.lock() = Some(LastReload {
            at: now,
            result: match &result {
                Ok(done) => Ok(done.generation),
                Err(refused) => Err(refused.to_string()),
            },
        });
        match &result {
            Ok(done) => {
                log::info!("{why}: generation {} is in force", done.generation);
                if why != "start" {
                    systemd::status(&super::status::line(self));
                }
            }
            Err(refused) => log::error!("{why} refused, nothing changed:\n{refused}"),
        }
        result
    }

    async fn put(&self, loaded: &Loaded, why: &'static str) -> Result<Reloaded, Refused> {
        let mut diagnostics = loaded.diagnostics.clone();
        let compiled = compile(&loaded.config, &self.world(), &mut diagnostics);
        let names: Vec<_> = loaded
            .sources
            .iter()
            .map(|s| Arc::clone(s.file()))
            .collect();
        diagnostics.sort_by_files(&names);
        loaded.hide_expanded(&mut diagnostics);
        let Some(compiled) = compiled else {
            return Err(Refused(diagnostics));
        };
        let before = self.settings();
        in_place(&before, &compiled.settings, &self.place(), &mut diagnostics);
        if diagnostics.has_errors() {
            return Err(Refused(diagnostics));
        }
        let bound = self.bind(&compiled.bindings, &mut diagnostics);
        if diagnostics.has_errors() {
            return Err(Refused(diagnostics));
        }
        let log = open_log(&before, &compiled.settings, self, &mut diagnostics);
        if diagnostics.has_errors() {
            return Err(Refused(diagnostics));
        }
        // Last: what was opened for a picture that is not taken would have to be closed again.
        let cache = self.cache_for(compiled.settings.cache.as_ref());
        let generation = compiled.snapshot.generation;
        self.guards.anticipate(&compiled.snapshot).await;
        self.publish(compiled, bound, log, cache);
        self.config
            .store(Arc::new(crate::config::dump::dump(loaded)));
        let texts = texts_of(loaded);
        self.history.lock().add(generation, why, &texts);
        Ok(Reloaded {
            generation,
            warnings: diagnostics,
        })
    }

    /// The configuration as a whole, for mistakes that no single line makes.
    fn place(&self) -> Place {
        let path = self.paths.first().map(|path| path.display().to_string());
        Place::file(path.unwrap_or_default())
    }

    fn world(&self) -> LiveWorld {
        let slots = {
            let listeners = self.listeners.lock();
            let serving = listeners.slots();
            Slots::new(
                serving.map(|(address, slot, _)| (address.clone(), slot)),
                listeners.leaving_slots(),
            )
        };
        LiveWorld {
            state: Arc::clone(&self.state),
            resolver: Arc::clone(&self.resolver),
            metrics: Arc::clone(&self.node.metrics),
            host: Arc::clone(&self.host),
            slots: RefCell::new(slots),
            generation: self.history.lock().next_generation(),
        }
    }

    /// Binds every address that is not ours yet.
    fn bind(
        &self,
        bindings: &[Binding],
        diagnostics: &mut Diagnostics,
    ) -> Vec<(BindAddress, Bound, u16)> {
        let mut bound = Vec::new();
        for binding in bindings {
            if self.listeners.lock().holds(&binding.address) {
                continue;
            }
            match self.socket(&binding.address) {
                Ok(socket) => bound.push((binding.address.clone(), socket, binding.slot)),
                Err(error) => {
                    let message = format!(
                        "listener {:?} cannot bind {}: {error}",
                        binding.name, binding.address
                    );
                    diagnostics.error(codes::BIND_FAILED, &binding.place, message);
                }
            }
        }
        bound
    }

    /// The socket of an address: the one that was open before us, or a new one.
    fn socket(&self, address: &BindAddress) -> std::io::Result<Bound> {
        match self.heritage.take(Role::Listener, &address.to_string()) {
            Some(inherited) => Bound::inherited(address, inherited.socket),
            None => bind(address),
        }
    }

    /// From here on nothing can fail.
    fn publish(
        &self,
        compiled: Compiled,
        bound: Vec<(BindAddress, Bound, u16)>,
        log: LogChange,
        cache: Option<Held>,
    ) {
        let Compiled {
            mut snapshot,
            bindings,
            settings,
            names,
        } = compiled;
        let node = &self.node;
        if let (Some(held), Some(settings)) = (&cache, &settings.cache) {
            held.shared.set_memory_bytes(settings.memory_bytes);
        }
        snapshot.cache = cache.as_ref().map(|held| Arc::clone(&held.shared));
        self.count_cache(settings.cache.as_ref(), cache.as_ref());
        self.state.cache.set(cache);
        snapshot.alive = Some(node.metrics.config().generations_alive.enter());
        node.metrics.budget().set_cap(settings.max_series);
        node.body_memory.set_most(settings.body_memory_bytes);
        node.idle_grace_ms.store(
            u64::try_from(settings.drain.idle_grace.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        let headers = settings.log_headers.iter();
        let headers = headers.map(|name| (name.clone(), Arc::from(name.as_str())));
        node.log_headers.store(Arc::new(headers.collect()));
        self.resize_explain(settings.explain_keep);
        let retired_log = match log {
            LogChange::Keep => None,
            LogChange::Set(log) => node.access_log.swap(log),
        };
        self.settings.store(Arc::new(settings));
        crate::telemetry::credentials::put_in_force(&snapshot.credentials);
        let snapshot = Arc::new(snapshot);
        self.orders.prepare(&snapshot);
        self.guards.prepare(&snapshot);
        let earlier = node.current.publish(Arc::clone(&snapshot));
        self.orders.published(&snapshot);
        for edge in snapshot.tls.values() {
            edge.activate();
        }
        for plan in snapshot.upstreams.values() {
            plan.upstream.activate(&*self.resolver);
        }
        for (name, plan) in &earlier.upstreams {
            match snapshot.upstreams.get(name) {
                Some(next) => retire_missing(&plan.upstream.set(), &next.upstream.set()),
                None => {
                    for endpoint in plan.upstream.set().endpoints() {
                        endpoint.state.lines.retire();
                    }
                }
            }
        }
        let names: BTreeSet<Arc<str>> = names.iter().map(|name| name.as_str().into()).collect();
        self.resolver.update(names);
        self.guards.published(&snapshot);
        let mut listeners = self.listeners.lock();
        for (address, socket, slot) in bound {
            if let Err(error) = listeners.add(address.clone(), socket, slot) {
                log::error!("{address} was bound but cannot accept: {error}");
            }
        }
        listeners.retain(&|address| bindings.iter().any(|binding| binding.address == *address));
        drop(listeners);
        drop(earlier);
        self.host.published();
        self.state.purge();
        if let Some(log) = retired_log {
            // What was queued is written before the file is left.
            std::thread::spawn(move || {
                let _ = log.close(std::time::Duration::from_secs(5));
            });
        }
    }

    fn resize_explain(&self, keep: usize) {
        let ring = self.node.explain.load_full();
        let resized = match ring {
            _ if keep == 0 => None,
            Some(ring) if ring.keep() == keep => return,
            Some(ring) => Some(Arc::new(ring.resized(keep))),
            None => Some(Arc::new(ExplainRing::new(keep))),
        };
        self.node.explain.store(resized);
    }
}

/// The texts a configuration was read from.
pub fn texts_of(loaded: &Loaded) -> Vec<Text> {
    loaded
        .sources
        .iter()
        .map(|source| Text {
            name: source.file().to_string(),
            folder: source.folder().to_owned(),
            text: source.text().to_string(),
        })
        .collect()
}

fn disks(settings: &Settings) -> &[DiskSettings] {
    settings.cache.as_ref().map_or(&[], |cache| &cache.disks)
}

/// Without folders there is nothing to bring to a device.
fn durability(settings: &Settings) -> Option<Durability> {
    let cache = settings.cache.as_ref();
    let on_disk = cache.filter(|cache| !cache.disks.is_empty());
    on_disk.map(|cache| cache.durability)
}

/// What cannot change in a running process.
fn in_place(before: &Settings, after: &Settings, place: &Place, diagnostics: &mut Diagnostics) {
    let fixed = [
        ("server.threads", before.threads == after.threads),
        ("server.control", before.control == after.control),
        ("server.state", before.state == after.state),
        (
            "admin.address",
            before.admin.as_ref().map(|(address, _)| address)
                == after.admin.as_ref().map(|(address, _)| address),
        ),
        ("cache.disk", disks(before) == disks(after)),
        (
            "cache.durability",
            durability(before) == durability(after) || disks(before) != disks(after),
        ),
    ];
    for (word, same) in fixed {
        if !same {
            let message =
                format!("{word} needs farmgate upgrade: it cannot change in a running process");
            diagnostics.push(
                Diagnostic::error(codes::NEEDS_UPGRADE, place, message).with_help(
                    "put the old value back to reload the rest, or run `farmgate upgrade`",
                ),
            );
        }
    }
}

enum LogChange {
    Keep,
    Set(Option<Arc<AccessLog>>),
}

fn open_log(
    before: &Settings,
    after: &Settings,
    server: &Server,
    diagnostics: &mut Diagnostics,
) -> LogChange {
    let running = server.node.access_log.load().is_some();
    if before.access_log == after.access_log && running == after.access_log.is_some() {
        return LogChange::Keep;
    }
    let Some(output) = &after.access_log else {
        return LogChange::Set(None);
    };
    let output: Output = output.clone();
    let options = AccessLogOptions::new(output, after.threads);
    match AccessLog::open(&options, server.node.metrics.access_log().clone()) {
        Ok(log) => LogChange::Set(Some(Arc::new(log))),
        Err(error) => {
            let message = format!("the access log cannot be opened: {error}");
            diagnostics.error(codes::LOG_OPEN, &server.place(), message);
            LogChange::Keep
        }
    }
}
