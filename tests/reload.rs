//! Reload: all or nothing, without losing a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::{Client, Demo, Node, Origin, SOON, Setup, eventually, node::joined};
use crate::scenarios::PLAIN;
use crate::scenarios::websocket::{echo, open};

/// One reload a second for 30 s under load, with open WebSockets: nothing fails, nothing is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_second_under_load_nothing_is_lost() {
    let demo = Demo::start().await;
    let config = |n: u32| {
        let tag = format!("response = {{ set = {{ \"x-round\" = \"{n}\" }} }}");
        let route = "upstream = \"app\"\nplugins = [\"round\"]\n[[plugin]]\nname = \"round\"\nkind = \"headers\"\n";
        // Another route and another upstream come and go.
        let more = match n % 2 {
            0 => String::new(),
            _ => "[[upstream]]\nname = \"other\"\nendpoints = [\"@origin\"]\n[[route]]\nname = \"other\"\npaths = [\"/other/*\"]\nupstream = \"other\"\n".to_owned(),
        };
        format!(
            "{}\n{more}",
            PLAIN.replace("upstream = \"app\"", &format!("{route}{tag}\n"))
        )
    };
    let mut node = Node::serving(demo.address(), &config(0)).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(open(&node).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let web = node.at("web");
    let load: Vec<_> = (0..4)
        .map(|task| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut client = Client::connect(web).await;
                let mut pace = tokio::time::interval(Duration::from_millis(4));
                let mut rounds = std::collections::BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let response = client.get(&format!("/bytes/100?{task}")).await;
                    assert_eq!((response.status, response.body.len()), (200, 100));
                    rounds.insert(response.header("x-round").map(str::to_owned));
                    let posted = client.post("/echo", "hello").await;
                    assert_eq!((posted.status, posted.text().as_str()), (200, "hello"));
                    if response.header("connection") == Some("close") {
                        client = Client::connect(web).await;
                    }
                    done.fetch_add(2, Ordering::Relaxed);
                }
                rounds.len()
            })
        })
        .collect();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    for n in 1..=30 {
        tick.tick().await;
        node.reload(&config(n)).await;
        for (at, socket) in sockets.iter_mut().enumerate() {
            echo(socket, &format!("{n} {at}")).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        let rounds = joined(task).await;
        assert!(rounds >= 25, "requests saw {rounds} of 31 configurations");
    }
    assert!(done.load(Ordering::Relaxed) > 1000);
    node.metric_is("farmgate_config_generation", &[], 31.0)
        .await;
    node.metric_is("farmgate_config_reloads_total", &[("result", "ok")], 31.0)
        .await;
    // The WebSockets still stand on the first picture; when they end it goes.
    let alive = node.metric("farmgate_config_generations_alive", &[]).await;
    assert!((2.0..=4.0).contains(&alive), "{alive}");
    for mut socket in sockets {
        socket.close(None).await.expect("close");
    }
    node.metric_is("farmgate_config_generations_alive", &[], 1.0)
        .await;
    for code in ["5xx", "4xx", "none"] {
        let lost = node
            .metric("farmgate_requests_total", &[("code", code)])
            .await;
        assert_eq!(lost, 0.0, "{code}");
    }
    assert_eq!(
        node.metric("farmgate_access_log_dropped_total", &[]).await,
        0.0
    );
    node.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_and_changes_nothing() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    assert_eq!(client.get("/before").await.status, 200);
    node.write(&PLAIN.replace("upstream = \"app\"", "upstream = \"ap\"\npaths = [\"x\"]"));
    let ran = node.run(&["reload"]).await.expect(1);
    let text = ran.text();
    for part in [
        "E-ROUTE-001",
        "E-ROUTE-003",
        "farmgate.toml:",
        "did you mean \"app\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(client.get("/after").await.status, 200);
    assert_eq!(node.metric("farmgate_config_generation", &[]).await, 1.0);
    node.metric_is(
        "farmgate_config_reloads_total",
        &[("result", "refused")],
        1.0,
    )
    .await;
    node.metric_is("farmgate_config_last_reload_success", &[], 0.0)
        .await;
    let status = node.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["last_reload"]["result"], "refused");
    node.write("not toml [");
    node.run(&["reload"]).await.expect(1);
    node.reload(PLAIN).await;
    node.metric_is("farmgate_config_last_reload_success", &[], 1.0)
        .await;
    assert_eq!(client.get("/again").await.status, 200);
}

