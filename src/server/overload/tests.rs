use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use tokio::runtime::{Builder, Runtime};

use super::cgroup::{Groups, parse_number};
use super::cpu::{count_list, cpus, parse_max};
use super::sampler::{Status, parse_status};
use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// True as soon as `condition` is.
fn comes(mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > until {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5)); // tidy: waits for a condition
    }
    true
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

/// Blocks a thread of the runtime until it is dropped.
fn hang(serving: &Runtime) -> std::sync::mpsc::Sender<()> {
    let (hang, release) = std::sync::mpsc::channel();
    serving.spawn(async move {
        let _ = release.recv();
    });
    hang
}

fn groups(controller: &str, cgroup: &str, mountinfo: &str) -> (bool, Vec<String>) {
    let groups = Groups::parse(controller, cgroup, mountinfo);
    let seen = std::cell::RefCell::new(Vec::new());
    groups.least(|folder| {
        seen.borrow_mut().push(folder.display().to_string());
        None
    });
    (groups.is_v2, seen.into_inner())
}

#[test]
fn groups_of_the_unified_hierarchy() {
    let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    assert_eq!(
        groups("memory", "0::/system.slice/farmgate.service\n", mounts),
        (
            true,
            vec![
                "/sys/fs/cgroup/system.slice/farmgate.service".to_owned(),
                "/sys/fs/cgroup/system.slice".to_owned(),
                "/sys/fs/cgroup".to_owned(),
            ]
        )
    );
    // In a container: a namespace of its own, or a mount of one group alone.
    assert_eq!(groups("cpu", "0::/\n", mounts).1, ["/sys/fs/cgroup"]);
    let mounts = "1 2 0:26 /docker/12ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    assert_eq!(
        groups("cpu", "0::/docker/12ab\n", mounts).1,
        ["/sys/fs/cgroup"]
    );
    assert_eq!(
        groups("cpu", "0::/docker/12ab/own\n", mounts).1,
        ["/sys/fs/cgroup/own", "/sys/fs/cgroup"]
    );
    assert_eq!(
        groups("cpu", "0::/../other\n", mounts).1,
        ["/sys/fs/cgroup"]
    );
    assert_eq!(groups("cpu", "", ""), (true, Vec::new()));
}

#[test]
fn groups_of_the_first_version() {
    let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                  35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    let cgroup = "4:memory:/app/one\n2:cpu,cpuacct:/\n0::/init\n";
    let memory = groups("memory", cgroup, mounts);
    assert_eq!(
        memory,
        (
            false,
            vec![
                "/sys/fs/cgroup/memory/app/one".to_owned(),
                "/sys/fs/cgroup/memory/app".to_owned(),
                "/sys/fs/cgroup/memory".to_owned(),
            ]
        )
    );
    assert_eq!(
        groups("cpu", cgroup, mounts),
        (false, vec!["/sys/fs/cgroup/cpu,cpuacct".to_owned()])
    );
    // A controller that the first version has not is in the unified hierarchy.
    assert_eq!(
        groups("cpu", "0::/init\n", mounts).1,
        ["/sys/fs/cgroup/unified/init", "/sys/fs/cgroup/unified"]
    );
}

#[test]
fn limits_of_files_as_the_kernel_writes_them() {
    assert_eq!(parse_max("50000 100000\n"), Some(0.5));
    assert_eq!(parse_max("max 100000\n"), None);
    assert_eq!(parse_max("0 100000\n"), None);
    assert_eq!(parse_max(""), None);
    assert_eq!(cpus(-1.0, 100_000.0), None);
    assert_eq!(cpus(250_000.0, 100_000.0), Some(2.5));
    assert_eq!(parse_number("max\n"), None);
    assert_eq!(parse_number("inf"), None);
    assert_eq!(parse_number("1073741824\n"), Some(1_073_741_824.0));
    assert_eq!(
        parse_number("9223372036854771712\n"),
        Some(9.223_372_036_854_772e18)
    );
}

