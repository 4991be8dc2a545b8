//! Before anything is started: the binary on disk looks at the configuration on disk.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::spawn::Program;
use crate::cli::exit;

/// Most of what the binary says that is looked at.
const SAID_BYTES: u64 = 64 * 1024;
/// Most of it that is passed on.
const TOLD_BYTES: usize = 4 * 1024;

/// Runs `check` with the binary that stands where ours stood at our start.
///
/// # Errors
/// It is missing, cannot be run, crashes, takes longer than `most`, or says that the configuration is wrong.
pub(super) async fn check(
    program: &Program,
    paths: &[PathBuf],
    most: Duration,
) -> Result<(), String> {
    let path = program.path.display();
    let mut command = Command::from(program.command());
    command
        .arg("check")
        .args(
            paths
                .iter()
                .flat_map(|path| ["--config".as_ref(), path.as_os_str()]),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{path} cannot be run: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let (out, err) = tokio::join!(said(out), said(err));
        (child.wait().await, [err, out].concat())
    };
    let Ok((status, said)) = timeout(most, whole).await else {
        return Err(format!(
            "{path} check did not end within {} s (server.upgrade.ready) and was killed",
            most.as_secs_f64()
        ));
    };
    let status = status.map_err(|error| format!("{path} check: {error}"))?;
    verdict(status, &said).map_err(|why| format!("{path} check {why}"))
}

fn verdict(status: ExitStatus, said: &[u8]) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    let told = said
        .get(..said.floor_char_boundary(TOLD_BYTES))
        .unwrap_or(said);
    Err(match status.code() {
        Some(code) if code == i32::from(exit::CONFIG) => {
            format!("says that the configuration is wrong:\n{told}")
        }
        Some(code) => format!("failed with exit code {code}: {told}"),
        None => format!("crashed ({status}): {told}"),
    })
}

/// What comes out of a pipe, up to a bound; the rest is read and dropped, so that the writer can end.
async fn said(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read is not there.
        let _ = (&mut pipe).take(SAID_BYTES).read_to_end(&mut text).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    text
}
