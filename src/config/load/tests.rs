//! Text in, words or diagnostics out.

use std::path::PathBuf;

use farmgate_plugin_api::decode::Diagnostics;
use farmgate_plugin_api::units::Duration;
use proptest::prelude::*;

use super::{Loaded, Text, load, load_str, load_texts};
use crate::config::words::{
    BalanceConfig, ConditionTest, EndpointAddress, HostHeader, ListenAddress, ListenerProtocol,
    LogTarget, PluginEntry, ProxyProtocol,
};

const SPINE: &str = include_str!("../../../tests/contract/spine.toml");
const CONTRACT: [(&str, &str); 5] = [
    (
        "cache.toml",
        include_str!("../../../tests/contract/cache.toml"),
    ),
    (
        "plugins.toml",
        include_str!("../../../tests/contract/plugins.toml"),
    ),
    ("tls.toml", include_str!("../../../tests/contract/tls.toml")),
    (
        "upstreams.toml",
        include_str!("../../../tests/contract/upstreams.toml"),
    ),
    ("waf.toml", include_str!("../../../tests/contract/waf.toml")),
];

fn texts(files: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
    let text = |(name, text): &(&str, &str)| Text {
        name: (*name).to_owned(),
        folder: PathBuf::from("/etc/farmgate"),
        text: (*text).to_owned(),
    };
    let files: Vec<Text> = files.iter().map(text).collect();
    load_texts(&files, &|name| {
        (name == "HOME_NET").then(|| "10.0.0.0/8".to_owned())
    })
}

fn errors(files: &[(&str, &str)]) -> String {
    texts(files).expect_err("an error").to_string()
}

#[test]
fn the_spine_of_the_contract_loads() {
    let loaded = texts(&[("spine.toml", SPINE)]).unwrap_or_else(|e| panic!("{e}"));
    assert!(loaded.diagnostics.is_empty());
    let config = loaded.config;
    assert_eq!(*config.server.threads, 1);
    let control = config.server.control.as_ref().expect("written");
    assert_eq!(
        control.path().to_str(),
        Some("/etc/farmgate/run/control.sock")
    );
    assert_eq!(*config.server.drain.idle_grace, Duration::from_secs(80));
    let admin = config.admin.as_ref().expect("written");
    assert_eq!(admin.address.to_string(), "127.0.0.1:19190");
    let log = config.telemetry.access_log.as_ref().expect("written");
    assert!(matches!(&*log.path, LogTarget::File(path) if path.written() == "run/access.log"));
    assert_eq!(
        *config.defaults.retry.as_ref().expect("written").attempts,
        2
    );

    let web = &config.listeners[0];
    assert!(matches!(*web.address, ListenAddress::Tcp(a) if a.port() == 19180));
    let protocols = web.protocols.as_ref().expect("written");
    assert_eq!(*protocols[1], ListenerProtocol::H2c);
    assert_eq!(*web.proxy_protocol, ProxyProtocol::Optional);
    assert_eq!(web.limits.connections_per_ip.as_deref(), Some(&5000));
    assert_eq!(web.limits.uri_bytes.bytes(), 8192);
    assert_eq!(*web.timeouts.upgrade_idle, Duration::from_secs(3600));
    assert_eq!(
        web.min_body_rate.as_ref().expect("written").rate.bytes(),
        1024
    );

    let [app, tenant] = config.upstreams.as_slice() else {
        panic!("two upstreams");
    };
    assert_eq!(
        (*app.endpoints[1].weight, app.endpoints[1].zone.as_deref()),
        (3, Some("b"))
    );
    assert!(matches!(*app.endpoints[0].address, EndpointAddress::Ip(_)));
    assert_eq!(*app.balance, BalanceConfig::LeastRequest);
    assert_eq!(*app.host, HostHeader::Keep);
    assert!(
        matches!(&*tenant.balance, BalanceConfig::ConsistentHash { key, .. } if **key == "header:x-user")
    );

    let api = &config.routes[0];
    assert_eq!(api.headers.0[0].name.value, "x-tenant");
    assert_eq!(*api.headers.0[0].test, ConditionTest::Exact("a".to_owned()));
    assert!(
        matches!(&*api.plugins[2], PluginEntry::Inline { kind, table, .. } if **kind == "rewrite" && table.has("strip_prefix") && !table.has("kind"))
    );
    let split = config.routes[1].upstream.as_ref().expect("written");
    assert_eq!(
        (
            split.0[0].name.as_str(),
            *split.0[0].weight,
            *split.0[1].weight
        ),
        ("app", 90, 10)
    );
    assert_eq!(
        *config.routes[3].upstream.as_ref().expect("written").0[0].weight,
        1
    );
    assert_eq!(config.plugins[1].kind.value, "rate_limit");
    assert_eq!(
        config.plugins[1]
            .table
            .place_of(config.plugins[1].table.get("limits").expect("written").span)
            .line,
        97
    );
}

