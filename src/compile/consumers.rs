//! What routes ask of the consumer, and where somebody says who that is.

use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics};

use super::{Binding, codes};
use crate::config::words::RouteConfig;
use crate::snapshot::Listener;
use crate::snapshot::router::ConsumerMatch;

/// Slots of the listeners with a plugin that finds out who a consumer is: it reads credentials or writes an identity.
pub(super) fn authenticating(listeners: &[Option<Arc<Listener>>]) -> Vec<u16> {
    let finds = |listener: &&Arc<Listener>| {
        let mut filters = listener
            .chain
            .links
            .iter()
            .map(|link| &link.instance.filter);
        filters.any(|one| !one.credentials().is_empty() || !one.identity_headers().is_empty())
    };
    let listeners = listeners.iter().flatten().filter(finds);
    listeners.map(|listener| listener.slot).collect()
}

/// A route is chosen after the plugins of the listener and before its own.
pub(super) fn compile(
    words: &RouteConfig,
    bindings: &[Binding],
    authenticating: &[u16],
    diagnostics: &mut Diagnostics,
) -> ConsumerMatch {
    let lists = [&words.consumer, &words.consumer_plan, &words.consumer_tags];
    let mut written = lists.into_iter().flatten().flatten();
    let named = words.listeners.as_ref();
    let authenticates = |binding: &Binding| {
        named.is_none_or(|names| names.iter().any(|name| name.value == *binding.name))
            && authenticating.contains(&binding.slot)
    };
    if let Some(first) = written.next()
        && !bindings.iter().any(authenticates)
    {
        let message = format!(
            "route {:?} wants a consumer, and no plugin of its listeners authenticates one",
            words.name.value
        );
        let help = "put the plugin that authenticates into `plugins` of a [[listener]]: those of a route run after the \
                    route is chosen";
        diagnostics.push(
            Diagnostic::warning(codes::ROUTE_CONSUMER, &first.place, message).with_help(help),
        );
    }
    let [names, plans, tags] = lists.map(|list| {
        let list = list.iter().flatten();
        list.map(|word| word.value.as_str().into()).collect()
    });
    ConsumerMatch { names, plans, tags }
}
