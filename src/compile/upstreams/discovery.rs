//! `[upstream.discovery]`.

use std::path::Path;
use std::time::Duration;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::units;
use http::{HeaderValue, Uri, header};
use ipnet::IpNet;

use crate::compile::codes;
use crate::config::words::{DiscoveryConfig, DiscoveryKind, DnsRecord};
use crate::upstream::discovery::dns_source::{DnsOptions, Record};
use crate::upstream::discovery::etcd::{EtcdOptions, Login};
use crate::upstream::discovery::file::FileOptions;
use crate::upstream::discovery::http::HttpOptions;
use crate::upstream::discovery::source::{DiscoveryOptions, SourceOptions};
use crate::upstream::set::MAX_ENDPOINTS;

pub(super) fn compile(
    words: &Located<DiscoveryConfig>,
    diagnostics: &mut Diagnostics,
) -> Option<DiscoveryOptions> {
    let mut reader = Reader {
        words: &words.value,
        place: &words.place,
        diagnostics,
    };
    reader.strangers();
    let source = match words.value.kind.value {
        DiscoveryKind::Dns => reader.dns().map(SourceOptions::Dns),
        DiscoveryKind::File => reader.file().map(SourceOptions::File),
        DiscoveryKind::Http => reader.http().map(SourceOptions::Http),
        DiscoveryKind::Etcd => reader.etcd().map(SourceOptions::Etcd),
    }?;
    let max_stale = time(&words.value.max_stale, 3600);
    let (rhythm, word) = (source.rhythm(), &words.value.max_stale);
    // Each answer takes its time, so that equal is too little.
    if max_stale <= rhythm {
        // Without the word it is the rhythm that was written: an hour is enough for those that are not.
        let place = word.as_ref().map_or(&words.place, |word| &word.place);
        let kind = source.kind().as_str();
        let message = format!(
            "`max_stale` is {max_stale:?}, and this source ({kind}) may say nothing new for {rhythm:?}: its endpoints will be called stale while nothing is wrong"
        );
        let help = match &source {
            SourceOptions::Http(_) => "write a `max_stale` of several times `interval`",
            SourceOptions::Dns(_) => "write a `max_stale` above `max_ttl`, or a lower `max_ttl`",
            SourceOptions::File(_) | SourceOptions::Etcd(_) => "write a longer `max_stale`",
        };
        reader
            .diagnostics
            .push(Diagnostic::warning(codes::UPSTREAM_DISCOVERY, place, message).with_help(help));
    }
    let network =
        |cidr: &Located<units::Cidr>| IpNet::new(cidr.value.addr(), cidr.value.prefix()).ok();
    Some(DiscoveryOptions {
        source,
        max_stale,
        allow: words
            .value
            .allow
            .as_ref()
            .map(|allow| allow.iter().filter_map(network).collect()),
        max_endpoints: MAX_ENDPOINTS,
    })
}

fn time(word: &Option<Located<units::Duration>>, seconds: u64) -> Duration {
    word.as_ref()
        .map_or(Duration::from_secs(seconds), |word| word.value.get())
}

