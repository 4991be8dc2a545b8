//! The words of the `basic_auth` kind.

use std::any::Any;
use std::sync::Arc;

use arc_swap::ArcSwap;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, RelPath};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::Duration;
use http::HeaderValue;
use serde::Deserialize;

use super::filter::{BasicAuthFilter, Metrics};
use super::flights::{Bounds, Flights};
use super::users::Users;
use super::verdicts::Verdicts;

/// Largest file of users, in bytes.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// Longest realm, in bytes.
const MAX_REALM_BYTES: usize = 128;
/// Longest time for which a verdict is remembered.
const MAX_CACHE_TTL: Duration = Duration::from_secs(86_400);
/// What part of the checks one client may have under way.
const CLIENTS: u32 = 4;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["users_file"],
  "properties": {
    "realm": { "type": "string", "minLength": 1, "maxLength": 128, "default": "restricted", "description": "What browsers show when they ask for a password." },
    "users_file": { "type": "string", "description": "Users and hashes of their passwords, as `htpasswd -B` writes them; read again when it changes." },
    "cache_ttl": { "type": "string", "default": "5m", "description": "For how long a right password is not checked again; at most 1d." },
    "max_cached": { "type": "integer", "minimum": 100, "maximum": 1000000, "default": 10000, "description": "Right passwords that are remembered." },
    "max_checks": { "type": "integer", "minimum": 1, "maximum": 1024, "default": 32, "description": "Checks of passwords at once; a client has at most a quarter of them." },
    "max_waiting": { "type": "integer", "minimum": 1, "maximum": 100000, "default": 1024, "description": "Requests that wait for checks at once." },
    "keep_credential": { "type": "boolean", "default": false, "description": "True: the origin gets the password, too." }
  }
}"#;

/// The table of a `basic_auth` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicAuthConfig {
    #[serde(default = "usual_realm")]
    realm: Located<String>,
    users_file: Located<RelPath>,
    #[serde(default = "usual_ttl")]
    cache_ttl: Located<Duration>,
    #[serde(default = "usual_cached")]
    max_cached: Located<u32>,
    #[serde(default = "usual_checks")]
    max_checks: Located<u32>,
    #[serde(default = "usual_waiting")]
    max_waiting: Located<u32>,
    #[serde(default)]
    keep_credential: bool,
}

fn usual_realm() -> Located<String> {
    "restricted".to_owned().into()
}

fn usual_ttl() -> Located<Duration> {
    Duration::from_secs(300).into()
}

fn usual_cached() -> Located<u32> {
    10_000.into()
}

fn usual_checks() -> Located<u32> {
    32.into()
}

fn usual_waiting() -> Located<u32> {
    1024.into()
}

impl BasicAuthConfig {
    /// Checks what the words mean together, and reads the file.
    pub(super) fn compile(
        self,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<BasicAuthFilter> {
        let before = diagnostics.error_count();
        let challenge = challenge(&self.realm, diagnostics);
        if self.cache_ttl.value > MAX_CACHE_TTL {
            let text = format!("cache_ttl is at most {MAX_CACHE_TTL}");
            let error = Diagnostic::error(codes::VALUE, &self.cache_ttl.place, text);
            diagnostics.push(error.with_help("write cache_ttl = \"5m\""));
        }
        let max_cached = within("max_cached", &self.max_cached, 100, 1_000_000, diagnostics);
        let max_checks = within("max_checks", &self.max_checks, 1, 1024, diagnostics);
        let max_waiting = within("max_waiting", &self.max_waiting, 1, 100_000, diagnostics);
        let users = read_users(&self.users_file, services, diagnostics);
        if diagnostics.error_count() > before {
            return None;
        }
        let Some(fresh) = Verdicts::new().map(Arc::new) else {
            let text = "the system gives no random bytes for a secret";
            diagnostics.error(codes::VALUE, &self.users_file.place, text);
            return None;
        };
        let verdicts = services.shared("verdicts", &mut || {
            Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>
        });
        let flights = services.shared("flights", &mut || Arc::<Flights>::default());
        Some(BasicAuthFilter {
            challenge: challenge?,
            users: users?,
            verdicts: verdicts.downcast().ok()?,
            flights: flights.downcast().ok()?,
            cache_ttl: self.cache_ttl.get(),
            max_cached,
            bounds: Bounds {
                checks: max_checks,
                checks_of_client: max_checks.div_ceil(CLIENTS as usize),
                waiting: max_waiting,
            },
            keep_credential: self.keep_credential,
            clock: services.clock(),
            offload: services.offloader(),
            metrics: Metrics::new(services),
        })
    }
}

fn within(
    name: &str,
    number: &Located<u32>,
    least: u32,
    most: u32,
    diagnostics: &mut Diagnostics,
) -> usize {
    if !(least..=most).contains(&number.value) {
        let text = format!("{name} is from {least} to {most}");
        let help = format!("leave it out for the usual one, or write {name} = {least} or more");
        let error = Diagnostic::error(codes::VALUE, &number.place, text);
        diagnostics.push(error.with_help(help));
    }
    usize::try_from(number.value).unwrap_or(usize::MAX)
}

/// The field that asks for a login (RFC 7617, section 2): the realm as a quoted string.
fn challenge(realm: &Located<String>, diagnostics: &mut Diagnostics) -> Option<HeaderValue> {
    let is_plain = realm.bytes().all(|b| (b' '..0x7f).contains(&b));
    if !(1..=MAX_REALM_BYTES).contains(&realm.len()) || !is_plain {
        let error = Diagnostic::error(codes::VALUE, &realm.place, "this cannot be a realm");
        let help = format!("1 to {MAX_REALM_BYTES} characters of ASCII without control characters");
        diagnostics.push(error.with_help(help));
        return None;
    }
    let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"");
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

fn read_users(
    file: &Located<RelPath>,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<ArcSwap<Users>>> {
    let users = Arc::new(ArcSwap::from_pointee(Users::default()));
    let writer = Arc::clone(&users);
    let gauge = services.gauge("users", "Users of the file that was read last.");
    let parse = move |bytes: &[u8]| {
        let users = Users::parse(bytes)?;
        gauge.set(i64::try_from(users.len()).unwrap_or(i64::MAX));
        writer.store(Arc::new(users));
        Ok(())
    };
    if let Err(error) = services.watch_file(file.path(), MAX_FILE_BYTES, Box::new(parse)) {
        let text = format!("{}: {error}", file.path().display());
        let error = Diagnostic::error(codes::FILE, &file.place, text);
        diagnostics.push(error.with_help("a user is added by `htpasswd -B FILE USER`"));
        return None;
    }
    if users.load().len() == 0 {
        let text = format!("{}: there is no user in it", file.path().display());
        let warning = Diagnostic::warning(codes::IDLE, &file.place, text);
        diagnostics.push(warning.with_help("a user is added by `htpasswd -B FILE USER`"));
    }
    Some(users)
}
