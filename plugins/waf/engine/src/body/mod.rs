//! Request bodies: from bytes to arguments, files and text.
