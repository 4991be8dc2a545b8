//! Every bound of a listener: connections, heads, bodies and the time each may take.

mod bodies;
mod connections;
mod h2;
mod heads;
mod http2;

/// A listener with these words, an upstream and a route that takes everything.
fn config(words: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
{words}

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "any"
upstream = "app"
"#
    )
}