#[test]
fn the_rest_of_the_contract_loads() {
    for (name, text) in CONTRACT {
        if let Err(found) = texts(&[(name, text)]) {
            panic!("{name}: {found}");
        }
    }
}

#[test]
fn one_table_and_one_name_of_a_kind() {
    let found = errors(&[
        (
            "a.toml",
            "[server]\nthreads = 1\n[[upstream]]\nname = \"x\"\n[[route]]\nname = \"x\"\n",
        ),
        (
            "b.toml",
            "[server]\nthreads = 2\n[[upstream]]\nname = \"x\"\n[[upstream]]\nname = \"x y\"\n",
        ),
    ]);
    assert_eq!(
        found,
        "b.toml:1:2: E-CONF-017 [server] stands in a.toml:1:2 already\n  help: it stands in one file at most\n\
         b.toml:4:8: E-CONF-018 the upstream \"x\" is defined in a.toml:4:8 already\n\
         b.toml:6:8: E-CONF-019 \"x y\" is no name\n  help: 1 to 64 characters out of letters, digits, '-', '_' and '.'\n"
    );
}

#[test]
fn tables_at_the_top() {
    let found = errors(&[(
        "a.toml",
        "colour = 1\n[listner]\n[listener]\nname = \"a\"\n[[server]]\n[[cache]]\n[cache_policy]\n[[route]]\nname = \"r\"\nclass = \"x\"\n",
    )]);
    assert_eq!(
        found,
        "a.toml:1:1: E-CONF-015 unknown key \"colour\" at the top of a file\n  help: valid here: server, admin, telemetry, defaults, cache, listener, tls, upstream, cache_policy, route, plugin\n\
         a.toml:2:2: E-CONF-015 unknown table \"listner\" at the top of a file\n  help: did you mean \"listener\"? Valid here: server, admin, telemetry, defaults, cache, listener, tls, upstream, cache_policy, route, plugin\n\
         a.toml:3:2: E-CONF-016 \"listener\" is a list of tables\n  help: write [[listener]], with two brackets, for each\n\
         a.toml:5:3: E-CONF-016 \"server\" is one table\n  help: write [server], once\n\
         a.toml:6:3: E-CONF-016 \"cache\" is one table\n  help: write [cache], once\n\
         a.toml:7:2: E-CONF-016 \"cache_policy\" is a list of tables\n  help: write [[cache_policy]], with two brackets, for each\n\
         a.toml:10:9: E-CONF-004 unknown word \"x\"\n  help: valid here: critical, default, bulk\n"
    );
}

