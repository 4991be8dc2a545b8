//! Numbers with their unit, as operators write them: times "5s", sizes "64KiB", shares "20%", rates
//! { rate = 10, per = "1s" }, networks "10.0.0.0/8".

mod cidr;
mod duration;
mod rate;
mod ratio;
mod size;
#[cfg(test)]
mod tests;

pub use cidr::Cidr;
pub use duration::Duration;
pub use rate::{ByteRate, Rate};
pub use ratio::Ratio;
pub use size::Size;

/// Gives a unit its serde form: a text read by `FromStr`, written by `Display`. A bare number is an
/// error that says what to write instead.
macro_rules! text_form {
    ($unit:ty, $expecting:literal, $bare:expr) => {
        impl serde::Serialize for $unit {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $unit {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $unit;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$unit, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$unit, E> {
                        let help: fn(i64) -> String = $bare;
                        Err(E::custom(help(number)))
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}
use text_form;

/// Parts a text into its leading digits and the rest; none without a digit or beyond 64 bits.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}
