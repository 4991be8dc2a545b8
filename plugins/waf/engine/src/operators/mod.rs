//! Operators: what is asked of a value.
