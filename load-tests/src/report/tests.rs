use super::*;
use crate::case::{Asks, Budget};
use crate::contestant::{FARMGATE, FARMGATE_OFF, NGINX_OFF};

const BUDGET: Budget = Budget {
    ratio_to_bare_pingora: Some(1.15),
    ..NONE
};

const NONE: Budget = Budget {
    ratio_to_bare_pingora: None,
    ratio_to_nginx: None,
    ratio_to_varnish: None,
    origin_fetches: None,
    first_byte_after_head_ms: None,
    engine_us: None,
    resident_growth_mib: None,
    losses: 0,
};

fn row(name: &'static str, cpu: &[f64]) -> Row {
    let run = Run {
        requests: 1000,
        duration_us: 1_000_000,
        bytes: 1,
        p50_us: 10,
        p99_us: 20,
        p999_us: 30,
        connect_errors: 0,
        read_errors: 0,
        write_errors: 0,
        timeouts: 0,
        bad_statuses: 0,
    };
    let round = |cpu: &f64| Measured {
        cpu_us_per_request: *cpu,
        core_busy: 0.5,
        warm_up_losses: 0,
        origin_fetches: None,
        run: run.clone(),
    };
    Row {
        name,
        version: "1".into(),
        note: None,
        rounds: cpu.iter().map(round).collect(),
        resident_mib: None,
    }
}

fn report(farmgate: &[f64]) -> CaseReport {
    let rows = vec![
        row(FARMGATE, farmgate),
        row(BARE_PINGORA, &[20.0, 10.0, 20.0]),
        row(NGINX, &[10.0, 10.0, 10.0]),
    ];
    CaseReport {
        case: "proxy".into(),
        unit: Unit::Request,
        generator: "wrk".into(),
        yardsticks: [BARE_PINGORA, NGINX],
        cache: None,
        has_waf: false,
        rows,
        engines: None,
    }
}

/// A report of a case with a cache, with so many fetches in each round.
fn cache_report(asks: Asks, rows: &[(&'static str, &[f64], [f64; 3])]) -> CaseReport {
    let rows = rows.iter().map(|(name, cpu, fetches)| {
        let mut row = row(name, cpu);
        for (round, fetches) in row.rounds.iter_mut().zip(fetches) {
            round.origin_fetches = Some(*fetches);
        }
        row
    });
    CaseReport {
        case: "cache_x".into(),
        unit: Unit::Request,
        generator: "own".into(),
        yardsticks: [NGINX, VARNISH],
        cache: Some(CacheLoad { asks }),
        has_waf: false,
        rows: rows.collect(),
        engines: None,
    }
}

/// What is printed, lines without a budget too; `Err` when one of them is over.
fn verdict(report: &CaseReport, budget: &Budget) -> Result<String, String> {
    let (good, bad): (Vec<_>, Vec<_>) =
        report.verdicts(budget).into_iter().partition(Result::is_ok);
    let lines = |of: Vec<Result<String, String>>| {
        let texts = of.into_iter().map(|line| line.unwrap_or_else(|line| line));
        texts.collect::<Vec<_>>().join("\n")
    };
    if bad.is_empty() {
        Ok(lines(good))
    } else {
        Err(lines(bad))
    }
}

#[test]
fn ratios_are_taken_round_by_round() {
    // The second round ran on a machine twice as fast: the ratio of medians would be 1.0.
    let report = report(&[22.0, 11.0, 20.0]);
    let ratio = report.ratio(&report.rows[0], BARE_PINGORA).unwrap();
    assert!((ratio.median - 1.1).abs() < 1e-9);
}

#[test]
fn the_verdict_follows_the_budget() {
    let within = verdict(&report(&[22.0, 11.0, 22.0]), &BUDGET).unwrap();
    assert!(within.contains("1.100 x bare-pingora, budget 1.150: within"));
    assert!(within.contains("2.200 x nginx, no budget"), "{within}");
    let over = verdict(&report(&[24.0, 12.0, 24.0]), &BUDGET).unwrap_err();
    assert!(over.contains("1.200") && over.contains("over budget"));
}

#[test]
fn nginx_can_be_the_yardstick_of_handshakes() {
    const HANDSHAKES: Budget = Budget {
        ratio_to_nginx: Some(1.0),
        ..NONE
    };
    let mut report = report(&[200.0, 200.0, 200.0]);
    report.unit = Unit::Handshake;
    report.rows[2] = row(NGINX, &[250.0, 250.0, 250.0]);
    let within = verdict(&report, &HANDSHAKES).unwrap();
    let line = "0.800 x nginx (5000 handshakes per CPU second, 4000), budget 1.000: within";
    assert!(within.contains(line), "{within}");
    assert!(report.table().contains("CPU us/hs"));
    report.rows[2] = row(NGINX, &[190.0, 190.0, 190.0]);
    assert!(verdict(&report, &HANDSHAKES).is_err());
    report.rows[2].rounds[0].run.timeouts = 1;
    let lost = verdict(&report, &HANDSHAKES).unwrap_err();
    assert!(lost.contains("nginx lost 1 handshakes"), "{lost}");
}

#[test]
fn what_was_not_measured_is_not_within() {
    let mut report = report(&[22.0, 11.0, 22.0]);
    report.rows.remove(1);
    assert!(
        verdict(&report, &BUDGET)
            .unwrap_err()
            .contains(BARE_PINGORA)
    );
    report.rows.remove(0);
    assert!(verdict(&report, &BUDGET).unwrap_err().contains(FARMGATE));
}

#[test]
fn losses_fail_even_when_they_are_cheap() {
    let mut report = report(&[1.0, 1.0, 1.0]);
    report.rows[0].rounds[0].run.timeouts = 1;
    assert!(verdict(&report, &BUDGET).unwrap_err().contains("lost 1"));
    report.rows[0].rounds[0].run.timeouts = 0;
    report.rows[0].rounds[2].warm_up_losses = 3;
    assert!(verdict(&report, &BUDGET).unwrap_err().contains("lost 3"));
    report.rows[0].rounds[2].warm_up_losses = 0;
    report.rows[1].rounds[0].run.bad_statuses = 4;
    let yardstick = verdict(&report, &BUDGET).unwrap_err();
    assert!(yardstick.contains("bare-pingora lost 4"), "{yardstick}");
}

#[test]
fn the_table_is_aligned_and_complete() {
    let table = report(&[22.0, 11.0, 22.0]).table();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0].len(), lines[1].len());
    assert!(lines[1].starts_with("farmgate ") && lines[1].ends_with("2.200"));
    assert!(lines[3].contains("1.000"));
    assert!(table.contains("nginx: 1\n"));
}