#[test]
fn the_least_limit_of_all_groups_holds() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path();
    let own = folder.join("slice/service");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("memory.max"), "max\n").unwrap();
    std::fs::write(own.join("memory.high"), "9000\n").unwrap();
    std::fs::write(own.join("cpu.max"), "300000 100000\n").unwrap();
    std::fs::write(folder.join("slice/memory.max"), "8000\n").unwrap();
    std::fs::write(folder.join("slice/cpu.max"), "150000 100000\n").unwrap();
    let mounts = format!("1 2 0:3 / {} rw - cgroup2 cgroup2 rw\n", folder.display());
    let groups = Groups::parse("memory", "0::/slice/service\n", &mounts);
    assert_eq!(
        groups.least(|folder| memory::limit(folder, true)),
        Some(8000.0)
    );
    assert_eq!(groups.least(|folder| cpu::quota(folder, true)), Some(1.5));
    std::fs::write(own.join("memory.limit_in_bytes"), "7000\n").unwrap();
    std::fs::write(own.join("cpu.cfs_quota_us"), "-1\n").unwrap();
    std::fs::write(own.join("cpu.cfs_period_us"), "100000\n").unwrap();
    assert_eq!(
        groups.least(|folder| memory::limit(folder, false)),
        Some(7000.0)
    );
    assert_eq!(groups.least(|folder| cpu::quota(folder, false)), None);
}

#[test]
fn the_status_of_the_process() {
    assert_eq!(count_list("0-3,8,10-11\n"), Some(7));
    assert_eq!(count_list("5"), Some(1));
    assert_eq!(count_list(""), None);
    assert_eq!(count_list("3-1"), None);
    let text = "Name:\tfarmgate\nVmRSS:\t   2048 kB\nCpus_allowed:\tff\nCpus_allowed_list:\t0-1\n";
    assert_eq!(
        parse_status(text),
        Status {
            resident: Some(2048 * 1024),
            cpus: Some(2),
        }
    );
    assert_eq!(parse_status("VmRSS:\tmuch\n"), Status::default());
}

#[test]
fn readings_of_this_very_process() {
    let runtime = runtime(1);
    let mut sampler = Sampler::new();
    let began = Instant::now();
    runtime.block_on(sampler.sample(began));
    let files: Vec<_> = (0..100)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    while began.elapsed() < Duration::from_millis(200) {
        std::hint::spin_loop();
    }
    let sample = runtime.block_on(sampler.sample(Instant::now()));
    let cpu = sample.cpu.unwrap();
    assert!(cpu.used > 0.05 && cpu.of > 0.0, "{cpu:?}");
    let memory = sample.memory.unwrap();
    assert!(memory.used > 1e5 && memory.used < memory.of, "{memory:?}");
    // Other tests of this process open and close files too.
    assert!(comes(|| {
        let open = runtime.block_on(sampler.sample(Instant::now())).open_files;
        let counted = files::count(u64::MAX).unwrap() as f64;
        open.is_some_and(|open| open.used > 100.0 && (open.used - counted).abs() < 10.0)
    }));
    drop(files);
}

#[test]
fn an_idle_runtime_has_no_lag_and_one_that_is_gone_does_not_count() {
    let probe = Arc::new(LagProbe::default());
    assert_eq!(probe.take(Instant::now()), None);
    let serving = runtime(1);
    serving.spawn(Arc::clone(&probe).tick());
    assert!(comes(|| probe
        .take(Instant::now())
        .is_some_and(|lag| lag.worst > Duration::ZERO)));
    // Timers go by milliseconds. A machine that is busy with other things may spoil some samples, not all.
    assert!(comes(|| {
        std::thread::park_timeout(SAMPLE); // tidy: waits for a condition
        probe
            .take(Instant::now())
            .is_some_and(|lag| lag.mean < Duration::from_millis(10))
    }));
    drop(serving);
    assert_eq!(probe.take(Instant::now()), None);
}

#[test]
fn a_thread_that_hangs_is_seen_while_it_hangs() {
    let probe = Arc::new(LagProbe::default());
    let serving = runtime(1);
    serving.spawn(Arc::clone(&probe).tick());
    let hang = hang(&serving);
    let late = Duration::from_millis(300);
    assert!(comes(|| probe
        .take(Instant::now())
        .is_some_and(|lag| lag.mean > late)));
    drop(hang);
    assert!(comes(|| probe
        .take(Instant::now())
        .is_some_and(|lag| lag.worst < late / 3)));
}

