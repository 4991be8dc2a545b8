//! The origin behind the contestants: one fixed answer to every request.
//!
//! It shares its core with the load generator, so it has to be cheap: one thread, one read and
//! one write per request. It looks for the end of the head only, and skips a body by its known length.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::heads::Heads;

/// Serves answers with a body of `size` bytes until the process ends, to requests with bodies of `request_bytes`.
/// Fails when the address cannot be bound.
pub(crate) fn run(listen: SocketAddr, size: usize, request_bytes: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        serve(listener, answer(size), request_bytes).await
    })
}

/// Head and body of the answer. The headers are those a small application sends;
/// `x-powered-by` is there for the contestants to remove.
fn answer(size: usize) -> Arc<[u8]> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         content-type: text/plain\r\nx-powered-by: origin\r\ncontent-length: {size}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes.into()
}

async fn serve(listener: TcpListener, answer: Arc<[u8]>, request_bytes: usize) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = Arc::clone(&answer);
        // A broken connection is the generator's to count; here it just ends.
        tokio::spawn(async move { serve_connection(stream, &answer, request_bytes).await });
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    answer: &[u8],
    request_bytes: usize,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut heads = Heads::with_bodies(request_bytes);
    while heads.next(&mut stream).await?.is_some() && heads.skip_body(&mut stream).await? {
        stream.write_all(answer).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn answers_whole_split_and_pipelined_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let expected = answer(10);
        tokio::spawn(serve(listener, Arc::clone(&expected), 0));
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (part, answers) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
            ("GET / HTTP/1.1\r\nHost: a\r", 0),
            ("\n\r\nGET / HTTP/1.1\r\n\r\nGET ", 2),
            ("/ HTTP/1.1\r\n\r\n", 1),
        ] {
            stream.write_all(part.as_bytes()).await.unwrap();
            for _ in 0..answers {
                let mut got = vec![0; expected.len()];
                stream.read_exact(&mut got).await.unwrap();
                assert_eq!(got, *expected);
            }
        }
        assert!(expected.ends_with(b"content-length: 10\r\n\r\nxxxxxxxxxx"));
    }
}
