//! `check`: everything `run` would compile, without effect.

use std::path::PathBuf;
use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostics, Severity};
use serde_json::json;

use super::exit;
use crate::compile::world::DryWorld;
use crate::compile::{Compiled, compile};
use crate::config::load::{Loaded, read};

/// Loads and compiles without effect.
pub(super) fn compile_dry(paths: &[PathBuf]) -> (Option<(Loaded, Compiled)>, Diagnostics) {
    let loaded = read(paths, &|name| std::env::var(name).ok());
    let mut diagnostics = loaded.diagnostics.clone();
    let world = DryWorld::new(&loaded.config);
    let compiled = compile(&loaded.config, &world, &mut diagnostics);
    let names: Vec<_> = loaded
        .sources
        .iter()
        .map(|s| Arc::clone(s.file()))
        .collect();
    diagnostics.sort_by_files(&names);
    loaded.hide_expanded(&mut diagnostics);
    (compiled.map(|compiled| (loaded, compiled)), diagnostics)
}

pub(super) fn check(paths: &[PathBuf], json: bool, deny_warnings: bool) -> u8 {
    let (compiled, diagnostics) = compile_dry(paths);
    let errors = diagnostics.error_count();
    let warnings = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Warning)
        .count();
    let failed = compiled.is_none() || errors > 0 || (deny_warnings && warnings > 0);
    if json {
        let report = json!({
            "ok": !failed,
            "errors": errors,
            "warnings": warnings,
            "diagnostics": diagnostics.iter().collect::<Vec<_>>(),
        });
        out!("{report}");
    } else {
        for diagnostic in diagnostics.iter() {
            out!("{diagnostic}");
        }
        if diagnostics.dropped() > 0 {
            out!("... and {} more", diagnostics.dropped());
        }
        match &compiled {
            Some((_, compiled)) if !failed => {
                let picture = &compiled.snapshot;
                out!(
                    "ok: {} listeners, {} routes, {} upstreams, {} named plugins{}",
                    compiled.bindings.len(),
                    picture.routes.len(),
                    picture.upstreams.len(),
                    picture.plugins.len(),
                    if warnings == 0 {
                        String::new()
                    } else {
                        format!(", {warnings} warnings")
                    }
                );
            }
            _ => out!("{errors} errors, {warnings} warnings"),
        }
    }
    if failed { exit::CONFIG } else { exit::OK }
}