#[test]
fn the_queue_of_tasks_is_what_is_measured() {
    let probe = Arc::new(LagProbe::default());
    let serving = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    // Each works for a millisecond and queues again: a task that becomes ready waits for two hundred.
    for _ in 0..200 {
        let stop = Arc::clone(&stop);
        serving.spawn(poll_fn(move |cx| {
            let until = Instant::now() + Duration::from_millis(1);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            cx.waker().wake_by_ref();
            match stop.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
    }
    serving.spawn(Arc::clone(&probe).tick());
    let late = Duration::from_millis(150);
    assert!(comes(|| probe
        .take(Instant::now())
        .is_some_and(|lag| lag.mean > late)));
    stop.store(true, Ordering::Relaxed);
    assert!(comes(|| {
        std::thread::park_timeout(SAMPLE); // tidy: waits for a condition
        probe
            .take(Instant::now())
            .is_some_and(|lag| lag.mean < late / 5)
    }));
}

#[test]
fn the_queue_of_the_whole_runtime_is_measured_too() {
    let probe = Arc::new(LagProbe::default());
    let serving = runtime(1);
    serving.spawn(Arc::clone(&probe).tick());
    assert!(comes(|| probe.take(Instant::now()).is_some()));
    // More than a worker's own queue holds.
    for _ in 0..2000 {
        serving.spawn(async {
            let until = Instant::now() + Duration::from_millis(1);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        });
    }
    let late = Duration::from_millis(800);
    assert!(comes(|| probe
        .take(Instant::now())
        .is_some_and(|lag| lag.mean > late)));
    assert!(comes(|| probe
        .take(Instant::now())
        .is_some_and(|lag| lag.mean < late / 20)));
}

#[test]
fn a_node_that_lags_sheds_until_it_does_not() {
    let control = runtime(1);
    let serving = runtime(1);
    let limit = Arc::new(Mutex::new(Some(Duration::from_millis(50))));
    let limits = {
        let limit = Arc::clone(&limit);
        move || OverloadLimits {
            cpu: None,
            memory: None,
            open_files: None,
            loop_lag: *limit.lock(),
        }
    };
    let probe = Arc::new(LagProbe::default());
    serving.spawn(Arc::clone(&probe).tick());
    let report: Arc<ArcSwap<Load>> = Arc::default();
    let told = Arc::clone(&report);
    let tell = move |load: &Load| told.store(Arc::new(load.clone()));
    let watching = control.spawn(watch(limits, Arc::clone(&probe), tell));
    let hang = hang(&serving);
    let now = || report.load().shedding;
    assert!(comes(|| now()[2] > 100));
    let load = report.load_full();
    assert_eq!(load.hot, Some(Resource::LoopLag));
    assert!(!load.closes());
    assert!(load.cpu.is_some() && load.memory.is_some() && load.open_files.is_some());
    drop(hang);
    assert!(comes(|| !report.load().is_shedding()));
    // What is turned off sheds nothing: the lag goes on, what it shed does not.
    let hang = self::hang(&serving);
    assert!(comes(|| now()[2] > 50));
    let limited = limit.lock().take();
    assert!(comes(|| now() == [0; CLASSES]));
    assert!(comes(|| report
        .load()
        .loop_lag
        .is_some_and(|lag| lag.value.mean > Duration::from_millis(50))));
    // And when the node ends nothing stays shed.
    *limit.lock() = limited;
    assert!(comes(|| now()[2] > 0));
    watching.abort();
    assert!(comes(|| watching.is_finished()));
    assert_eq!(**report.load(), Load::default());
    drop(hang);
}

/// A reading of so many hundredths against a limit of 90.
fn hundredths(used: f64) -> Option<Reading<Usage, f32>> {
    Some(Reading {
        value: Usage { used, of: 100.0 },
        limit: Some(0.9),
    })
}

fn lag(mean_ms: u64, limit_ms: Option<u64>) -> Option<Reading<Lag, Duration>> {
    Some(Reading {
        value: Lag {
            mean: Duration::from_millis(mean_ms),
            ..Lag::default()
        },
        limit: limit_ms.map(Duration::from_millis),
    })
}

#[test]
fn what_the_controller_is_told() {
    let load = Load {
        cpu: hundredths(45.0),
        memory: hundredths(95.0),
        open_files: hundredths(91.0),
        loop_lag: lag(30, Some(60)),
        ..Load::default()
    };
    let told = load.pressure();
    assert_eq!(
        (told.cpu, told.lag, told.is_lag_limited),
        (Some(0.5), Some(0.5), true)
    );
    assert!((told.stock - 1.5).abs() < 1e-3, "{told:?}");
    assert_eq!(load.hottest(), Some(Resource::Memory));
    // Without a limit the lag still says whether tasks wait, by the usual one, and sheds nothing itself.
    let load = Load {
        cpu: hundredths(99.0),
        loop_lag: lag(500, None),
        ..Load::default()
    };
    let told = load.pressure();
    assert_eq!((told.lag, told.is_lag_limited), (Some(1.25), false));
    assert_eq!(load.hottest(), Some(Resource::Cpu));
    let told = Load::default().pressure();
    assert_eq!((told.cpu, told.lag), (None, None));
    assert_eq!(Load::default().hottest(), None);
}

#[test]
fn the_reason_stays_while_something_is_shed_and_the_end_takes_all_back() {
    let last = std::cell::RefCell::new(Load::default());
    let mut guard = Guard::new(|load: &Load| *last.borrow_mut() = load.clone());
    let full = || Load {
        memory: hundredths(95.0),
        ..Load::default()
    };
    let now = Instant::now();
    for _ in 0..5 {
        guard.step(full(), now);
    }
    assert_eq!(last.borrow().shedding, [0, 127, 255]);
    assert!(last.borrow().closes());
    // Below its limit again it is still the reason for what is left.
    guard.step(
        Load {
            memory: hundredths(50.0),
            ..Load::default()
        },
        now,
    );
    assert_eq!(last.borrow().hot, Some(Resource::Memory));
    drop(guard);
    assert_eq!(*last.borrow(), Load::default());
}

#[test]
fn the_log_is_told_of_stages_and_not_flooded() {
    let mut announcer = Announcer::default();
    let start = Instant::now();
    let load = |shedding: [u8; CLASSES]| Load {
        cpu: Some(Reading {
            value: Usage {
                used: 1.96,
                of: 2.0,
            },
            limit: Some(0.95),
        }),
        loop_lag: Some(Reading {
            value: Lag {
                mean: Duration::from_millis(120),
                worst: Duration::from_millis(300),
            },
            limit: Some(Duration::from_millis(100)),
        }),
        shedding,
        hot: Some(Resource::Cpu),
        ..Load::default()
    };
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    assert_eq!(announcer.look(&load([0, 0, 0]), at(0.0)), None);
    assert_eq!(
        announcer.look(&load([0, 0, 26]), at(0.2)).as_deref(),
        Some(
            "overload by cpu: requests are shed: bulk 10 %, default 0 %, critical 0 %; cpu 98.0 % of 2.0 CPUs \
             (limit 95 %), loop lag 120 ms, worst 300 ms (limit 100 ms)"
        )
    );
    // More of the same is no event; another class is, in its time.
    assert_eq!(announcer.look(&load([0, 0, 90]), at(0.4)), None);
    assert_eq!(announcer.look(&load([0, 20, 255]), at(0.6)), None);
    let line = announcer.look(&load([0, 51, 255]), at(10.3)).unwrap();
    assert!(
        line.starts_with("overload by cpu goes on: bulk 100 %, default 20 %, critical 0 %;"),
        "{line}"
    );
    // A hundred turns a second are one line in ten seconds.
    let mut lines = Vec::new();
    for turn in 0..2000u32 {
        let shedding = if turn.is_multiple_of(2) {
            [0, 0, 1]
        } else {
            [0, 1, 255]
        };
        lines.extend(announcer.look(&load(shedding), at(10.3 + f64::from(turn) / 100.0)));
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("(1001 changes since the last line)"),
        "{lines:?}"
    );
    let line = announcer.look(&load([0, 0, 0]), at(60.2)).unwrap();
    assert!(
        line.starts_with("overload is over after 60.0 s: nothing is shed any more"),
        "{line}"
    );
    assert_eq!(announcer.look(&load([0, 0, 0]), at(100.0)), None);
    assert!(announcer.look(&load([0, 0, 2]), at(101.0)).is_some());
}
