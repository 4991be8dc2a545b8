//! `purge`: takes out of the cache what must not be served any more.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::NodeArgs;
use super::client::{conclude, send};

/// Words of `purge`.
#[derive(Args, Clone)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    selector: Selector,
    /// What is purged becomes stale instead of gone: it may still stand in for an error of the origin.
    #[arg(long)]
    soft: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// What is purged. Several of one kind are one order.
#[derive(Args, Clone)]
#[group(required = true, multiple = false)]
struct Selector {
    /// One URL as clients ask for it, query included: every variant, on every route.
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// All with this tag; the policy's `tags` names the fields that carry tags.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All below this path: `https://host/static/` or `host/static/`, of both schemes.
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// All of this host, `name` or `name:port`, of both schemes.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Everything.
    #[arg(long)]
    all: bool,
}

pub(super) fn purge(args: &PurgeArgs) -> u8 {
    let Selector {
        url,
        tag,
        prefix,
        host,
        all,
    } = &args.selector;
    let order = json!({
        "url": url, "tag": tag, "prefix": prefix, "host": host, "all": all, "soft": args.soft,
    });
    match send(&args.node, Method::POST, "purge", &order) {
        Ok(answer) => conclude(&args.node, &answer, told),
        Err(code) => code,
    }
}

fn told(answer: &Value) -> String {
    let scopes = answer["scopes"].as_array().into_iter().flatten();
    let scopes: Vec<_> = scopes.filter_map(Value::as_str).collect();
    let done = if answer["kind"] == "soft" {
        "made stale"
    } else {
        "purged"
    };
    format!(
        "{done}: {} (purge number {}, {} ms); the cache knows {} objects, purged ones go as they are found",
        scopes.join(", "),
        answer["number"],
        answer["ms"],
        answer["objects"]
    )
}
