//! A million requests with everything at once, against a plain model: wrong decisions 0.

use std::collections::HashMap;
use std::time::Duration;

use farmgate_plugin_api::compliance::{FakeRequest, FakeServices};
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::{Consumer, Request, Services};

use super::{ask, build};

const LIMITS: &str = "headers = false\n\
    limits = [{ key = 'client_ip', rate = 7, per = '1300ms', burst = 5 },\
              { key = 'global', rate = 997, per = '1s', burst = 40 }]\n\
    concurrency = [{ key = 'consumer', most = 3 }]\n\
    default_plan = 'free'\n\
    [plans.free]\nlimits = [{ key = 'consumer', rate = 3, per = '700ms', burst = 2 }]\n\
    [plans.gold]\nlimits = [{ key = 'consumer', rate = 30, per = '1s', burst = 9 }]\n\
    concurrency = [{ key = 'client_ip', most = 5 }]";

const REQUESTS: u32 = 1_000_000;
const USERS: u32 = 40;
const ADDRESSES: u32 = 60;

/// A bucket of `burst` requests: whole numbers, each request weighs `per_ns`.
#[derive(Clone, Copy, Default)]
struct Bucket {
    level: u128,
    at_ns: u64,
}

#[derive(Clone, Copy)]
struct Rate {
    rate: u64,
    per_ns: u64,
    burst: u64,
}

const IP: Rate = rate(7, 1_300, 5);
const GLOBAL: Rate = rate(997, 1_000, 40);
const FREE: Rate = rate(3, 700, 2);
const GOLD: Rate = rate(30, 1_000, 9);

const fn rate(rate: u64, per_ms: u64, burst: u64) -> Rate {
    Rate {
        rate,
        per_ns: per_ms * 1_000_000,
        burst,
    }
}

impl Bucket {
    fn has_room(&mut self, rate: Rate, now_ns: u64) -> bool {
        let drained = u128::from(now_ns - self.at_ns) * u128::from(rate.rate);
        self.level = self.level.saturating_sub(drained);
        self.at_ns = now_ns;
        self.level + u128::from(rate.per_ns) <= u128::from(rate.burst) * u128::from(rate.per_ns)
    }
}

#[derive(Default)]
struct Model {
    buckets: HashMap<(u8, u32), Bucket>,
    flying: HashMap<(u8, u32), u32>,
}

/// Who asks: user 0 is nobody, every third user is on the plan gold, every fifth on one that is not listed.
#[derive(Clone, Copy)]
struct Who {
    user: u32,
    address: u32,
}

impl Who {
    fn is_gold(self) -> bool {
        self.user != 0 && self.user.is_multiple_of(3)
    }

    fn rates(self) -> Vec<((u8, u32), Rate)> {
        let mut rates = vec![((0, self.address), IP), ((1, 0), GLOBAL)];
        if self.is_gold() {
            rates.push(((2, self.user), GOLD));
        } else if self.user != 0 {
            rates.push(((3, self.user), FREE));
        }
        rates
    }

    fn gates(self) -> Vec<((u8, u32), u32)> {
        let mut gates = Vec::new();
        if self.user != 0 {
            gates.push(((0, self.user), 3));
        }
        if self.is_gold() {
            gates.push(((1, self.address), 5));
        }
        gates
    }

    fn request(self) -> FakeRequest {
        let [.., high, low] = self.address.to_be_bytes();
        let mut request = FakeRequest::get("/").client_ip([10, 0, high, low]);
        if self.user != 0 {
            let plan = match self.user {
                user if user % 3 == 0 => Some("gold".into()),
                user if user % 5 == 0 => Some("platinum".into()),
                _ => None,
            };
            request.set_consumer(Consumer {
                name: format!("consumer-number-{}", self.user).into(),
                plan,
                ..Consumer::default()
            });
        }
        request
    }
}

impl Model {
    fn lets_pass(&mut self, who: Who, now_ns: u64) -> bool {
        let mut all = true;
        for (key, rate) in who.rates() {
            all &= self.buckets.entry(key).or_default().has_room(rate, now_ns);
        }
        for (key, most) in who.gates() {
            all &= self.flying.get(&key).copied().unwrap_or(0) < most;
        }
        if all {
            for (key, rate) in who.rates() {
                self.buckets.entry(key).or_default().level += u128::from(rate.per_ns);
            }
            for (key, _) in who.gates() {
                *self.flying.entry(key).or_default() += 1;
            }
        }
        all
    }

    fn ended(&mut self, who: Who) {
        for (key, _) in who.gates() {
            *self.flying.entry(key).or_default() -= 1;
        }
    }
}

const ENDED: Outcome = Outcome {
    status: None,
    reason: "ok",
    bytes_in: 0,
    bytes_out: 0,
    total_us: 0,
};

#[test]
fn of_a_million_decisions_none_is_wrong() {
    let services = FakeServices::new();
    let built = build(LIMITS, &services);
    let random = services.random();
    let below = move |most: u32| (random.next() >> 33) as u32 % most;
    let mut model = Model::default();
    let mut flying: Vec<(Who, FakeRequest)> = Vec::new();
    let mut now_ns = 0;
    let (mut passed, mut wrong) = (0_u32, 0_u32);
    for _ in 0..REQUESTS {
        let wait = u64::from(below(2_000_000));
        services.clock.advance(Duration::from_nanos(wait));
        now_ns += wait;
        // Requests end in any order: some in the phase `log`, some because their client is gone.
        while !flying.is_empty() && (flying.len() > 60 || below(3) == 0) {
            let at = below(flying.len() as u32) as usize;
            let (who, mut request) = flying.swap_remove(at);
            if below(2) == 0 {
                built.filter.log(&mut request, &ENDED);
            }
            drop(request);
            model.ended(who);
        }
        let who = Who {
            user: below(USERS),
            address: below(ADDRESSES),
        };
        let mut request = who.request();
        let passes = ask(&built, &mut request).0 == 0;
        let should = model.lets_pass(who, now_ns);
        wrong += u32::from(passes != should);
        if passes {
            passed += 1;
            flying.push((who, request));
        }
    }
    assert_eq!(wrong, 0);
    // Both verdicts were given often enough for that to mean something.
    assert!(
        (REQUESTS / 10..REQUESTS * 9 / 10).contains(&passed),
        "{passed} passed"
    );
    assert!(services.metric("unknown_plan") > 10_000);
}