#[tokio::test]
async fn listeners_come_and_go() {
    let origin = Origin::answering("ok").await;
    let second = "[[listener]]\nname = \"second\"\naddress = \"@second\"\n";
    let mut node = Node::serving(origin.address(), PLAIN).await;
    node.reload(&format!("{PLAIN}\n{second}")).await;
    let mut kept = Client::connect(node.at("second")).await;
    assert_eq!(kept.get("/second").await.status, 200);
    node.reload(PLAIN).await;
    // Nothing new is taken; what is open is served to its end.
    eventually("the address to be free", || async {
        tokio::net::TcpStream::connect(node.at("second"))
            .await
            .err()
    })
    .await;
    kept.closes_within(SOON).await;
    assert_eq!(node.get("/still").await.status, 200);
    // And back again, on the same address.
    node.reload(&format!("{PLAIN}\n{second}")).await;
    assert_eq!(
        Client::connect(node.at("second"))
            .await
            .get("/back")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_on_a_removed_listener_ends_well() {
    let (origin, go) = Origin::held("late").await;
    let second = "[[listener]]\nname = \"second\"\naddress = \"@second\"\n";
    let mut node = Node::serving(origin.address(), &format!("{PLAIN}\n{second}")).await;
    let mut client = Client::connect(node.at("second")).await;
    client
        .send("GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    eventually("the request", || async {
        (!origin.seen().is_empty()).then_some(())
    })
    .await;
    node.reload(PLAIN).await;
    go.send(true).expect("the origin");
    assert_eq!(client.response().await.expect("a response").text(), "late");
    client.closes_within(SOON).await;
}

#[tokio::test]
async fn limiters_keep_their_counts() {
    let origin = Origin::answering("ok").await;
    let limited = |extra: &str| {
        format!(
            "{}{extra}\n[[plugin]]\nname = \"limit\"\nkind = \"rate_limit\"\nlimits = [{{ key = \"header:x-user\", rate = 5, per = \"1h\" }}]\n",
            PLAIN.replace(
                "upstream = \"app\"",
                "upstream = \"app\"\nplugins = [\"limit\"]"
            )
        )
    };
    let mut node = Node::serving(origin.address(), &limited("")).await;
    let mut client = node.client().await;
    let mut statuses = Vec::new();
    for n in 0..8 {
        statuses.push(client.get_with("/", "X-User: u\r\n").await.status);
        if n % 2 == 1 {
            node.reload(&limited(&format!("# {n}"))).await;
        }
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
}

#[tokio::test]
async fn endpoints_keep_their_connections_and_leave_cleanly() {
    let (one, two) = (Origin::answering("1").await, Origin::answering("2").await);
    let setup = Setup::new()
        .with("origin", one.address())
        .with("two", two.address());
    let mut node = setup.start(PLAIN).await;
    let mut client = node.client().await;
    client.get("/").await;
    node.reload(&format!("{PLAIN}# the same\n")).await;
    client.get("/").await;
    assert_eq!(one.connections(), 1, "the pool is kept");
    node.reload(&PLAIN.replace("@origin", "@two")).await;
    assert_eq!(client.get("/").await.text(), "2");
    // The removed endpoint's idle connection closes.
    node.metric_is(
        "farmgate_upstream_connections_open",
        &[("upstream", "app")],
        1.0,
    )
    .await;
}

#[tokio::test]
async fn what_cannot_change_here_needs_an_upgrade() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    let path = node.config().to_owned();
    let before = std::fs::read_to_string(&path).expect("the configuration");
    let changes = [
        ("threads = 2", "threads = 3", "server.threads"),
        ("run/control.sock", "run/other.sock", "server.control"),
        ("run/state", "run/other", "server.state"),
        (
            &*node.at("admin").to_string(),
            "127.0.0.1:1",
            "admin.address",
        ),
    ];
    for (old, new, word) in changes {
        std::fs::write(&path, before.replace(old, new)).expect("write");
        let text = node.run(&["reload"]).await.expect(1).text();
        assert!(
            text.contains(word) && text.contains("needs farmgate upgrade"),
            "{text}"
        );
    }
    node.reload(PLAIN).await;
    assert_eq!(node.get("/").await.status, 200);
}

#[tokio::test]
async fn an_address_that_is_taken_refuses_the_reload() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    let taken =
        std::net::TcpListener::bind((crate::harness::address::own_ip(), 0)).expect("a port");
    let address = taken.local_addr().expect("its address");
    let more = |address: &str| {
        format!(
            "{PLAIN}\n[[listener]]\nname = \"free\"\naddress = \"@free\"\n[[listener]]\nname = \"taken\"\naddress = \"{address}\"\n"
        )
    };
    node.write(&more(&address.to_string()));
    let text = node.run(&["reload"]).await.expect(1).text();
    assert!(
        text.contains("E-BIND-001") && text.contains(&address.to_string()),
        "{text}"
    );
    // Nothing of it happened: the other new listener is not there either.
    assert!(
        tokio::net::TcpStream::connect(node.at("free"))
            .await
            .is_err()
    );
    assert_eq!(node.metric("farmgate_config_generation", &[]).await, 1.0);
    drop(taken);
    node.reload(&more(&address.to_string())).await;
    assert_eq!(Client::connect(address).await.get("/").await.status, 200);
    assert_eq!(
        Client::connect(node.at("free")).await.get("/").await.status,
        200
    );
}