#[test]
fn the_json_holds_rounds_and_ratios() {
    let machine = Machine {
        date: "d".into(),
        cpu: "c".into(),
        cores: 2,
        kernel: "k".into(),
        load: 0.1,
        commit: "1234".into(),
    };
    let text = json(&machine, 5, &[report(&[22.0, 11.0, 22.0])]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["machine"]["cores"], 2);
    let case = &value["cases"][0];
    assert_eq!(case["rows"][0]["rounds"][1]["cpu_us_per_request"], 11.0);
    assert_eq!(case["rows"][0]["rounds"][1]["run"]["p99_us"], 20);
    assert_eq!(case["ratios"][0]["to_nginx"], 2.2);
    assert_eq!(case["generator"], "wrk");
}

const NEVER: [f64; 3] = [0.0; 3];
const HITS: Asks = Asks::Hits { objects: 1 };

#[test]
fn varnish_can_be_the_yardstick_of_hits() {
    const BUDGET: Budget = Budget {
        ratio_to_varnish: Some(1.1),
        origin_fetches: Some(0.0),
        ..NONE
    };
    let rows = |farmgate: &'static [f64]| {
        cache_report(
            HITS,
            &[
                (FARMGATE, farmgate, NEVER),
                (NGINX, &[30.0, 30.0, 30.0], NEVER),
                (VARNISH, &[20.0, 20.0, 20.0], NEVER),
            ],
        )
    };
    let within = verdict(&rows(&[21.0, 21.0, 21.0]), &BUDGET).unwrap();
    assert!(within.contains("1.050 x varnish, budget 1.100: within"));
    assert!(within.contains("0.700 x nginx, no budget"), "{within}");
    assert!(within.contains("asked the origin 0.000 times per request, budget 0: within"));
    let over = verdict(&rows(&[23.0, 23.0, 23.0]), &BUDGET).unwrap_err();
    assert!(over.contains("1.150 x varnish") && over.contains("over budget"));
    let table = rows(&[21.0, 21.0, 21.0]).table();
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].ends_with("fetches/req  /nginx  /varnish"),
        "{table}"
    );
    assert!(lines[1].ends_with("0.000   0.700     1.050"), "{table}");
}

#[test]
fn hits_that_reach_the_origin_fail_whoever_had_them() {
    const BUDGET: Budget = Budget {
        origin_fetches: Some(0.0),
        ..NONE
    };
    let once = [0.0, 0.0001, 0.0];
    let cpu: &[f64] = &[1.0, 1.0, 1.0];
    let own = cache_report(HITS, &[(FARMGATE, cpu, once), (NGINX, cpu, NEVER)]);
    let line = verdict(&own, &BUDGET).unwrap_err();
    assert!(
        line.contains("farmgate asked the origin <0.001 times"),
        "{line}"
    );
    assert!(own.table().contains("<0.001"));
    let rival = cache_report(HITS, &[(FARMGATE, cpu, NEVER), (NGINX, cpu, once)]);
    let line = verdict(&rival, &BUDGET).unwrap_err();
    assert!(
        line.contains("nginx") && line.contains("not comparable"),
        "{line}"
    );
}

