use super::*;

const BUDGET: Budget = Budget {
    ratio_to_bare_pingora: Some(1.15),
    ratio_to_nginx: None,
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
        run: run.clone(),
    };
    Row {
        name,
        version: "1".into(),
        rounds: cpu.iter().map(round).collect(),
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
        rows,
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
        ratio_to_bare_pingora: None,
        ratio_to_nginx: Some(1.0),
        losses: 0,
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