#[test]
fn every_mistake_of_every_table_at_once() {
    let found = errors(&[(
        "a.toml",
        r#"[[listener]]
name = "web"
address = ":80"
protocols = ["http1", "h3"]
limits = { conections = 5 }
timeouts = { header = 10 }
[[upstream]]
name = "app"
endpoints = ["http://a", { adress = "a:1" }, "a:0", "10.0.0.256:80"]
balance = "least_conn"
[[upstream]]
name = "b"
balance = { kind = "consistent_hash" }
retry = { attempts = 2, on = ["connect", "5xy"], backoff = { base = "1s" } }
[[upstream]]
name = "c"
balance = { kind = "round_robin", key = "host" }
[[route]]
name = "r"
plugins = [{ name = "x" }, { plugin = "x", wen = "1" }, { kind = "k", fail = "opn" }, 5]
headers = { a = { regx = "x" }, b = { regex = "x", present = true }, c = 1 }
sources = ["10.0.0.1/8"]
upstream = []
"#,
    )]);
    let places: Vec<&str> = found
        .lines()
        .filter(|line| line.starts_with("a.toml"))
        .filter_map(|line| {
            line.strip_prefix("a.toml:")?
                .split(": ")
                .nth(1)
                .map(|_| line)
        })
        .map(|line| {
            let end = line
                .match_indices(' ')
                .nth(1)
                .map_or(line.len(), |(at, _)| at);
            &line["a.toml:".len()..end]
        })
        .collect();
    assert_eq!(
        places,
        [
            "3:11: E-CONF-005",
            "4:23: E-CONF-004",
            "5:12: E-CONF-001",
            "6:23: E-CONF-005",
            "9:14: E-CONF-005",
            "9:28: E-CONF-001",
            "9:46: E-CONF-005",
            "9:53: E-CONF-005",
            "10:11: E-CONF-004",
            "13:11: E-CONF-005",
            "14:42: E-CONF-004",
            "17:11: E-CONF-005",
            "20:12: E-CONF-005",
            "20:44: E-CONF-001",
            "20:78: E-CONF-004",
            "20:87: E-CONF-002",
            "21:19: E-CONF-001",
            "21:37: E-CONF-005",
            "21:74: E-CONF-002",
            "22:12: E-CONF-005",
            "23:12: E-CONF-005",
        ],
        "{found}"
    );
    for hint in [
        "write \"0.0.0.0:80\" (IPv4) or \"[::]:80\" (IPv6)",
        "did you mean \"connections\"?",
        "write \"10.0.0.0/8\" for the network",
        "did you mean \"when\"?",
        "did you mean \"open\"?",
        "a list has no name of its own",
    ] {
        assert!(found.contains(hint), "{hint}: {found}");
    }
}

#[test]
fn values_have_bounds() {
    let found = errors(&[(
        "a.toml",
        r#"[server]
threads = 2000
[[listener]]
name = "web"
address = "127.0.0.1:80"
limits = { connections = 0, header_bytes = "1GiB" }
timeouts = { header = "0s", keepalive = "0s" }
h2 = { window = "2MiB", connection_window = "1MiB", resets = { rate = 1, per = "2h" } }
[[upstream]]
name = "app"
endpoints = [{ address = "a:1", weight = 70000 }]
balance = { kind = "consistent_hash", key = "host", bounded_load = "0%" }
retry = { attempts = 0 }
dns = { min_ttl = "10m" }
[[route]]
name = "r"
upstream = [{ name = "app", weight = 0 }]
"#,
    )]);
    let places: Vec<&str> = found
        .lines()
        .filter_map(|line| line.strip_prefix("a.toml:"))
        .filter_map(|line| line.split(": E-CONF-023").next())
        .collect();
    let wanted = [
        "2:11", "6:26", "6:44", "7:23", "8:45", "8:62", "11:42", "12:68", "13:22", "14:19", "17:38",
    ];
    assert_eq!(places, wanted, "{found}");
    assert!(found.contains("`attempts` is out of bounds: 0\n  help: write 1 to 16"));
}

