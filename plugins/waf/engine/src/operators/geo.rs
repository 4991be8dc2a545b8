//! Where an address is, by a MaxMind database (GeoIP2, GeoLite2 or any file of that format).

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{LookupResult, Reader, path};

use super::files;
use crate::seclang::Files;

/// An open database, wholly in memory.
#[derive(Debug)]
pub struct Geo {
    reader: Reader<Vec<u8>>,
}

impl Geo {
    /// Opens the database whose file the argument names.
    pub(super) fn compile(
        argument: &[u8],
        beside: &Path,
        from: &dyn Files,
    ) -> Result<Self, String> {
        if argument.trim_ascii().is_empty() {
            return Err(
                "@geoLookup needs a database: name a MaxMind file, like `@geoLookup \
                 GeoLite2-Country.mmdb`"
                    .to_owned(),
            );
        }
        let mut read = files::read_all("@geoLookup", argument, beside, from)?;
        let (Some((name, bytes)), true) = (read.pop(), read.is_empty()) else {
            return Err("@geoLookup takes one database".to_owned());
        };
        let reader = Reader::from_source(bytes)
            .map_err(|error| format!("@geoLookup: {name} is no MaxMind database: {error}"))?;
        Ok(Self { reader })
    }

    /// Looks an address up; what is known of it goes to the collection GEO: every name (in capitals,
    /// like `COUNTRY_CODE`) with its value. False if the value is no address or not in the database.
    pub fn look_up(&self, value: &[u8], geo: &mut dyn FnMut(&'static str, &[u8])) -> bool {
        let Some(found) = self.find(value) else {
            return false;
        };
        for (name, path) in [
            ("COUNTRY_CODE", &path!["country", "iso_code"][..]),
            ("COUNTRY_NAME", &path!["country", "names", "en"]),
            ("COUNTRY_CONTINENT", &path!["continent", "names", "en"]),
            ("CITY", &path!["city", "names", "en"]),
            ("POSTAL_CODE", &path!["postal", "code"]),
        ] {
            // A broken record says nothing about the address.
            if let Ok(Some(text)) = found.decode_path::<&str>(path) {
                geo(name, text.as_bytes());
            }
        }
        for (name, path) in [
            ("LATITUDE", &path!["location", "latitude"][..]),
            ("LONGITUDE", &path!["location", "longitude"]),
        ] {
            if let Ok(Some(number)) = found.decode_path::<f64>(path) {
                geo(name, format!("{number:.6}").as_bytes());
            }
        }
        true
    }

    /// True if the value is an address that the database knows.
    pub(super) fn knows(&self, value: &[u8]) -> bool {
        self.find(value).is_some()
    }

    fn find(&self, value: &[u8]) -> Option<LookupResult<'_, Vec<u8>>> {
        // The longest address has 45 characters.
        if value.len() > 45 {
            return None;
        }
        let address: IpAddr = std::str::from_utf8(value).ok()?.parse().ok()?;
        let found = self.reader.lookup(address).ok()?;
        found.has_data().then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seclang::MapFiles;

    /// Made with PyPI's mmdb-writer 0.2.7: 192.0.2.0/24 and 2001:db8::/32 with everything,
    /// 198.51.100.0/24 with a country's code alone.
    const PLACES: &[u8] = include_bytes!("places.mmdb");

    fn compile(argument: &str, bytes: &[u8]) -> Result<Geo, String> {
        let files = MapFiles(BTreeMap::from([("geo/places.mmdb".into(), bytes.to_vec())]));
        Geo::compile(argument.as_bytes(), Path::new("geo"), &files)
    }

    fn look_up(geo: &Geo, address: &str) -> Option<String> {
        let mut all = Vec::new();
        let found = geo.look_up(address.as_bytes(), &mut |name, value| {
            all.push(format!("{name}={}", value.escape_ascii()));
        });
        assert_eq!(found, geo.knows(address.as_bytes()));
        found.then(|| all.join(" "))
    }

    #[test]
    fn places_are_found() {
        let geo = compile("places.mmdb", PLACES).unwrap();
        let full = "COUNTRY_CODE=XA COUNTRY_NAME=Exampleland COUNTRY_CONTINENT=Examplia \
                    CITY=Sampleton POSTAL_CODE=12345 LATITUDE=48.500000 LONGITUDE=-1.250000";
        assert_eq!(look_up(&geo, "192.0.2.7").as_deref(), Some(full));
        assert_eq!(look_up(&geo, "2001:db8::1").as_deref(), Some(full));
        assert_eq!(
            look_up(&geo, "198.51.100.1").as_deref(),
            Some("COUNTRY_CODE=XB")
        );
        for unknown in ["203.0.113.1", "::1", "", "host", "192.0.2.7 "] {
            assert_eq!(look_up(&geo, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn broken_databases_are_refused_or_know_nothing() {
        assert!(
            compile("", PLACES)
                .unwrap_err()
                .contains("needs a database")
        );
        assert!(
            compile("absent.mmdb", PLACES)
                .unwrap_err()
                .contains("absent")
        );
        assert!(
            compile("places.mmdb", b"GeoIP")
                .unwrap_err()
                .contains("MaxMind")
        );
        for cut in 0..PLACES.len() {
            // Whatever stands in the file, a lookup ends without a panic.
            if let Ok(geo) = compile("places.mmdb", &PLACES[cut..]) {
                look_up(&geo, "192.0.2.7");
                look_up(&geo, "2001:db8::1");
            }
            let mut bytes = PLACES.to_vec();
            bytes[cut] ^= 0x55;
            if let Ok(geo) = compile("places.mmdb", &bytes) {
                look_up(&geo, "192.0.2.7");
                look_up(&geo, "198.51.100.1");
            }
        }
    }
}
