//! What a request costs in each filter, and in a condition: time and, beside it, the bound. Run it with `./dev bench plugins`;
//! above a bound it ends with 1.
//!
//! A filter changes its request, so each call has a request of its own; what making that costs is measured the same way and
//! taken off. Of the rounds the quickest counts: the others were disturbed.

mod filters;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use farmgate::snapshot::when::When;
use farmgate_plugin_api::compliance::FakeRequest;

const CALLS: u32 = 20_000;
const ROUNDS: u32 = 15;
/// For a condition.
const WHEN_NS: f64 = 1000.0;

/// Conditions from simple to long.
const CONDITIONS: [&str; 3] = [
    r#"request.method != "OPTIONS""#,
    r#"request.headers["x-tenant"] in ["a", "b", "t7"] && request.path.startsWith("/orders/")"#,
    r#"!(client.ip in ["10.0.0.0/8", "fd00::/8"]) && (request.query["page"] == "2" || request.path.matches("^/a/[0-9]+$"))"#,
];

/// Nanoseconds for each run, in the quickest round.
fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CALLS {
            run();
        }
        best = best.min(began.elapsed());
    }
    best.as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn main() -> ExitCode {
    let mut over = Vec::new();
    println!("{:40}{:>8}{:>8}", "ns a request", "", "most");
    let mut tell = |name: &str, ns: f64, most: f64| {
        println!("{name:40}{ns:>8.0}{most:>8.0}");
        if ns > most {
            over.push(name.to_owned());
        }
    };
    for case in filters::cases() {
        let made = nanoseconds(|| drop(black_box(case.make())));
        let both = nanoseconds(|| {
            let mut made = case.make();
            case.call(&mut made);
            drop(black_box(made));
        });
        tell(case.name, both - made, case.most_ns);
    }
    let request = FakeRequest::get("/orders/7?page=2").header("x-tenant", "t7");
    for text in CONDITIONS {
        let when = When::parse(text).expect("a condition");
        assert!(matches!(when.holds(&request), Ok(true)), "{text}");
        let ns = nanoseconds(|| {
            let _ = black_box(when.holds(black_box(&request)));
        });
        tell(&format!("when, {} characters", text.len()), ns, WHEN_NS);
    }
    match over.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            println!("over the bound: {}", over.join(", "));
            ExitCode::FAILURE
        }
    }
}
