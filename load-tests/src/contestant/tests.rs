use super::*;

#[test]
fn fills_its_places_and_leaves_the_rest() {
    let places = Places(vec![("PORT", "81".into()), ("FOLDER", "/t".into())]);
    let filled = places.fill("listen ${PORT}; log ${FOLDER}/x $host ${other} ${PORT}");
    assert_eq!(filled, "listen 81; log /t/x $host ${other} 81");
}

#[test]
fn every_template_is_there_and_has_no_unknown_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = [
        "PORT",
        "ADMIN_PORT",
        "ORIGIN",
        "ORIGIN_HOST",
        "ORIGIN_PORT",
        "FOLDER",
        "CONFIG",
    ];
    let places = Places(known.map(|name| (name, String::new())).into());
    for kind in KINDS {
        let path = match kind.config {
            Config::None => continue,
            Config::Case(file) => folder.join("cases/proxy").join(file),
            Config::Rival(file) => folder.join("rivals").join(file),
        };
        let filled = places.fill(&fs::read_to_string(path).unwrap());
        assert!(!filled.contains("${"), "{}: {filled}", kind.name);
    }
}

#[test]
fn an_unknown_contestant_names_the_known_ones() {
    let error = Contestant::find("apache").err().unwrap();
    assert!(error.contains("farmgate, bare-pingora, nginx"), "{error}");
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

#[test]
fn checks_answers_for_equal_work() {
    let good = b"HTTP/1.1 200 OK\r\nX-Served-By: bench\r\n\r\nabcd";
    assert_eq!(check_answer(good, 4, true), Ok(()));
    assert!(check_answer(good, 5, true).unwrap_err().contains("4 bytes"));
    let plain = b"HTTP/1.1 200 OK\r\nX-Powered-By: x\r\n\r\nabcd";
    assert_eq!(check_answer(plain, 4, false), Ok(()));
    assert!(check_answer(plain, 4, true).is_err());
    let kept = b"HTTP/1.1 200 OK\r\nX-Served-By: bench\r\nX-Powered-By: x\r\n\r\nabcd";
    assert!(
        check_answer(kept, 4, true)
            .unwrap_err()
            .contains("x-powered-by")
    );
    let error = b"HTTP/1.1 502 Bad Gateway\r\n\r\nabcd";
    assert!(check_answer(error, 4, false).unwrap_err().contains("502"));
    assert!(check_answer(b"nothing", 4, false).is_err());
}
