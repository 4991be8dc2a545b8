//! The origin behind the contestants: one fixed answer to every request.
//!
//! It shares its core with the load generator, so it has to be cheap: one thread, one read and
//! one write per request. It looks for the end of the head only, so requests must have no body.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// A request head that does not fit closes the connection.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves answers with a body of `size` bytes until the process ends.
/// Fails when the address cannot be bound.
pub(crate) fn run(listen: SocketAddr, size: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        serve(listener, answer(size)).await
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

async fn serve(listener: TcpListener, answer: Arc<[u8]>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = Arc::clone(&answer);
        // A broken connection is the generator's to count; here it just ends.
        tokio::spawn(async move { serve_connection(stream, &answer).await });
    }
}

async fn serve_connection(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let end_of_head = memmem::Finder::new(END_OF_HEAD);
    let mut buffer = vec![0; HEAD_BYTES];
    let mut kept = 0;
    // A full buffer without an end is a head that does not fit; reading into nothing could wait for ever.
    while kept < buffer.len() {
        let read = stream.read(&mut buffer[kept..]).await?;
        if read == 0 {
            return Ok(());
        }
        let filled = kept + read;
        let mut done = 0;
        for at in end_of_head.find_iter(&buffer[..filled]) {
            stream.write_all(answer).await?;
            done = at + END_OF_HEAD.len();
        }
        buffer.copy_within(done..filled, 0);
        kept = filled - done;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_whole_split_and_pipelined_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let expected = answer(10);
        tokio::spawn(serve(listener, Arc::clone(&expected)));
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

    #[tokio::test]
    async fn a_head_without_end_closes_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, answer(1)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&vec![b'x'; HEAD_BYTES]).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
