//! What the whole Core Rule Set takes in memory, however many routes it stands on.

use std::fmt::Write;
use std::path::PathBuf;

use crate::harness::{Demo, Setup, eventually};

/// Routes of the large configurations.
const ROUTES: usize = 100;
/// How much more memory they may take than one route.
const GROWTH_BYTES: u64 = 10 << 20;

/// A configuration of so many routes, /r1/ and so on; each has these plugins, where `{n}` is its number.
fn config(routes: usize, plugins: &str, named: &str) -> String {
    let mut text = String::from(
        "[[listener]]\nname = \"web\"\naddress = \"@web\"\n\n\
         [[upstream]]\nname = \"app\"\nendpoints = [\"@origin\"]\n",
    );
    for n in 1..=routes {
        let plugins = plugins.replace("{n}", &n.to_string());
        write!(
            text,
            "\n[[route]]\nname = \"r{n}\"\npaths = [\"/r{n}/*\"]\nplugins = [{plugins}]\nupstream = \"app\"\n"
        )
        .expect("a string takes it");
    }
    text + named
}

/// The node's memory once every route has judged a request.
async fn resident(config: &str, routes: usize) -> u64 {
    let demo = Demo::start().await;
    let mut node = Setup::new().with("origin", demo.address()).prepare(config);
    node.spawn();
    // Rules of this size take a build without optimisation some seconds: longer than a node may take otherwise.
    eventually("rules that are compiled", || async {
        tokio::net::TcpStream::connect(node.at("admin")).await.ok()
    })
    .await;
    node.ready().await;
    let mut client = node.client().await;
    for n in 1..=routes {
        let ask = |query: &str| {
            format!(
                "GET /r{n}/echo?q={query} HTTP/1.1\r\nHost: shop.example.test\r\nUser-Agent: a test\r\nAccept: */*\r\n\r\n"
            )
        };
        assert_eq!(client.ask(&ask("between+5+and+10")).await.status, 200);
        if n == routes {
            // The rules are there, not only their memory.
            let refused = client
                .ask(&ask("1%27+or+1%3D1+union+select+password+from+users--+-"))
                .await;
            assert_eq!(refused.status, 403);
        }
    }
    node.resident_bytes()
}

#[tokio::test]
async fn a_hundred_routes_share_one_rule_set() {
    let Some(folder) = std::env::var_os("FARMGATE_CRS_DIR") else {
        eprintln!("memory of 100 routes: not run (FARMGATE_CRS_DIR is not set)");
        return;
    };
    let folder = PathBuf::from(folder)
        .canonicalize()
        .expect("FARMGATE_CRS_DIR");
    let words = [
        "kind = \"waf\"".to_owned(),
        "engine = \"on\"".to_owned(),
        format!(
            "rules = [\"{0}/crs-setup.conf.example\", \"{0}/rules/*.conf\"]",
            folder.display()
        ),
        "paranoia = 1".to_owned(),
    ];
    let named = format!("\n[[plugin]]\nname = \"waf\"\n{}\n", words.join("\n"));
    let one = resident(&config(1, "\"waf\"", &named), 1).await;
    let shared = resident(&config(ROUTES, "\"waf\"", &named), ROUTES).await;
    let inline = format!(
        "{{ {}, exclude = [{{ rule = 942100, target = \"ARGS:text{{n}}\" }}] }}",
        words.join(", ")
    );
    let own = resident(&config(ROUTES, &inline, ""), ROUTES).await;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let line = format!(
        "1 route: {:.1} MiB; {ROUTES} with one plugin: {:.1} MiB; {ROUTES} with a plugin each: {:.1} MiB",
        mib(one),
        mib(shared),
        mib(own)
    );
    println!("{line}");
    assert!(shared.saturating_sub(one) <= GROWTH_BYTES, "{line}");
    assert!(own.saturating_sub(one) <= GROWTH_BYTES, "{line}");
}
