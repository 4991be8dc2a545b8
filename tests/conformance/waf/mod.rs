//! The web application firewall as a client meets it: regression tests and corpora over sockets. The same
//! run in process in plugins/waf/suite.

mod live;
mod regression;
