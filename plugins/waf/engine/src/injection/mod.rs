//! Detection of SQL injection and cross-site scripting: a port of libinjection.
