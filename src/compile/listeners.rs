//! Listeners: what is bound, and what holds until a route is known.

use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics};
use farmgate_plugin_api::units::{Cidr, Rate, Size};

use super::plugins::{Plugins, Spot};
use super::tls::{self, Edges};
use super::{AdminAddress, Binding, World, codes};
use crate::config::words::{
    self, AdminConfig, Config, EscapedSlash, ListenAddress, ListenerConfig, ListenerProtocol,
};
use crate::protocol::client::TrustedProxies;
use crate::protocol::http1::HeadLimits;
use crate::protocol::http2::GuardLimits;
use crate::protocol::uri::{self, UriPolicy};
use crate::snapshot::listener::{BindAddress, ConnectionLimits, H2Limits, ListenerTls, Timeouts};
use crate::snapshot::{Listener, ProxyProtocol};

/// Connections per client address when the configuration is silent: as many as the listener takes.
const PER_IP_DEFAULT: u32 = u32::MAX;

pub(super) fn compile(
    config: &Config,
    world: &dyn World,
    edges: &Edges,
    plugins: &mut Plugins<'_>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Option<Arc<Listener>>>, Vec<Binding>) {
    if config.listeners.is_empty() && !diagnostics.has_errors() {
        let nowhere = farmgate_plugin_api::decode::Place::none();
        diagnostics.error(codes::LISTENER_NONE, &nowhere, "there is no [[listener]]");
    }
    let mut slots: Vec<Option<Arc<Listener>>> = Vec::new();
    let mut bindings: Vec<Binding> = Vec::new();
    for words in &config.listeners {
        let address = bind_address(&words.address.value);
        if let Some(other) = bindings.iter().find(|known| known.address == address) {
            let message = format!("listener {:?} has {address} already", other.name);
            diagnostics.error(codes::LISTENER_ADDRESS, &words.address.place, message);
            continue;
        }
        let slot = world.slot(&address);
        let protocols = protocols(words, diagnostics);
        let tls = tls::listener(config, edges, words, protocols, diagnostics);
        let place = Spoken { protocols, tls };
        let listener = one(
            words,
            slot,
            address.clone(),
            place,
            world,
            plugins,
            diagnostics,
        );
        bindings.push(Binding {
            address,
            slot,
            name: Arc::clone(&listener.name),
            place: words.address.place.clone(),
        });
        let at = usize::from(slot);
        if slots.len() <= at {
            slots.resize_with(at + 1, || None);
        }
        if let Some(place) = slots.get_mut(at) {
            *place = Some(Arc::new(listener));
        }
    }
    (slots, bindings)
}

fn bind_address(written: &ListenAddress) -> BindAddress {
    match written {
        ListenAddress::Tcp(address) => BindAddress::Tcp(*address),
        ListenAddress::Unix(path) => BindAddress::Unix(path.path().to_owned()),
    }
}

/// What is spoken on a listener.
struct Spoken {
    /// HTTP/1, HTTP/2.
    protocols: (bool, bool),
    tls: Option<ListenerTls>,
}

