//! Why a connection ended: told by the guard, or read off the GOAWAY that the engine sent.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::protocol::http2::{Breach, Budget, GoAway};
use crate::snapshot::Listener;
use crate::telemetry::H2End;

/// Lines about abuse in the event log, of all connections together.
const LINES: u64 = 20;
const PER: Duration = Duration::from_secs(10);

/// A budget was overrun.
pub(super) fn by(breach: Breach) -> H2End {
    match breach {
        Breach::RapidReset => H2End::RapidReset,
        Breach::MadeYouReset => H2End::MadeYouReset,
        Breach::ControlFlood => H2End::ControlFlood,
    }
}

/// The engine refused to go on; none if it was not the engine that ended the connection. The engine's error has the
/// code alone, so what it said to the client tells the rest.
pub(super) fn by_engine(error: &pingora_core::Error, said: Option<GoAway>) -> Option<H2End> {
    let cause = error.cause.as_deref()?.downcast_ref::<h2::Error>()?;
    if !cause.is_library() {
        return None;
    }
    let words = said.as_ref().map(GoAway::words).unwrap_or_default();
    Some(match cause.reason()? {
        h2::Reason::NO_ERROR => return None,
        h2::Reason::ENHANCE_YOUR_CALM if words.starts_with(b"too_many_continuations") => {
            H2End::ContinuationFlood
        }
        h2::Reason::ENHANCE_YOUR_CALM if words.starts_with(b"header_list") => H2End::HeaderList,
        h2::Reason::ENHANCE_YOUR_CALM if words.starts_with(b"too_many_data") => H2End::DataFlood,
        h2::Reason::ENHANCE_YOUR_CALM if words.starts_with(b"too_many_internal") => {
            H2End::MadeYouReset
        }
        h2::Reason::ENHANCE_YOUR_CALM => H2End::RapidReset,
        h2::Reason::FLOW_CONTROL_ERROR => H2End::Window,
        h2::Reason::COMPRESSION_ERROR => H2End::Compression,
        h2::Reason::FRAME_SIZE_ERROR => H2End::FrameSize,
        _ => H2End::Protocol,
    })
}

/// One line for the operator, unless there were many of late; the metric has them all.
pub(super) fn log(listener: &Listener, client: IpAddr, end: H2End) {
    static BUDGET: Mutex<Option<Budget>> = Mutex::new(None);
    let mut budget = BUDGET.lock();
    let budget = budget.get_or_insert_with(|| Budget::new(LINES, PER, Instant::now()));
    if budget.charge(1, Instant::now) {
        log::warn!(
            "listener {:?}: the HTTP/2 connection of {client} was ended with {}: {end}; {}",
            listener.name,
            end.code(),
            end.help()
        );
    }
}
