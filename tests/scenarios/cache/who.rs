//! Answers to somebody who is known, by each way of being known that this build has.

use super::{config, get, is_hit, numbering, status, telling};
use crate::harness::authority::{Authority, Wanted};
use crate::harness::tls::TlsClient;
use crate::harness::{Client, Node, Origin, Setup};

const KEEP: &str = "Cache-Control: max-age=600\r\n";
const OURS: &str = "key = { consumer = true }";

#[tokio::test]
async fn authorization_keeps_an_answer_out_unless_it_is_for_all() {
    // RFC 9111 section 3.5; `consumer` changes nothing, since nobody verified the field.
    for policy in ["", OURS] {
        let origin = numbering(KEEP).await;
        let node = super::node(&origin, policy).await;
        for number in ["n0", "n1"] {
            let response = get(&node, "/mine", "Authorization: Basic YTpi\r\n").await;
            assert_eq!(response.text(), number, "{policy}");
            assert!(
                status(&response).contains("detail=authenticated"),
                "{response:?}"
            );
        }
        // And nobody else's requests queue because of it.
        assert_eq!(get(&node, "/mine", "").await.text(), "n2");
        assert!(is_hit(&get(&node, "/mine", "").await));
    }
    for word in ["public", "must-revalidate", "s-maxage=600"] {
        let fields = format!("Cache-Control: max-age=600, {word}\r\n");
        let origin = telling(move |_, number| (200, fields.clone(), format!("n{number}"))).await;
        let node = super::node(&origin, "").await;
        get(&node, "/ours", "Authorization: Basic YTpi\r\n").await;
        let other = get(&node, "/ours", "Authorization: Basic Yzpk\r\n").await;
        assert_eq!(
            (is_hit(&other), other.text()),
            (true, "n0".to_owned()),
            "{word}"
        );
        assert!(is_hit(&get(&node, "/ours", "").await), "{word}");
    }
}

/// A node where the plugin of tests takes the field `x-who` for the consumer's name.
async fn plugin(origin: &Origin, policy: &str, verified: bool) -> Node {
    let probe = format!(
        "plugins = [{{ kind = \"probe\", consumer = \"x-who\", by_authorization = {verified} }}]"
    );
    let setup = Setup::new()
        .with("origin", origin.address())
        .env("FARMGATE_TEST_PLUGINS", "1");
    let config =
        config(policy, "").replace("cache = \"all\"", &format!("cache = \"all\"\n{probe}"));
    setup.start(&config).await
}

#[tokio::test]
async fn a_consumer_of_a_plugin_is_somebody() {
    let (anna, ben) = ("X-Who: anna\r\n", "X-Who: ben\r\n");
    let origin = numbering(KEEP).await;
    let node = plugin(&origin, "", false).await;
    for number in ["n0", "n1"] {
        let response = get(&node, "/mine", anna).await;
        assert_eq!(response.text(), number);
        assert!(
            status(&response).contains("detail=authenticated"),
            "{response:?}"
        );
    }
    // With the consumer in the key each has answers of its own, and nobody has none.
    let origin = numbering(KEEP).await;
    let node = plugin(&origin, OURS, false).await;
    for (who, number) in [(anna, "n0"), (ben, "n1"), ("", "n2")] {
        assert_eq!(get(&node, "/mine", who).await.text(), number, "{who}");
        let again = get(&node, "/mine", who).await;
        assert_eq!(
            (is_hit(&again), again.text()),
            (true, number.to_owned()),
            "{who}"
        );
    }
    // A field nobody verified speaks about somebody unknown, though the plugin knows a consumer.
    let both = format!("{anna}Authorization: Basic YTpi\r\n");
    for number in ["n3", "n4"] {
        assert_eq!(get(&node, "/other", &both).await.text(), number);
    }
}

#[tokio::test]
async fn a_consumer_by_authorization_is_known_by_it() {
    let origin = numbering(KEEP).await;
    let node = plugin(&origin, OURS, true).await;
    let anna = "X-Who: anna\r\nAuthorization: Basic YTpi\r\n";
    assert_eq!(get(&node, "/mine", anna).await.text(), "n0");
    assert!(is_hit(&get(&node, "/mine", anna).await));
    let ben = "X-Who: ben\r\nAuthorization: Basic YTpi\r\n";
    assert_eq!(get(&node, "/mine", ben).await.text(), "n1");
    let node = plugin(&origin, "", true).await;
    for number in ["n2", "n3"] {
        assert_eq!(get(&node, "/mine", anna).await.text(), number);
    }
}

struct Certified {
    root: Authority,
    partners: Authority,
    node: Node,
}

async fn certified(origin: &Origin, policy: &str) -> Certified {
    let (root, partners) = (Authority::new("root"), Authority::new("partners"));
    let setup = Setup::new().with("origin", origin.address());
    root.simple(&["a.test"]).write(setup.folder(), "www");
    partners.write(setup.folder(), "partners.pem");
    let tls = r#"
[[tls]]
name = "partners"
certificates = [{ cert = "www.pem", key = "www.key" }]
client_auth = { ca = "partners.pem", mode = "optional" }
"#;
    let config =
        config(policy, tls).replace("protocols = [\"http1\", \"h2c\"]", "tls = \"partners\"");
    let node = setup.start(&config).await;
    Certified {
        root,
        partners,
        node,
    }
}

impl Certified {
    async fn get(&self, who: Option<&str>) -> crate::harness::client::Response {
        let client = TlsClient::new(&self.root, "a.test");
        let client = match who {
            None => client,
            Some(name) => client.with_certificate(&self.partners.issue(&Wanted {
                names: &[name],
                rsa: false,
                days: 10,
            })),
        };
        let mut client: Client = client.http1(self.node.at("web")).await;
        client.get("/mine").await
    }

    /// Twice with one certificate.
    async fn twice(
        &self,
        who: &str,
    ) -> (
        crate::harness::client::Response,
        crate::harness::client::Response,
    ) {
        let issued = self.partners.simple(&[who]);
        let mut responses = Vec::new();
        for _ in 0..2 {
            let client = TlsClient::new(&self.root, "a.test").with_certificate(&issued);
            let mut client: Client = client.http1(self.node.at("web")).await;
            responses.push(client.get("/mine").await);
        }
        let second = responses.pop().expect("two");
        (responses.pop().expect("one"), second)
    }
}

#[tokio::test]
async fn a_client_certificate_is_somebody() {
    let origin = numbering(KEEP).await;
    let here = certified(&origin, "").await;
    let (first, second) = here.twice("one.test").await;
    assert_eq!(
        (first.text(), second.text()),
        ("n0".to_owned(), "n1".to_owned())
    );
    assert!(
        status(&second).contains("detail=authenticated"),
        "{second:?}"
    );
    // Who shows none is answered from what another without one left, and not from theirs.
    assert_eq!(here.get(None).await.text(), "n2");
    assert!(is_hit(&here.get(None).await));
    let origin = numbering(KEEP).await;
    let here = certified(&origin, OURS).await;
    for (who, number) in [("one.test", "n0"), ("two.test", "n1")] {
        let (first, second) = here.twice(who).await;
        assert_eq!(first.text(), number, "{who}");
        assert_eq!(
            (is_hit(&second), second.text()),
            (true, number.to_owned()),
            "{who}"
        );
    }
    // Another certificate for the same name is another one.
    assert_eq!(here.get(Some("one.test")).await.text(), "n2");
    assert_eq!(here.get(None).await.text(), "n3");
}
