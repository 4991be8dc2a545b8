//! A scrape of the metrics.

/// What `/metrics` said at one moment.
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    /// Wraps the exposition text.
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The sum of all series of `name` that have these labels; 0 if there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let lines = self.text.lines().filter_map(|line| line.rsplit_once(' '));
        lines
            .filter(|(series, _)| {
                let (found, given) = series.split_once('{').unwrap_or((series, ""));
                found == name
                    && labels
                        .iter()
                        .all(|(key, value)| given.contains(&format!("{key}=\"{value}\"")))
            })
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }
}
