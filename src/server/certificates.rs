//! Follows the files of `[[tls]]` and `[upstream.tls]`: looked at again and again, read again when they change. Asks
//! OCSP responders.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use farmgate_plugin_api::services::ClientRequest;
use http::header::CONTENT_TYPE;

use super::Server;
use crate::snapshot::UpstreamPlan;
use crate::tls::Edge;
use crate::tls::edge::Due;
use crate::tls::upstream::Followed;

/// How often the files are looked at, where that is quick.
const LOOK: Duration = Duration::from_secs(1);
/// Looking takes this part of the time at most: a hundred thousand files are looked at more seldom.
const PART: u32 = 20;
/// Questions to responders per look, how long an answer may take, and its most bytes.
const QUESTIONS: usize = 4;
const ANSWER: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 64 * 1024;

/// Looks for ever.
pub async fn run(server: Arc<Server>) {
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        let looked = Arc::clone(&server);
        let looking = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let snapshot = looked.node.current.load();
            for edge in snapshot.tls.values() {
                edge.refresh(&looked.state.tls, SystemTime::now());
            }
            for plan in snapshot.upstreams.values() {
                follow(plan);
            }
            began.elapsed()
        });
        // An error means that the runtime ends, and this task with it.
        let took = looking.await.unwrap_or_default();
        pause = LOOK.max(took * PART);
        for edge in server.node.current.load().tls.values() {
            for due in edge.staples_due(SystemTime::now(), QUESTIONS) {
                tokio::spawn(staple(Arc::clone(&server), Arc::clone(edge), due));
            }
        }
    }
}

/// Looks at the files of TLS towards the endpoints of an upstream.
fn follow(plan: &UpstreamPlan) {
    let Some(tls) = &plan.tls else { return };
    match tls.follow(SystemTime::now()) {
        Followed::Same => {}
        Followed::Taken => {
            plan.metrics.tls_refreshed(true);
            log::info!("upstream {}: files of TLS were read again", plan.name());
        }
        Followed::Fine => log::info!("upstream {}: files of TLS are fine again", plan.name()),
        Followed::Refused(why) => {
            plan.metrics.tls_refreshed(false);
            let name = plan.name();
            log::error!("upstream {name}: {why}; what was read before stays in force");
        }
    }
    let stale = i64::try_from(tls.problems().len()).unwrap_or(i64::MAX);
    plan.metrics.tls_stale_files.set(stale);
}

/// Asks a responder about one certificate (RFC 6960 appendix A).
async fn staple(server: Arc<Server>, edge: Arc<Edge>, due: Due) {
    let head = http::Request::post(&due.url).header(CONTENT_TYPE, "application/ocsp-request");
    let answer = match head.body(()) {
        Ok(head) => {
            let request = ClientRequest {
                head,
                body: Bytes::from(due.request),
                timeout: ANSWER,
                max_response_bytes: ANSWER_BYTES,
            };
            server.host.http_client().send(request).await
        }
        Err(error) => Err(error.to_string()),
    };
    let now = SystemTime::now();
    match answer {
        Ok(answer) if answer.status() == http::StatusCode::OK => {
            edge.stapled(due.number, Ok(answer.body()), now);
        }
        Ok(answer) => {
            let why = format!("the responder answered {}", answer.status());
            edge.stapled(due.number, Err(why), now);
        }
        Err(why) => edge.stapled(due.number, Err(why), now),
    }
}