async fn generation(node: &Node, number: f64) {
    node.metric_is("farmgate_config_generation", &[], number)
        .await;
}

#[tokio::test]
async fn sighup_reloads() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    node.write(&format!("{PLAIN}# changed\n"));
    node.signal("HUP");
    generation(&node, 2.0).await;
    node.write("nonsense = 1");
    node.signal("HUP");
    node.metric_is(
        "farmgate_config_reloads_total",
        &[("result", "refused")],
        1.0,
    )
    .await;
    generation(&node, 2.0).await;
    assert_eq!(node.get("/").await.status, 200);
}

#[tokio::test]
async fn a_changed_file_reloads_where_it_is_watched() {
    const WATCHING: &str = r#"
[server]
threads = 2
control = "run/control.sock"
drain = { idle_grace = "50ms", deadline = "2s" }
watch = { enabled = true, debounce = "50ms" }
[admin]
address = "@admin"
[telemetry]
access_log = { path = "run/access.log" }
"#;
    let origin = Origin::answering("ok").await;
    let setup = Setup::new()
        .preamble(WATCHING)
        .with("origin", origin.address());
    let mut node = setup.start(PLAIN).await;
    node.write(&format!("{PLAIN}# changed\n"));
    generation(&node, 2.0).await;
    node.write("nonsense = 1");
    node.metric_is(
        "farmgate_config_reloads_total",
        &[("result", "refused")],
        1.0,
    )
    .await;
    node.write(&format!("{PLAIN}# right again\n"));
    generation(&node, 3.0).await;
}

#[tokio::test]
async fn history_and_rollback() {
    let (one, two) = (Origin::answering("1").await, Origin::answering("2").await);
    let setup = Setup::new()
        .with("one", one.address())
        .with("two", two.address());
    let (first, second) = (
        PLAIN.replace("@origin", "@one"),
        PLAIN.replace("@origin", "@two"),
    );
    let mut node = setup.start(&first).await;
    node.reload(&second).await;
    assert_eq!(node.get("/").await.text(), "2");
    let history = node.run(&["history"]).await.expect(0).out;
    assert!(
        history.contains("start") && history.contains("reload"),
        "{history}"
    );
    node.run(&["rollback"]).await.expect(0);
    assert_eq!(node.get("/").await.text(), "1");
    node.run(&["rollback", "2"]).await.expect(0);
    assert_eq!(node.get("/").await.text(), "2");
    node.run(&["rollback", "99"]).await.expect(1);
    let json = node.run(&["history", "--json"]).await.expect(0).json();
    let entries = json["history"].as_array().expect("a list");
    assert_eq!(entries.len(), 4);
    for n in 0..25 {
        node.reload(&format!("{first}# {n}\n")).await;
    }
    let json = node.run(&["history", "--json"]).await.expect(0).json();
    assert_eq!(json["history"].as_array().expect("a list").len(), 20);
}

#[tokio::test]
async fn the_last_good_configuration_starts_a_node_only_when_asked() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    node.stop().await;
    node.write(&PLAIN.replace("upstream = \"app\"", "upstream = \"ap\""));
    node.spawn();
    assert_eq!(node.exit().await, 78);
    assert!(node.errors().contains("E-ROUTE-001"), "{}", node.errors());
    node.with_argument("--last-good");
    node.spawn();
    node.ready().await;
    assert_eq!(node.get("/").await.status, 200);
    node.stop().await;
    // A file that is no TOML at all is the commonest mistake.
    node.write("[[listener\n");
    node.spawn();
    node.ready().await;
    assert_eq!(node.get("/").await.status, 200);
}

#[tokio::test]
async fn sigterm_and_sigint_drain() {
    let origin = Origin::answering("ok").await;
    for signal in ["TERM", "INT"] {
        let mut node = Node::serving(origin.address(), PLAIN).await;
        let mut idle = node.client().await;
        idle.get("/").await;
        node.signal(signal);
        idle.closes_within(SOON).await;
        assert_eq!(node.exit().await, 0, "{signal}");
    }
}