#[test]
fn references_to_the_environment() {
    let text = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ntrusted_proxies = [\"${HOME_NET}\"]\nhealth_path = \"/$${x}/$y\"\n";
    let loaded = texts(&[("a.toml", text)]).unwrap_or_else(|e| panic!("{e}"));
    let listener = &loaded.config.listeners[0];
    assert_eq!(listener.trusted_proxies[0].to_string(), "10.0.0.0/8");
    assert_eq!(
        listener.health_path.as_deref().map(String::as_str),
        Some("/${x}/$y")
    );

    let found = errors(&[(
        "a.toml",
        "[server]\nzone = \"${ZONE}\"\n[[plugin]]\nname = \"p\"\nkind = \"k\"\nx = { y = [\"a${b\", \"${}\", \"${a-b}\"] }\n",
    )]);
    assert_eq!(
        found,
        "a.toml:2:8: E-CONF-021 the environment variable ZONE is not set\n  help: set it, or write $${ZONE} for the text itself\n\
         a.toml:6:12: E-CONF-022 `${` is no reference here\n  help: write ${NAME} for a variable, $${ for the two characters\n\
         a.toml:6:20: E-CONF-022 `${` is no reference here\n  help: write ${NAME} for a variable, $${ for the two characters\n\
         a.toml:6:27: E-CONF-022 `${` is no reference here\n  help: write ${NAME} for a variable, $${ for the two characters\n"
    );
}

#[test]
fn files_and_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).expect("written");
    std::fs::create_dir(at("conf.d")).expect("a folder");
    std::fs::create_dir(at("conf.d/sub.toml")).expect("a folder");
    write("conf.d/b.toml", b"[[route]]\nname = \"b\"\n");
    write(
        "conf.d/a.toml",
        b"[server]\nstate = \"run\"\n[[route]]\nname = \"a\"\n",
    );
    write("conf.d/.#a.toml", b"broken");
    write("conf.d/note.txt", b"broken");
    write("main.toml", b"[[route]]\nname = \"main\"\n");
    let env = |_: &str| None;
    let loaded = load(&[at("main.toml"), at("conf.d")], &env).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = loaded
        .config
        .routes
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["main", "a", "b"]);
    let state = loaded.config.server.state.as_ref().expect("written");
    assert_eq!(state.path(), at("conf.d/run"));

    std::fs::create_dir(at("empty")).expect("a folder");
    write("latin.toml", b"[server]\nzone = \"\xe9\"\n");
    write("broken.toml", b"[server\n");
    write("large.toml", &vec![b'#'; (16 << 20) + 1]);
    let paths = [
        "empty",
        "none.toml",
        "latin.toml",
        "broken.toml",
        "large.toml",
        "main.toml",
        "main.toml",
    ];
    let found = load(&paths.map(at), &env).expect_err("errors");
    let lines: Vec<String> = found
        .iter()
        .map(|d| {
            format!(
                "{} {}:{}:{}",
                d.code,
                d.place.file.rsplit('/').next().unwrap_or(""),
                d.place.line,
                d.place.column
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "E-CONF-013 empty:0:0",
            "E-CONF-010 none.toml:0:0",
            "E-CONF-012 large.toml:0:0",
            "E-CONF-011 latin.toml:2:9",
            "E-CONF-006 broken.toml:1:8",
            "E-CONF-014 main.toml:0:0",
        ],
        "{found}"
    );
    assert!(
        load(&[], &env)
            .expect_err("nothing")
            .to_string()
            .contains("E-CONF-013")
    );
}

#[test]
fn defaults_stand_for_what_is_not_written() {
    let config = load_str("a.toml", "").expect("empty is fine").config;
    assert_eq!(config, super::Config::default());
    assert_eq!(*config.telemetry.explain.keep, 20_000);
    let text = "[[route]]\nname = \"r\"\ntimeouts = { request = \"1s\" }\n[[route]]\nname = \"s\"\ntimeouts = { idle = \"1s\" }\n";
    let config = load_str("a.toml", text).expect("loads").config;
    let origin = |n: usize| {
        let route: &crate::config::words::RouteConfig = &config.routes[n];
        route.timeouts.as_ref().expect("written").towards_origin()
    };
    assert!(origin(0).is_none());
    let whole = origin(1).expect("one word is written");
    assert_eq!(
        (*whole.idle, *whole.connect),
        (Duration::from_secs(1), Duration::from_secs(2))
    );
    assert!(config.routes[0].defaults);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_mutilated_file_never_panics(
        cuts in proptest::collection::vec((0..SPINE.len(), 0..40usize, "[\\[\\]{}=\",.#$0-9a-zé\n-]{0,6}"), 1..6)
    ) {
        let mut text = SPINE.to_owned();
        for (at, length, insert) in cuts {
            let near = |n: usize, text: &str| (n.min(text.len())..=text.len()).find(|n| text.is_char_boundary(*n)).unwrap_or(text.len());
            let start = near(at, &text);
            let end = near(start + length, &text);
            text.replace_range(start..end, &insert);
        }
        match load_str("spine.toml", &text) {
            Ok(loaded) => prop_assert!(!loaded.diagnostics.has_errors()),
            Err(found) => {
                prop_assert!(found.has_errors());
                let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX) + 1;
                for one in &found {
                    prop_assert!(one.place.line >= 1 && one.place.line <= lines, "{one}");
                    prop_assert!(one.code.starts_with("E-CONF-"));
                }
            }
        }
    }
}