fn one(
    words: &ListenerConfig,
    slot: u16,
    address: BindAddress,
    spoken: Spoken,
    world: &dyn World,
    plugins: &mut Plugins<'_>,
    diagnostics: &mut Diagnostics,
) -> Listener {
    let name: Arc<str> = words.name.value.as_str().into();
    let (http1, h2) = spoken.protocols;
    let proxy_protocol = match words.proxy_protocol.value {
        words::ProxyProtocol::Off => ProxyProtocol::Off,
        words::ProxyProtocol::Optional => ProxyProtocol::Optional,
        words::ProxyProtocol::Required => ProxyProtocol::Required,
    };
    let is_tcp = matches!(address, BindAddress::Tcp(_));
    if proxy_protocol != ProxyProtocol::Off && words.trusted_proxies.is_empty() && is_tcp {
        let message = format!("listener {name:?} reads PROXY headers but trusts nobody");
        diagnostics.warning(codes::LISTENER_TRUST, &words.proxy_protocol.place, message);
    }
    let health_path = words.health_path.as_ref().map(|path| {
        let mut out = uri::NormalisedUri::default();
        let policy = UriPolicy::default();
        let text = path.value.as_bytes();
        let normal = uri::normalise(text, &policy, &mut out).is_ok()
            && out.path(text) == path.value
            && path.value.starts_with('/');
        if !normal {
            let message = format!("{:?} is no normalised path", path.value);
            diagnostics.error(codes::LISTENER_HEALTH, &path.place, message);
        }
        path.value.as_str().into()
    });
    let limits = &words.limits;
    let times = &words.timeouts;
    let rate = |rate: &Rate| (rate.rate.get(), rate.per.get());
    Listener {
        slot,
        http1,
        h2,
        tls: spoken.tls,
        proxy_protocol,
        trusted: trusted(words),
        health_path,
        chain: plugins.chain(Spot::Listener(&name), &[&words.plugins], world, diagnostics),
        connections: ConnectionLimits {
            connections: limits.connections.value,
            connections_per_ip: limits
                .connections_per_ip
                .as_ref()
                .map_or(PER_IP_DEFAULT, |n| n.value),
            rate: limits.connection_rate.as_ref().map(|r| rate(&r.value)),
            rate_per_ip: limits
                .connection_rate_per_ip
                .as_ref()
                .map(|r| rate(&r.value)),
        },
        head: HeadLimits {
            headers: limits.headers.value,
            header_bytes: usize::try_from(limits.header_bytes.value.bytes()).unwrap_or(usize::MAX),
            uri_bytes: usize::try_from(limits.uri_bytes.value.bytes()).unwrap_or(usize::MAX),
        },
        body_bytes: limits.body_bytes.value.bytes(),
        h2_limits: h2_limits(words),
        timeouts: Timeouts {
            header: times.header.value.get(),
            body_idle: times.body_idle.value.get(),
            keepalive: times.keepalive.value.get(),
            max_age: times.max_age.as_ref().map(|age| age.value.get()),
            request: times.request.value.get(),
            upgrade_idle: times.upgrade_idle.value.get(),
            upgrade_age: times.upgrade_max_age.as_ref().map(|age| age.value.get()),
        },
        min_body_rate: words.min_body_rate.as_ref().map(|rate| {
            let per = rate
                .value
                .per
                .get()
                .max(Duration::from_millis(1))
                .as_millis();
            let bytes = u128::from(rate.value.rate.bytes()) * 1000 / per;
            u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
        }),
        uri: UriPolicy {
            escaped_slash: match words.uri.escaped_slash {
                EscapedSlash::Keep => uri::EscapedSlash::Keep,
                EscapedSlash::Decode => uri::EscapedSlash::Decode,
                EscapedSlash::Reject => uri::EscapedSlash::Reject,
            },
            merge_slashes: words.uri.merge_slashes,
        },
        metrics: world.metrics().listener(&name),
        address,
        name,
    }
}

fn h2_limits(words: &ListenerConfig) -> H2Limits {
    let h2 = &words.h2;
    let bytes = |size: Size| u32::try_from(size.bytes()).unwrap_or(u32::MAX >> 1);
    let rate = |rate: &Rate| (rate.rate.get(), rate.per.get());
    H2Limits {
        streams: words.limits.streams.value,
        window: bytes(h2.window.value),
        connection_window: bytes(h2.connection_window.value),
        guard: GuardLimits {
            resets: rate(&h2.resets.value),
            control_frames: rate(&h2.control_frames.value),
        },
    }
}

/// Whether HTTP/1 and HTTP/2 are spoken.
fn protocols(words: &ListenerConfig, diagnostics: &mut Diagnostics) -> (bool, bool) {
    let tls = words.tls.is_some();
    let Some(written) = &words.protocols else {
        return (true, tls);
    };
    let has = |protocol| written.iter().any(|word| word.value == protocol);
    for word in written {
        let (message, help) = match (word.value, tls) {
            (ListenerProtocol::H2, false) => (
                "\"h2\" needs `tls`",
                "name a [[tls]], or write \"h2c\" for HTTP/2 without TLS",
            ),
            (ListenerProtocol::H2c, true) => (
                "\"h2c\" is HTTP/2 without TLS, and this listener has `tls`",
                "write \"h2\"",
            ),
            _ => continue,
        };
        diagnostics.push(
            Diagnostic::error(codes::LISTENER_PROTOCOL, &word.place, message).with_help(help),
        );
    }
    if written.is_empty() {
        diagnostics.error(
            codes::LISTENER_PROTOCOL,
            &words.name.place,
            "the list of protocols is empty",
        );
    }
    let h2 = has(ListenerProtocol::H2) || has(ListenerProtocol::H2c);
    (has(ListenerProtocol::Http1), h2)
}

fn trusted(words: &ListenerConfig) -> TrustedProxies {
    TrustedProxies::new(
        words
            .trusted_proxies
            .iter()
            .filter_map(|cidr| net(&cidr.value)),
    )
}

fn net(cidr: &Cidr) -> Option<ipnet::IpNet> {
    ipnet::IpNet::new(cidr.addr(), cidr.prefix()).ok()
}

pub(super) fn admin(
    words: &AdminConfig,
    diagnostics: &mut Diagnostics,
) -> (AdminAddress, Vec<Cidr>) {
    let allow: Vec<Cidr> = words.allow.iter().map(|cidr| cidr.value).collect();
    let address = match &words.address.value {
        ListenAddress::Tcp(address) => {
            if !address.ip().is_loopback() && allow.is_empty() {
                diagnostics.error(
                    codes::ADMIN_OPEN,
                    &words.address.place,
                    format!("{address} is not on loopback and `allow` names nobody"),
                );
            }
            AdminAddress::Tcp(*address)
        }
        ListenAddress::Unix(path) => AdminAddress::Unix(path.path().to_owned()),
    };
    (address, allow)
}
