//! nginx with libmodsecurity, the engine that rules are written for: what it says of a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::bytes::Regex;
use tempfile::TempDir;

use crate::judge::{Evidence, Found};
use crate::origin;
use crate::request::Request;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Modules of nginx are here on Debian.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";

/// What a host writes before any rule set: bodies are read, and parsed by their type.
const HOST_RULES: &str = r#"
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyLimitAction Reject
SecRequestBodyJsonDepthLimit 512
SecArgumentsLimit 1000
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
SecArgumentSeparator &
SecCookieFormat 0
SecUnicodeMapFile /etc/nginx/unicode.mapping 20127
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z0-9.-]+\+)?json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:400,msg:'the body could not be read'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,deny,status:400,msg:'multipart that is not strict'"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" "id:200004,phase:2,t:none,log,deny,status:400,msg:'a boundary that is none'"
"#;

/// A running nginx, with the suite's origin behind it.
pub struct Peer {
    folder: TempDir,
    nginx: Child,
    address: SocketAddr,
    marker: SocketAddr,
    asked: u64,
    read: usize,
    id: Regex,
}

impl Peer {
    /// The version of libmodsecurity, as Debian's package has it; none where it is not installed.
    pub fn version() -> Option<String> {
        if !Path::new(MODULE).exists() {
            return None;
        }
        let query = ["-W", "-f", "${Version}", "libmodsecurity3"];
        let out = Command::new("dpkg-query").args(query).output().ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Starts it with rules, which may `Include` files by absolute paths or patterns.
    ///
    /// # Errors
    /// What nginx says when it does not start.
    pub fn start(rules: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let behind = start_origin().map_err(|error| error.to_string())?;
        let (address, marker) = (free()?, free()?);
        let at = folder.path().display();
        let text = format!("{HOST_RULES}\n{rules}\n");
        let config = format!(
            "load_module {MODULE};\ndaemon off;\nmaster_process off;\npid {at}/pid;\n\
             error_log {at}/log info;\nevents {{ worker_connections 256; }}\nhttp {{\n\
             log_format marker '[marker \"$arg_n\"]';\naccess_log off;\nkeepalive_timeout 0;\n\
             lingering_close off;\nclient_header_timeout 2s;\nclient_body_timeout 2s;\n\
             client_max_body_size 0;\nlarge_client_header_buffers 8 128k;\nclient_body_buffer_size 1m;\n\
             ignore_invalid_headers off;\nunderscores_in_headers on;\nmerge_slashes off;\n\
             client_body_temp_path {at}/b;\nproxy_temp_path {at}/p;\nfastcgi_temp_path {at}/f;\n\
             uwsgi_temp_path {at}/u;\nscgi_temp_path {at}/s;\n\
             server {{ listen {address}; modsecurity on; modsecurity_rules_file {at}/rules.conf;\n\
             location / {{ proxy_pass http://{behind}; }} }}\n\
             server {{ listen {marker}; access_log {at}/log marker; location / {{ return 204; }} }}\n}}\n"
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).map_err(|error| error.to_string())
        };
        write("rules.conf", &text)?;
        write("nginx.conf", &config)?;
        write("log", "")?;
        let errors =
            std::fs::File::create(folder.path().join("stderr")).map_err(|e| e.to_string())?;
        let nginx = Command::new("nginx")
            .arg("-e")
            .arg(folder.path().join("log"))
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                format!("nginx: {error}; install nginx and libnginx-mod-http-modsecurity")
            })?;
        let id = Regex::new(r#"\[id "([0-9]+)"\]"#).map_err(|error| error.to_string())?;
        let mut peer = Self {
            folder,
            nginx,
            address,
            marker,
            asked: 0,
            read: 0,
            id,
        };
        peer.wait()?;
        peer.mark()?;
        Ok(peer)
    }

    fn wait(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.marker).is_err() {
            let ended = self.nginx.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > end {
                let said = std::fs::read_to_string(self.folder.path().join("stderr"));
                return Err(format!("nginx did not start: {}", said.unwrap_or_default()));
            }
            // tidy: waits for a condition
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends the request's bytes and reads what the log says of it.
    ///
    /// # Errors
    /// The connection fails, or nginx has gone.
    pub fn ask(&mut self, request: &[u8]) -> Result<Evidence, String> {
        let response = exchange(self.address, request).map_err(|error| error.to_string())?;
        let log = self.mark()?;
        let mut evidence = Evidence {
            status: status_of(&response),
            ..Evidence::default()
        };
        for line in log.split(|byte| *byte == b'\n') {
            if find(line, b"ModSecurity: ").is_none() {
                continue;
            }
            let id = self.id.captures(line).and_then(|found| found.get(1));
            let id = id.and_then(|id| std::str::from_utf8(id.as_bytes()).ok()?.parse().ok());
            if let Some(rule) = id {
                evidence.found.push(Found {
                    rule,
                    line: line.to_vec(),
                });
            }
        }
        if evidence.status == Some(400) && evidence.found.is_empty() {
            evidence.refused = Some("by nginx".into());
        }
        Ok(evidence)
    }

    /// Writes a marker into the log, behind everything asked so far, and gives what stands before it. One
    /// process serves both addresses, so that the order in the log is that of the requests.
    fn mark(&mut self) -> Result<Vec<u8>, String> {
        self.asked += 1;
        let n = self.asked;
        let request = format!("GET /?n={n} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n");
        exchange(self.marker, request.as_bytes()).map_err(|error| error.to_string())?;
        let marker = format!("[marker \"{n}\"]\n");
        let end = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read(self.folder.path().join("log")).map_err(|e| e.to_string())?;
            let fresh = log.get(self.read..).unwrap_or_default();
            if let Some(at) = find(fresh, marker.as_bytes()) {
                let part = fresh.get(..at).unwrap_or_default().to_vec();
                self.read += at + marker.len();
                if self.read > 8 << 20 {
                    // Appending goes on at the start.
                    std::fs::write(self.folder.path().join("log"), "")
                        .map_err(|e| e.to_string())?;
                    self.read = 0;
                }
                return Ok(part);
            }
            if Instant::now() > end {
                return Err("nginx wrote no marker".into());
            }
            // tidy: waits for a condition
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

fn free() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // A server that refuses early does not read all of it.
    let _ = stream.write_all(request);
    let mut response = Vec::new();
    let mut block = [0; 16 * 1024];
    loop {
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(length) => response.extend_from_slice(&block[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    Ok(response)
}

fn status_of(response: &[u8]) -> Option<u16> {
    let word = response.split(|byte| *byte == b' ').nth(1)?;
    std::str::from_utf8(word.get(..3)?).ok()?.parse().ok()
}

fn find(have: &[u8], needle: &[u8]) -> Option<usize> {
    have.windows(needle.len()).position(|part| part == needle)
}

/// An origin of one thread: nginx asks it once at a time. It ends with the process.
fn start_origin() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // What went wrong with one connection shows as its stage's status.
            let _ = serve(&mut stream);
        }
    });
    Ok(address)
}

fn serve(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    let mut block = [0; 16 * 1024];
    let request = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let request = Request::read(&bytes);
            let length = request
                .field("content-length")
                .and_then(|text| std::str::from_utf8(text).ok());
            let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                break request;
            }
        }
        let length = stream.read(&mut block)?;
        if length == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&block[..length]);
    };
    let answer = origin::answer(&request.method, &request.target, &request.body);
    let mut head = format!("HTTP/1.1 {} Told\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(head.as_bytes())?;
    if request.method != b"HEAD" {
        stream.write_all(&answer.body)?;
    }
    Ok(())
}
