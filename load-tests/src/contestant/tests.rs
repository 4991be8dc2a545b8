use super::*;
use crate::case;

#[test]
fn every_template_is_there_and_has_no_unknown_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = [
        "SETUP",
        "CERTIFICATE",
        "KEY",
        "BUNDLE",
        "PORT",
        "ADMIN_PORT",
        "ORIGIN",
        "ORIGIN_HOST",
        "ORIGIN_PORT",
        "FOLDER",
        "CONFIG",
        "MEMORY",
        "CRS",
        "PARANOIA",
    ];
    let mut places = Places::default();
    for name in known {
        places.add(name, "");
    }
    let cases = folder.join("cases");
    for name in case::names(&cases).unwrap() {
        let case = Case::open(&cases, &name).unwrap();
        for kind in KINDS {
            if !takes_part(kind.name, &case.load) {
                continue;
            }
            let templates = kind.config.templates(&case, &folder.join("rivals"));
            for path in templates.unwrap() {
                let text = fs::read_to_string(path).unwrap();
                let filled = places.fill(&places::unroll(&text).unwrap());
                assert!(!filled.contains("${"), "{name}, {}: {filled}", kind.name);
            }
        }
    }
}

#[test]
fn a_case_leaves_out_contestants_that_exist() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    for name in case::names(&cases).unwrap() {
        let load = Case::open(&cases, &name).unwrap().load;
        for also in &load.also {
            assert!(takes_part(also, &load), "{name}: {also}");
        }
        for out in &load.without {
            assert!(names().any(|name| name == out), "{name}: {out}");
            assert!(!takes_part(out, &load));
        }
        assert!(takes_part(FARMGATE, &load), "{name}");
        // A proxy without a cache and a cache that is nothing else never meet.
        assert!(!takes_part(BARE_PINGORA, &load) || !takes_part(VARNISH, &load));
    }
}

#[test]
fn an_unknown_contestant_names_the_known_ones() {
    let error = Contestant::find("apache").err().unwrap();
    assert!(
        error.contains("farmgate, ") && error.contains("nginx"),
        "{error}"
    );
}

#[test]
fn a_version_stands_alone() {
    assert_eq!(version("nginx version: nginx/1.22.1"), "nginx/1.22.1");
    assert_eq!(
        version("HAProxy version 2.6.12 x"),
        "HAProxy version 2.6.12 x"
    );
    assert_eq!(version(""), "");
}
