//! Equal questions at one time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::compliance::FakeServices;
use farmgate_plugin_api::services::{ClientRequest, HostFuture, HttpClient};
use http::Response;

use crate::forward_auth::answer::Rules;
use crate::forward_auth::ask::Asker;
use crate::forward_auth::flights::{Flight, Flights, Outcome, Seat};

/// A service that answers 200 once it is let.
#[derive(Default)]
struct Slow {
    asked: AtomicUsize,
    go: Arc<AtomicBool>,
    wakers: Arc<Mutex<Vec<Waker>>>,
}

impl Slow {
    fn go(&self) {
        self.go.store(true, Ordering::SeqCst);
        self.wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    }
}

impl HttpClient for Slow {
    fn send(&self, _: ClientRequest) -> HostFuture<Result<Response<Bytes>, String>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (go, wakers) = (Arc::clone(&self.go), Arc::clone(&self.wakers));
        Box::pin(std::future::poll_fn(move |context| {
            if go.load(Ordering::SeqCst) {
                return Poll::Ready(Ok(Response::new(Bytes::new())));
            }
            wakers.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        }))
    }
}

fn asker(client: &Arc<Slow>, most: usize, services: &FakeServices) -> Arc<Asker> {
    Arc::new(Asker {
        client: Arc::clone(client) as Arc<dyn HttpClient>,
        clock: services.clock(),
        rules: Rules {
            copy: Box::default(),
            client: Box::default(),
            consumer: None,
            plan: None,
            ttl: Duration::from_secs(1),
        },
        timeout: Duration::from_secs(1),
        most,
        waiting: AtomicUsize::new(0),
        gauge: services.gauge("waiting", ""),
        asked: services.counter("asked", ""),
        seconds: services.histogram("seconds", ""),
    })
}

fn join(flights: &Arc<Flights>, asker: &Arc<Asker>, key: u128) -> (Flight, Seat) {
    let asker = Arc::clone(asker);
    flights.join(key, |landing| {
        Box::pin(async move {
            let _landing = landing;
            asker.ask(http::Request::new(())).await
        })
    })
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(flight: &mut Flight, woken: &Arc<Woken>) -> Poll<Outcome> {
    let waker = Waker::from(Arc::clone(woken));
    Pin::new(flight).poll(&mut Context::from_waker(&waker))
}

#[test]
fn many_wait_for_one_answer_and_the_one_who_asked_may_leave() {
    let services = FakeServices::new();
    let client = Arc::new(Slow::default());
    let asker = asker(&client, 1, &services);
    let flights: Arc<Flights> = Arc::default();
    let (mut first, seat) = join(&flights, &asker, 7);
    assert_eq!(seat, Seat::First);
    let woken: Vec<Arc<Woken>> = (0..4).map(|_| Arc::default()).collect();
    assert!(poll(&mut first, &woken[3]).is_pending());
    let mut others: Vec<Flight> = Vec::new();
    for woken in &woken[..3] {
        let (mut flight, seat) = join(&flights, &asker, 7);
        assert_eq!(seat, Seat::Joined);
        assert!(poll(&mut flight, woken).is_pending());
        others.push(flight);
    }
    // Another question finds no place.
    let (mut other, seat) = join(&flights, &asker, 8);
    assert_eq!(seat, Seat::First);
    assert!(
        matches!(poll(&mut other, &woken[3]), Poll::Ready(Err(failure)) if failure.reason == "busy")
    );
    assert_eq!((flights.len(), services.metric("waiting")), (1, 1));
    // The client that asked leaves; the others are woken and served.
    drop(first);
    client.go();
    for (mut flight, woken) in others.into_iter().zip(&woken) {
        assert!(woken.0.load(Ordering::SeqCst) > 0);
        assert!(matches!(poll(&mut flight, woken), Poll::Ready(Ok(_))));
    }
    assert_eq!(client.asked.load(Ordering::SeqCst), 1);
    assert_eq!((flights.len(), services.metric("waiting")), (0, 0));
    // Nothing is kept here: the next one asks again.
    assert_eq!(join(&flights, &asker, 7).1, Seat::First);
}

#[test]
fn when_all_have_left_the_question_is_given_up() {
    let services = FakeServices::new();
    let client = Arc::new(Slow::default());
    let asker = asker(&client, 1, &services);
    let flights: Arc<Flights> = Arc::default();
    let woken: Arc<Woken> = Arc::default();
    let (mut first, _) = join(&flights, &asker, 7);
    let (mut second, _) = join(&flights, &asker, 7);
    assert!(poll(&mut first, &woken).is_pending());
    assert!(poll(&mut second, &woken).is_pending());
    drop(first);
    assert_eq!((flights.len(), services.metric("waiting")), (1, 1));
    drop(second);
    assert_eq!((flights.len(), services.metric("waiting")), (0, 0));
    // One that was never begun leaves nothing either, and does not end a later one.
    let (unbegun, _) = join(&flights, &asker, 7);
    drop(unbegun);
    let (mut third, seat) = join(&flights, &asker, 7);
    assert_eq!(seat, Seat::First);
    client.go();
    assert!(poll(&mut third, &woken).is_ready());
    assert_eq!(client.asked.load(Ordering::SeqCst), 2);
}