#[test]
fn groups_are_held_to_fetches_and_the_first_byte() {
    const BUDGET: Budget = Budget {
        origin_fetches: Some(1.0),
        first_byte_after_head_ms: Some(50.0),
        ..NONE
    };
    let asks = Asks::Groups {
        clients: 25,
        head_ms: 100,
        body_ms: 100,
    };
    let cpu: &[f64] = &[1.0, 1.0, 1.0];
    let with = |fetches: f64, p99_us: u64| {
        let rows = [
            (FARMGATE, cpu, [1.0, fetches, 1.0]),
            (NGINX, cpu, [25.0; 3]),
        ];
        let mut report = cache_report(asks.clone(), &rows);
        for round in &mut report.rows[0].rounds {
            round.run.p99_us = p99_us;
        }
        report
    };
    // A rival's fetches are its figure, not a fault.
    let within = verdict(&with(1.0, 140_000), &BUDGET).unwrap();
    assert!(within.contains("first byte came 40.0 ms after"), "{within}");
    assert!(within.contains("1.000 times per group, budget 1: within"));
    let late = verdict(&with(1.0, 151_000), &BUDGET).unwrap_err();
    assert!(
        late.contains("51.0 ms") && late.contains("over budget"),
        "{late}"
    );
    let twice = verdict(&with(1.04, 140_000), &BUDGET).unwrap_err();
    assert!(twice.contains("1.040 times per group"), "{twice}");
    let headings = with(1.0, 1).table();
    assert!(headings.contains("first byte p99 us") && headings.contains("fetches/group"));
}

#[test]
fn what_a_rival_does_not_do_stands_below_the_table() {
    let mut report = cache_report(HITS, &[(VARNISH, &[1.0, 1.0, 1.0], NEVER)]);
    report.rows[0].note = Some("writes no log");
    assert!(report.table().contains("varnish: 1; writes no log\n"));
    let value = serde_json::to_value(&report.rows).unwrap();
    assert_eq!(value[0]["note"], "writes no log");
    assert_eq!(value[0]["rounds"][0]["origin_fetches"], 0.0);
}

/// A case with a firewall: what each contestant took, with and without it, and how much memory.
fn waf_report() -> CaseReport {
    let mut report = report(&[60.0, 30.0, 60.0]);
    report.rows[1] = row(FARMGATE_OFF, &[20.0, 10.0, 20.0]);
    report.rows[2] = row(NGINX, &[1600.0, 800.0, 1600.0]);
    report.rows.push(row(NGINX_OFF, &[10.0, 5.0, 10.0]));
    report.yardsticks = [FARMGATE_OFF, NGINX];
    report.has_waf = true;
    for (row, mib) in report.rows.iter_mut().zip([60.0, 20.0, 48.0, 7.0]) {
        row.resident_mib = Some(mib);
    }
    report
}

#[test]
fn a_firewall_is_held_to_nginx_and_its_own_cost_is_said() {
    const BUDGET: Budget = Budget {
        ratio_to_nginx: Some(0.05),
        ..NONE
    };
    let within = verdict(&waf_report(), &BUDGET).unwrap();
    assert!(within.contains("0.037 x nginx"), "{within}");
    assert!(within.contains("adds 40.0 us to a request through farmgate, to nginx's 1590.0 us"));
    let mut slow = waf_report();
    slow.rows[0] = row(FARMGATE, &[90.0, 90.0, 90.0]);
    assert!(verdict(&slow, &BUDGET).is_err());
    slow.rows.truncate(2);
    let error = verdict(&slow, &BUDGET).unwrap_err();
    assert!(error.contains("nginx was not measured"), "{error}");
    let table = waf_report().table();
    assert!(
        table
            .lines()
            .next()
            .unwrap()
            .contains("RSS MiB  /farmgate-off  /nginx")
    );
    assert!(table.contains(" 48.0 "), "{table}");
}

#[test]
fn memory_may_grow_by_so_much() {
    const BUDGET: Budget = Budget {
        resident_growth_mib: Some(10.0),
        ..NONE
    };
    let mut report = waf_report();
    report.rows[1].name = "farmgate-100-routes";
    report.rows[1].resident_mib = Some(70.0);
    let within = verdict(&report, &BUDGET).unwrap();
    assert!(within.contains("farmgate-100-routes takes 10.0 MiB more than farmgate's 60.0"));
    report.rows[1].resident_mib = Some(70.5);
    assert!(
        verdict(&report, &BUDGET)
            .unwrap_err()
            .contains("over budget")
    );
    report.rows.remove(1);
    assert!(
        verdict(&report, &BUDGET)
            .unwrap_err()
            .contains("not measured")
    );
}
