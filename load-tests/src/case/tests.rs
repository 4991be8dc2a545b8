use super::*;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

#[test]
fn every_case_opens_and_is_complete() {
    let names = names(&cases()).unwrap();
    assert!(names.contains(&"proxy".to_owned()));
    for name in names {
        let case = Case::open(&cases(), &name).unwrap();
        let budget = &case.budget;
        let limits = [
            budget.ratio_to_bare_pingora,
            budget.ratio_to_nginx,
            budget.ratio_to_varnish,
            budget.origin_fetches,
            budget.resident_growth_mib,
            budget.engine_us,
        ];
        assert!(limits.iter().flatten().count() > 0, "{name}");
        assert!(case.load.connections > 0, "{name}");
        assert!(!case.title().unwrap().is_empty(), "{name}");
        // Whoever counts fetches has a limit for them: a case of hits is one of hits alone.
        let counts = case.load.cache.is_some();
        assert_eq!(counts, budget.origin_fetches.is_some(), "{name}");
    }
}

#[test]
fn an_unknown_case_names_the_known_ones() {
    let error = Case::open(&cases(), "nothing").unwrap_err();
    assert!(error.contains("proxy"), "{error}");
}

#[test]
fn an_unknown_word_is_refused() {
    assert!(toml::from_str::<Budget>("ratio_to_bare_pingora = 1.0\nlosses = 0\n").is_ok());
    assert!(toml::from_str::<Budget>("ratio = 1.0\nlosses = 0\n").is_err());
}

#[test]
fn many_streams_want_http2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.toml");
    let read = |streams: u32, protocol: &str| {
        let text = format!(
            "target = \"/\"\nhost = \"a.test\"\nheaders = []\nconnections = 1\nresponse_bytes = 1\n\
             [tls]\nprotocol = \"{protocol}\"\nstreams = {streams}\ngroup = \"X25519\"\n"
        );
        fs::write(&file, text).unwrap();
        Load::read(&file)
    };
    assert!(read(10, "h2").is_ok() && read(1, "http1").is_ok());
    let error = read(2, "http1").unwrap_err();
    assert!(
        error.contains("load.toml") && error.contains("`tls.streams` is 2"),
        "{error}"
    );
    assert!(read(0, "h2").is_err());
    assert_eq!(read(1, "nothing").unwrap().unit(), Unit::Handshake);
}

#[test]
fn a_word_stands_for_a_case_or_a_group() {
    let chosen = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        chosen(&cases(), &words)
    };
    let cache = chosen(&["cache"]).unwrap();
    assert!(cache.len() >= 5 && cache.iter().all(|name| name.starts_with("cache_")));
    // A case is itself, though others begin with its name.
    assert_eq!(chosen(&["tls"]).unwrap(), ["tls"]);
    assert_eq!(
        chosen(&["tls", "cache_1k", "tls"]).unwrap(),
        ["tls", "cache_1k"]
    );
    let some = chosen(&["cache_miss", "cache"]).unwrap();
    assert_eq!(some.first().map(String::as_str), Some("cache_miss"));
    assert_eq!(some.len(), cache.len());
    let error = chosen(&["cach"]).unwrap_err();
    assert!(
        error.contains("cache_10m") && error.contains("proxy"),
        "{error}"
    );
}

#[test]
fn a_load_of_a_cache_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.toml");
    let read = |asks: &str, more: &str| {
        let text = format!(
            "target = \"/\"\nhost = \"a.test\"\nheaders = []\nconnections = 8\nresponse_bytes = 1\n\
             [cache]\nasks = {asks}\n{more}"
        );
        fs::write(&file, text).unwrap();
        Load::read(&file)
    };
    let asks = |text: &str| read(text, "").map(|load| load.cache.unwrap().asks);
    assert_eq!(
        asks("{ hits = { objects = 3 } }"),
        Ok(Asks::Hits { objects: 3 })
    );
    assert_eq!(asks("{ misses = {} }"), Ok(Asks::Misses {}));
    assert!(asks("{ groups = { clients = 4, head_ms = 1, body_ms = 0 } }").is_ok());
    for (wrong, word) in [
        ("{ hits = { objects = 0 } }", "objects"),
        ("{ hits = { objects = 1, object = 2 } }", "object"),
        ("{ misses = { objects = 1 } }", "objects"),
        ("{ hit = { objects = 1 } }", "hit"),
        (
            "{ groups = { clients = 0, head_ms = 1, body_ms = 1 } }",
            "clients",
        ),
        (
            "{ groups = { clients = 2, head_ms = 0, body_ms = 1 } }",
            "head_ms",
        ),
        (
            "{ groups = { clients = 3, head_ms = 1, body_ms = 1 } }",
            "no multiple of the 3",
        ),
    ] {
        let error = asks(wrong).unwrap_err();
        assert!(
            error.contains("load.toml") && error.contains(word),
            "{error}"
        );
    }
    let tls = "[tls]\nprotocol = \"http1\"\nstreams = 1\ngroup = \"X25519\"\n";
    let error = read("{ misses = {} }", tls).unwrap_err();
    assert!(error.contains("`tls` and `cache`"), "{error}");
}

#[test]
fn a_budget_fits_its_load() {
    let folder = tempfile::tempdir().unwrap();
    let open = |cache: &str, budget: &str| {
        let case = folder.path().join("some");
        fs::create_dir_all(&case).unwrap();
        let load = format!(
            "target = \"/\"\nhost = \"a.test\"\nheaders = []\nconnections = 2\nresponse_bytes = 1\n{cache}"
        );
        fs::write(case.join("load.toml"), load).unwrap();
        fs::write(case.join("budget.toml"), format!("losses = 0\n{budget}")).unwrap();
        Case::open(folder.path(), "some")
    };
    let misses = "[cache]\nasks = { misses = {} }\n";
    let groups = "[cache]\nasks = { groups = { clients = 2, head_ms = 1, body_ms = 1 } }\n";
    assert!(open(misses, "origin_fetches = 1.0").is_ok());
    assert!(open(groups, "first_byte_after_head_ms = 5.0").is_ok());
    for (load, budget) in [
        ("", "origin_fetches = 1.0"),
        (misses, "first_byte_after_head_ms = 5.0"),
    ] {
        let error = open(load, budget).unwrap_err();
        assert!(error.contains("budget.toml"), "{error}");
    }
}