struct Reader<'a> {
    words: &'a DiscoveryConfig,
    place: &'a Place,
    diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn wrong(&mut self, place: &Place, message: impl Into<String>) {
        self.diagnostics
            .error(codes::UPSTREAM_DISCOVERY, place, message);
    }

    /// Words of other kinds.
    fn strangers(&mut self) {
        use DiscoveryKind::{Dns, Etcd, File, Http};
        let words = self.words;
        fn at<T>(word: &Option<Located<T>>) -> Option<&Place> {
            word.as_ref().map(|word| &word.place)
        }
        let table: [(&str, Option<&Place>, &[DiscoveryKind]); 16] = [
            ("name", at(&words.name), &[Dns]),
            ("record", at(&words.record), &[Dns]),
            ("port", at(&words.port), &[Dns]),
            (
                "resolvers",
                words.resolvers.first().map(|one| &one.place),
                &[Dns],
            ),
            ("min_ttl", at(&words.min_ttl), &[Dns]),
            ("max_ttl", at(&words.max_ttl), &[Dns]),
            ("negative_ttl", at(&words.negative_ttl), &[Dns]),
            ("path", at(&words.path), &[File]),
            ("url", at(&words.url), &[Http]),
            ("interval", at(&words.interval), &[Http]),
            ("authorization", at(&words.authorization), &[Http]),
            (
                "members",
                words.members.first().map(|one| &one.place),
                &[Etcd],
            ),
            ("prefix", at(&words.prefix), &[Etcd]),
            ("user", at(&words.user), &[Etcd]),
            ("password", at(&words.password), &[Etcd]),
            ("timeout", at(&words.timeout), &[Http, Etcd]),
        ];
        for (word, place, kinds) in table {
            if let Some(place) = place.filter(|_| !kinds.contains(&words.kind.value)) {
                self.wrong(place, format!("`{word}` is for another kind of discovery"));
            }
        }
    }

    /// A word that this kind cannot be without.
    fn needed<'w, T>(
        &mut self,
        name: &str,
        word: &'w Option<Located<T>>,
    ) -> Option<&'w Located<T>> {
        if word.is_none() {
            let place = self.place;
            self.wrong(
                place,
                format!("`{name}` must be written for this kind of discovery"),
            );
        }
        word.as_ref()
    }

    fn dns(&mut self) -> Option<DnsOptions> {
        let words = self.words;
        let name = self.needed("name", &words.name)?;
        let record = match (&words.record, &words.port) {
            (None, None) => Record::Srv,
            (None, Some(_)) => Record::A,
            (Some(record), _) => match record.value {
                DnsRecord::A => Record::A,
                DnsRecord::Aaaa => Record::Aaaa,
                DnsRecord::Both => Record::Both,
                DnsRecord::Srv => Record::Srv,
            },
        };
        match (record, &words.port) {
            (Record::Srv, Some(port)) => {
                self.wrong(&port.place, "SRV records have ports of their own");
                return None;
            }
            (Record::A | Record::Aaaa | Record::Both, None) => {
                let place = self.place;
                self.wrong(
                    place,
                    "addresses have no port: write `port`, or ask for srv",
                );
                return None;
            }
            _ => {}
        }
        let mut options = DnsOptions::new(
            name.value.as_str(),
            record,
            words.port.as_ref().map(|port| port.value),
        );
        options.resolvers = words.resolvers.iter().map(|one| one.value).collect();
        options.min_ttl = time(&words.min_ttl, 1).max(Duration::from_secs(1));
        options.max_ttl = time(&words.max_ttl, 300).max(options.min_ttl);
        options.negative_ttl = time(&words.negative_ttl, 30).max(options.min_ttl);
        Some(options)
    }

    fn file(&mut self) -> Option<FileOptions> {
        let words = self.words;
        let path = self.needed("path", &words.path)?;
        let known = |path: &Path| {
            path.extension()
                .is_some_and(|end| end == "json" || end == "toml")
        };
        if !known(path.value.path()) {
            self.wrong(&path.place, "the file's name ends in .json or .toml");
            return None;
        }
        Some(FileOptions {
            path: path.value.path().to_owned(),
            interval: Duration::from_secs(1),
        })
    }

    fn uri(&mut self, word: &Located<String>) -> Option<Uri> {
        let uri = word.value.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if uri.is_none() {
            let message = format!("{:?} is no http:// or https:// address", word.value);
            self.wrong(&word.place, message);
        }
        uri
    }

    fn http(&mut self) -> Option<HttpOptions> {
        let words = self.words;
        let url = self.needed("url", &words.url)?;
        let url = self.uri(url)?;
        let mut headers = Vec::new();
        if let Some(secret) = &words.authorization {
            match HeaderValue::from_str(secret.value.reveal()) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    headers.push((header::AUTHORIZATION, value));
                }
                Err(_) => self.wrong(&secret.place, "this cannot be the value of a header"),
            }
        }
        Some(HttpOptions {
            url,
            headers,
            interval: time(&words.interval, 10).max(Duration::from_secs(1)),
            timeout: time(&words.timeout, 5).clamp(MIN_TIMEOUT, Duration::from_secs(60)),
        })
    }

    fn etcd(&mut self) -> Option<EtcdOptions> {
        let words = self.words;
        let prefix = self.needed("prefix", &words.prefix)?;
        if prefix.value.is_empty() {
            self.wrong(
                &prefix.place,
                "without a prefix every key of the cluster would be an endpoint",
            );
            return None;
        }
        if words.members.is_empty() {
            let place = self.place;
            self.wrong(
                place,
                "`members` must be written for this kind of discovery",
            );
            return None;
        }
        let mut servers = Vec::new();
        for member in &words.members {
            servers.push(self.uri(member)?);
        }
        let login = match (&words.user, &words.password) {
            (Some(user), Some(password)) => Some(Login {
                user: user.value.clone(),
                password: password.value.reveal().to_owned(),
            }),
            (None, None) => None,
            (Some(Located { place, .. }), None) => {
                self.wrong(place, "`user` wants `password`");
                return None;
            }
            (None, Some(password)) => {
                self.wrong(&password.place, "`password` wants `user`");
                return None;
            }
        };
        Some(EtcdOptions {
            servers,
            prefix: prefix.value.clone(),
            login,
            timeout: time(&words.timeout, 5).clamp(MIN_TIMEOUT, Duration::from_secs(20)),
            refresh: Duration::from_secs(30),
        })
    }
}

/// No question takes less.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
