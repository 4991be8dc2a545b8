//! Bodies against libmodsecurity's reading of them, and properties that hold for all bodies.

mod answers;
mod inflate;
mod modsecurity;
mod properties;
mod shown;
