//! Templates of configurations: places in braces, and parts that are repeated.

use std::fmt::Display;

/// What the places in braces stand for. Of two with one name the first counts.
#[derive(Default)]
pub(crate) struct Places(Vec<(&'static str, String)>);

impl Places {
    pub(crate) fn add(&mut self, name: &'static str, value: impl Display) {
        self.0.push((name, value.to_string()));
    }

    pub(crate) fn fill(&self, template: &str) -> String {
        self.0
            .iter()
            .fold(template.to_owned(), |text, (name, value)| {
                text.replace(&format!("${{{name}}}"), value)
            })
    }
}

/// The line that begins a part which stands there so many times, with `${N}` for 1, 2 and so on.
const REPEAT: &str = "# repeat ";
/// The line that ends it.
const END: &str = "# end";

/// The template with its repeated parts written out. They do not nest.
pub(super) fn unroll(template: &str) -> Result<String, String> {
    let mut text = String::with_capacity(template.len());
    let mut lines = template.lines();
    while let Some(line) = lines.next() {
        let Some(count) = line.strip_prefix(REPEAT) else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let count: u32 = count
            .parse()
            .map_err(|_| format!("`{line}`: wants a number"))?;
        let mut part = String::new();
        loop {
            match lines.next() {
                Some(END) => break,
                Some(line) => part = part + line + "\n",
                None => return Err(format!("`{line}` has no `{END}`")),
            }
        }
        for at in 1..=count {
            text.push_str(&part.replace("${N}", &at.to_string()));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_its_places_and_leaves_the_rest() {
        let mut places = Places::default();
        places.add("PORT", 81);
        places.add("FOLDER", "/t");
        let filled = places.fill("listen ${PORT}; log ${FOLDER}/x $host ${other} ${PORT}");
        assert_eq!(filled, "listen 81; log /t/x $host ${other} 81");
    }

    #[test]
    fn repeats_what_stands_between_the_marks() {
        let text = unroll("a\n# repeat 2\nr${N} = ${N}\nx\n# end\nb\n").unwrap();
        assert_eq!(text, "a\nr1 = 1\nx\nr2 = 2\nx\nb\n");
        assert_eq!(unroll("# else\n").unwrap(), "# else\n");
        assert!(unroll("# repeat 2\nr\n").unwrap_err().contains("# end"));
        assert!(unroll("# repeat x\n# end\n").is_err());
    }
}
