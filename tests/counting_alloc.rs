//! What must not allocate does not: counted by an allocator of this binary's own.
//!
//! A binary by itself, because a global allocator holds for all of it. Only the allocations of the
//! thread that measures are counted, so tests may run side by side.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use farmgate::snapshot::router::{
    Captures, Condition, FieldCondition, HostPattern, PathPattern, RouteMatch, Router,
    RouterBuilder, Split,
};
use farmgate_plugin_api::{Consumer, Facts};
use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};

#[path = "../benches/filters/mod.rs"]
mod filters;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // While a thread ends its counter is gone; nothing measures then.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

// SAFETY: every call goes to the system's allocator with the arguments it came with, so its
// guarantees hold; counting touches a constant-initialised thread-local and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(block, layout, bytes) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations the work makes.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

struct Asked {
    host: &'static str,
    path: &'static str,
    query: Option<&'static str>,
    headers: HeaderMap,
}

impl Facts for Asked {
    fn listener(&self) -> u16 {
        0
    }
    fn listener_name(&self) -> &str {
        "web"
    }
    fn method(&self) -> &Method {
        &Method::GET
    }
    fn scheme(&self) -> &'static str {
        "http"
    }
    fn host(&self) -> &str {
        self.host
    }
    fn path(&self) -> &str {
        self.path
    }
    fn query(&self) -> Option<&str> {
        self.query
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    fn client_ip(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }
    fn capture(&self, _name: &str) -> Option<&str> {
        None
    }
    fn consumer(&self) -> Option<&Consumer> {
        None
    }
}

fn asked(host: &'static str, path: &'static str, query: Option<&'static str>) -> Asked {
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static("x-tenant"),
        HeaderValue::from_static("t7"),
    );
    headers.insert(COOKIE, HeaderValue::from_static("a=1; side=b"));
    Asked {
        host,
        path,
        query,
        headers,
    }
}

fn route(host: &str, path: &str) -> RouteMatch {
    RouteMatch {
        hosts: HostPattern::parse(host).into_iter().collect(),
        paths: PathPattern::parse(path).into_iter().collect(),
        ..RouteMatch::default()
    }
}

/// Routes that differ by host, path, header, query and cookie, enough for every kind of table.
fn farm() -> Router {
    let mut builder = RouterBuilder::new();
    let mut index = 0;
    let mut add = |matches| {
        builder.add(index, matches);
        index += 1;
    };
    for n in 0..50 {
        add(route(
            &format!("h{n}.test"),
            &format!("/p{n}/{{id}}/orders/*"),
        ));
        add(route(&format!("*.w{n}.test"), "/{a}/{b}"));
        add(route("many.test", &format!("/p{n}")));
        let exact = || Condition::Exact(format!("t{n}"));
        let mut tenant = route("", "/tenant");
        let name = HeaderName::from_static("x-tenant");
        tenant.headers.push(FieldCondition {
            name,
            value: exact(),
        });
        add(tenant);
        let mut tenant = route("", "/query");
        tenant.query.push(FieldCondition {
            name: "t".to_owned(),
            value: exact(),
        });
        add(tenant);
    }
    let mut regex = route("", "/regex");
    let value = Condition::regex("[a-c]").unwrap();
    regex.cookies.push(FieldCondition {
        name: "side".to_owned(),
        value: value.clone(),
    });
    regex.query.push(FieldCondition {
        name: "r".to_owned(),
        value,
    });
    add(regex);
    add(route("", "/"));
    builder.build().unwrap().0
}

#[test]
fn a_lookup_of_a_route_allocates_nothing() {
    let router = farm();
    let requests = [
        asked("h7.test", "/p7/42/orders/a/b", None),
        asked("h7.test", "/p7/42", None),
        asked("x.y.w7.test", "/1/2", None),
        asked("many.test", "/p49", None),
        asked("other.test", "/tenant", None),
        asked("other.test", "/query", Some("a=%20&%74=%747")),
        asked("[::1]", "/regex", Some("r=%62")),
        asked("", "*", None),
        asked("other.test", "/", None),
    ];
    let mut captures = Captures::default();
    let mut found = 0;
    let mut look = || {
        for request in &requests {
            found += u32::from(router.find(black_box(request), &mut captures).is_some());
            black_box(captures.get("id", request.path));
        }
    };
    // A regex makes its scratch space when a thread uses it first.
    look();
    assert_eq!(allocations(|| (0..100).for_each(|_| look())), 0);
    assert_eq!(found, 101 * 7);
}

#[test]
fn a_choice_between_upstreams_allocates_nothing() {
    let split = Split::new([("app", 90), ("tenant-a", 10)]).unwrap();
    let side = split.id(1).unwrap();
    let chosen = allocations(|| {
        for random in (0..u64::MAX).step_by(usize::MAX / 100) {
            black_box(split.choose(None, random));
            black_box(split.choose(Some(side.as_str()), random));
        }
    });
    assert_eq!(chosen, 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

/// What a chain of plugins allocates for a request may fall, and not grow.
#[test]
fn filters_allocate_no_more_than_they_did() {
    for case in filters::cases() {
        // Tables and verdicts are warm after the first requests.
        for _ in 0..100 {
            case.call(&mut case.make());
        }
        let made = allocations(|| drop(black_box(case.make())));
        let both = allocations(|| {
            let mut made = case.make();
            case.call(&mut made);
            drop(black_box(made));
        });
        println!("{:40}{} allocations", case.name, both - made);
        assert!(
            both - made <= case.most_allocations,
            "{}: {} allocations, {} allowed",
            case.name,
            both - made,
            case.most_allocations
        );
    }
}
