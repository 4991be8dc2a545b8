//! One alert out of order: to a client whose session must not be resumed.
#![allow(unsafe_code)]

use boring::ssl::SslRef;
use foreign_types::ForeignTypeRef;

/// Sends a fatal alert with this number (RFC 8446 section 6.2); whatever is written afterwards fails, so a handshake
/// ends here. For callbacks of the library, while it reads and writes the connection. True if it went out at once.
pub(super) fn send_fatal(ssl: &SslRef, alert: u8) -> bool {
    // SAFETY: the pointer is that of a live connection, which this thread drives: the library calls us. Inside of its
    // handshake the library sends alerts by the same function. Nothing of the connection is borrowed here, and the
    // callback that wrote to the stream before may do so again.
    let sent = unsafe { boring_sys::SSL_send_fatal_alert(ssl.as_ptr(), alert) };
    sent > 0
}
