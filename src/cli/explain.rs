//! `explain`: why a request gets what it gets.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use farmgate_plugin_api::Consumer;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::check::compile_dry;
use super::client::{conclude, send};
use super::{NodeArgs, exit};
use crate::server::explain::{
    Question, endpoints_offline, explain as decide, render, render_cache,
};

/// Words of `explain`.
#[derive(Args, Clone)]
pub(super) struct ExplainArgs {
    /// Explain offline with this configuration; a URL follows. Without it an id is looked up at a node.
    #[arg(long, value_name = "PATH", num_args = 1)]
    config: Vec<PathBuf>,
    /// The method.
    #[arg(short = 'X', value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header field, as `name: value`; may be given several times.
    #[arg(short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// The listener; without it the first one whose scheme is the URL's.
    #[arg(long)]
    listener: Option<String>,
    /// The client's address.
    #[arg(long, default_value = "127.0.0.1")]
    client: IpAddr,
    /// A name of the client's verified certificate; may be given several times.
    #[arg(long = "client-san", value_name = "NAME")]
    client_sans: Vec<String>,
    /// The name of the consumer that a plugin of the listener would find.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// The plan of that consumer.
    #[arg(long, value_name = "PLAN", requires = "consumer")]
    plan: Option<String>,
    /// A tag of that consumer; may be given several times.
    #[arg(long = "tag", value_name = "TAG", requires = "consumer")]
    tags: Vec<String>,
    /// The body.
    #[arg(short = 'd', long, value_name = "TEXT", default_value = "")]
    data: String,
    #[command(flatten)]
    node: NodeArgs,
    /// The URL, or the id of a request.
    #[arg(value_name = "URL|ID")]
    subject: String,
}

pub(super) fn explain(args: &ExplainArgs) -> u8 {
    if args.config.is_empty() {
        let path = format!("explain/{}", args.subject);
        return match send(&args.node, Method::GET, &path, &Value::Null) {
            Ok(answer) => conclude(&args.node, &answer, |body| {
                let mut lines = Vec::new();
                for (key, value) in body["request"].as_object().into_iter().flatten() {
                    let text = value.as_str().map_or(value.to_string(), str::to_owned);
                    lines.push(format!("{key:<14} {text}"));
                }
                let notes = body["plugins"].as_array().into_iter().flatten();
                lines.extend(
                    notes.filter_map(|note| Some(format!("plugin         {}", note.as_str()?))),
                );
                let mut cache = String::new();
                render_cache(&body["cache"], &mut cache);
                if !cache.is_empty() {
                    lines.push(format!("\n{}", cache.trim_end()));
                }
                if !body["decision"].is_null() {
                    lines.push(format!("\n{}", render(&body["decision"])));
                }
                if let Some(note) = body["note"].as_str() {
                    lines.push(format!("note: {note}"));
                }
                lines.join("\n")
            }),
            Err(code) => code,
        };
    }
    let question = match question(args) {
        Ok(question) => question,
        Err(why) => {
            err!("farmgate: {why}");
            return exit::USAGE;
        }
    };
    let (compiled, diagnostics) = compile_dry(&args.config);
    let Some((_, compiled)) = compiled else {
        for diagnostic in diagnostics.iter() {
            err!("{diagnostic}");
        }
        return exit::CONFIG;
    };
    match decide(&compiled.snapshot, &question) {
        Ok(mut decision) => {
            let state = compiled.settings.state.as_deref();
            decision["endpoints"] = endpoints_offline(&compiled.snapshot, &decision, state);
            if args.node.json {
                out!("{decision}");
            } else {
                out!("{}", render(&decision));
            }
            if decision["route"].is_null() && decision["reply"].is_null() {
                exit::FAILED
            } else {
                exit::OK
            }
        }
        Err(why) => {
            err!("farmgate: {why}");
            exit::FAILED
        }
    }
}

fn question(args: &ExplainArgs) -> Result<Question, String> {
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| format!("{:?} is no method", args.method))?;
    let (scheme, rest) = args
        .subject
        .split_once("://")
        .ok_or("the URL needs its scheme: http://host/path")?;
    if scheme != "http" && scheme != "https" {
        return Err(format!("{scheme:?} is neither http nor https"));
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let target = match target.chars().next() {
        None => "/".to_owned(),
        Some('?') => format!("/{target}"),
        Some(_) => target.to_owned(),
    };
    let mut headers = HeaderMap::new();
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| format!("{header:?} is not of the form \"name: value\""))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| format!("{name:?} is no field name"))?;
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| format!("{value:?} is no field value"))?;
        headers.append(name, value);
    }
    if !headers.contains_key(http::header::HOST) {
        let host = HeaderValue::from_str(host).map_err(|_| format!("{host:?} is no host"))?;
        headers.insert(http::header::HOST, host);
    }
    Ok(Question {
        tls: scheme == "https",
        listener: args.listener.clone(),
        method,
        target,
        headers,
        client: args.client,
        client_sans: args.client_sans.clone(),
        consumer: args.consumer.as_deref().map(|name| Consumer {
            name: name.into(),
            plan: args.plan.as_deref().map(Into::into),
            tags: args.tags.iter().map(|tag| tag.as_str().into()).collect(),
            ..Consumer::default()
        }),
        body: args.data.clone().into_bytes(),
    })
}
