//! Each source by its options.

use std::sync::Arc;

use super::ask::Source;
use super::dial::Dialer;
use super::dns_source::{DnsFollowed, DnsSource};
use super::etcd::EtcdSource;
use super::file::FileSource;
use super::follow::Open;
use super::http::HttpSource;
use super::source::SourceOptions;

/// Makes sources; those that speak HTTP connect by `dialer`.
pub fn opener(dialer: Arc<dyn Dialer>) -> Open {
    Arc::new(move |options| {
        let source: Box<dyn Source> = match options.clone() {
            SourceOptions::Dns(dns) => Box::new(DnsFollowed::from(DnsSource::new(dns)?)),
            SourceOptions::File(file) => Box::new(FileSource::new(file)),
            SourceOptions::Http(http) => Box::new(HttpSource::new(http, dialer.clone())),
            SourceOptions::Etcd(etcd) => Box::new(EtcdSource::new(etcd, dialer.clone())),
        };
        Ok(source)
    })
}
