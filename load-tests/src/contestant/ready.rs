//! When a contestant is ready: when it gives the answer that all must give.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::Running;
use crate::case::Load;
use crate::certificate::CertificateFiles;
use crate::client::dial::Dial;
use crate::client::exchange::{Answer, Order, Sender, protocol};
use crate::client::{ANSWER_LIMIT, runtime};
use crate::interrupt;

/// How long a contestant may take from its start to its first good answer.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Waits for the first good answer. The reason it gives is that of the last bad one.
pub(super) fn wait(
    running: &mut Running,
    load: &Load,
    certificate: Option<&CertificateFiles>,
    edits: bool,
) -> Result<(), String> {
    let deadline = Instant::now() + START_LIMIT;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    let authority: Option<&Path> = certificate.map(|files| files.authority.as_path());
    let dial = Dial::new(address, load, authority)?;
    let order = Order::new(load)?;
    let runtime = runtime()?;
    loop {
        running.process.check_alive()?;
        let answer = runtime.block_on(async {
            let asking = ask(&dial, load, &order);
            tokio::time::timeout(ANSWER_LIMIT, asking)
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {ANSWER_LIMIT:?}")))
        });
        match answer.and_then(|answer| check(&answer, load.response_bytes, edits)) {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() > deadline => return Err(reason),
            Err(_) => {}
        }
        interrupt::pause()?;
    }
}

async fn ask(dial: &Dial, load: &Load, order: &Order) -> Result<Answer, String> {
    let stream = dial.open().await?;
    let failed = |error: hyper::Error| error.to_string();
    let mut sender = Sender::start(stream, protocol(load))
        .await
        .map_err(failed)?;
    sender.ask(order).await.map_err(failed)
}

/// Equal work means an equal answer: 200, the whole body, and the headers edited.
fn check(answer: &Answer, bytes: usize, edits: bool) -> Result<(), String> {
    let Answer {
        status,
        headers,
        body_bytes,
    } = answer;
    if *status != StatusCode::OK {
        return Err(format!("answered {status}"));
    }
    if *body_bytes != bytes {
        return Err(format!("a body of {body_bytes} bytes, not {bytes}"));
    }
    if edits
        && headers
            .get("x-served-by")
            .is_none_or(|value| value != "bench")
    {
        return Err("the answer lacks x-served-by".into());
    }
    if edits && headers.contains_key("x-powered-by") {
        return Err("the answer still has x-powered-by".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn answer(status: StatusCode, headers: &[(&'static str, &'static str)]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer {
            status,
            headers: map,
            body_bytes: 4,
        }
    }

    #[test]
    fn checks_answers_for_equal_work() {
        let served = ("x-served-by", "bench");
        let powered = ("x-powered-by", "x");
        let good = answer(StatusCode::OK, &[served]);
        assert_eq!(check(&good, 4, true), Ok(()));
        assert!(check(&good, 5, true).unwrap_err().contains("4 bytes"));
        let plain = answer(StatusCode::OK, &[powered]);
        assert_eq!(check(&plain, 4, false), Ok(()));
        assert!(check(&plain, 4, true).unwrap_err().contains("x-served-by"));
        let kept = answer(StatusCode::OK, &[served, powered]);
        assert!(check(&kept, 4, true).unwrap_err().contains("x-powered-by"));
        let error = answer(StatusCode::BAD_GATEWAY, &[served]);
        assert!(check(&error, 4, false).unwrap_err().contains("502"));
    }
}
