//! What nodes do for the authority's questions, without nodes: a listener that answers from [`Challenges`] and nothing
//! else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use boring::ssl::{
    AlpnError, ExtensionType, NameType, SelectCertError, SslAcceptor, SslMethod, select_next_proto,
};
use farmgate::tls::acme::{Challenges, PROTOCOL, is_validation};

/// A listener that ends when it is dropped.
pub(super) struct Responder {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Answers `GET /.well-known/acme-challenge/TOKEN`, everything else with 404.
    pub(super) fn http01(address: SocketAddr, challenges: &Arc<Challenges>) -> Self {
        let challenges = Arc::clone(challenges);
        Self::start(address, move |mut stream| {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && head.len() < 4_096 {
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => return,
                }
            }
            let head = String::from_utf8_lossy(&head);
            let token = head
                .strip_prefix("GET /.well-known/acme-challenge/")
                .and_then(|rest| rest.split(' ').next());
            let answer = token.and_then(|token| challenges.http01(token));
            let (status, body) = match answer {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", "no such token".to_owned()),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        })
    }

    /// Answers handshakes with `acme-tls/1`, and no others.
    pub(super) fn tls_alpn01(address: SocketAddr, challenges: &Arc<Challenges>) -> Self {
        let challenges = Arc::clone(challenges);
        let mut builder =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
        builder.set_alpn_select_callback(|_, offered| {
            select_next_proto(PROTOCOL, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        builder.set_select_certificate_callback(move |mut hello| {
            let alpn = hello.get_extension(ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION);
            if !is_validation(alpn) {
                return Err(SelectCertError::ERROR);
            }
            let name = hello.servername(NameType::HOST_NAME);
            let found = name.and_then(|name| challenges.tls_alpn01(name));
            let found = found.ok_or(SelectCertError::ERROR)?;
            let ssl = hello.ssl_mut();
            ssl.set_certificate(found.leaf())
                .and_then(|()| ssl.set_private_key(found.key()))
                .map_err(|_| SelectCertError::ERROR)
        });
        let acceptor = builder.build();
        Self::start(address, move |stream| {
            let _ = acceptor.accept(stream);
        })
    }

    fn start(address: SocketAddr, answer: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("the validation port");
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let limit = Some(Duration::from_secs(5));
                let _ = stream.set_read_timeout(limit);
                let _ = stream.set_write_timeout(limit);
                answer(stream);
            }
        });
        Self {
            address,
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
