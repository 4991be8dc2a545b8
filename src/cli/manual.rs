//! `completions`, and the hidden `man`: what a shell and `man` need to know, out of the command line's own words and
//! those of the configuration.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, exit};

/// What the codes mean; the words of `super::exit`.
const EXIT_STATUS: [(u8, &str); 5] = [
    (exit::OK, "Done."),
    (
        exit::FAILED,
        "Refused, or failed for a reason that is not the configuration.",
    ),
    (exit::USAGE, "The command line is wrong."),
    (exit::UNAVAILABLE, "No node answers at the control socket."),
    (exit::CONFIG, "The configuration is wrong."),
];

const FILES: [(&str, &str); 6] = [
    (
        "/etc/farmgate/*.toml",
        "The configuration, read by name; the unit's --config.",
    ),
    (
        "/run/farmgate/control.sock",
        "The node's control socket, for root and the node's own user.",
    ),
    (
        "/var/lib/farmgate",
        "Configurations of the past, certificates from ACME.",
    ),
    ("/var/cache/farmgate", "The cache on disk."),
    (
        "/var/log/farmgate",
        "Access logs that the configuration puts there.",
    ),
    (
        "/usr/share/doc/farmgate",
        "The documents, the examples and the JSON Schema of the configuration.",
    ),
];

const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "FARMGATE_LOG",
        "Levels of the event log: info (the default), or warn,farmgate::tls=debug.",
    ),
    ("FARMGATE_LOG_FORMAT", "json for lines of JSON."),
    (
        "FARMGATE_CONTROL",
        "The control socket of the node that commands talk to.",
    ),
    (
        "RUNTIME_DIRECTORY",
        "The folder of the control socket, where the configuration does not name one; systemd sets it.",
    ),
    (
        "STATE_DIRECTORY",
        "Where run --last-good looks, if the broken configuration does not say; systemd sets it.",
    ),
    (
        "JOURNAL_STREAM",
        "Set by systemd: events on standard error carry their priority and no time, for the journal.",
    ),
];

const CONFIGURATION: [&str; 5] = [
    "The configuration is TOML: one file, or all *.toml files of a folder, read by name as if they were one. A relative \
     path starts at the folder of the file it stands in.",
    "Times, sizes and shares are text with their unit: \"5s\", \"64KiB\", \"20%\". \"${NAME}\" is an environment \
     variable; where a plugin takes a secret, \"file:PATH\" is the content of a file.",
    "A word that is not known, a wrong unit or a name that nothing has is an error with its place and what to write \
     instead; farmgate check names all of them at once. A configuration with an error changes nothing.",
    "farmgate reload takes a changed configuration in the running process, all but six settings of [server], \
     [admin] and [cache]; systemctl reload farmgate takes all of it, and a new binary, by starting another process that takes over.",
    "Every word with its meaning, range and default stands in the reference; farmgate plugins KIND explains the words \
     of a plugin.",
];

const EXAMPLES: [(&str, &str); 1] = [(
    "/usr/share/doc/farmgate/examples",
    "farmgate.toml with every line explained, and one file for each use.",
)];

const REFERENCE: [(&str, &str); 4] = [
    (
        "/usr/share/doc/farmgate/reference/configuration.md",
        "Every table and word.",
    ),
    (
        "/usr/share/doc/farmgate/reference/diagnostics.md",
        "Every error and warning by its code.",
    ),
    (
        "/usr/share/doc/farmgate/farmgate.json",
        "The JSON Schema, for editors; farmgate schema prints it.",
    ),
    ("/etc/farmgate/*.toml", "Where the service reads it."),
];

/// Prints what `shell` wants to read.
pub(super) fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "farmgate", &mut script);
    // A reader that left is no failure of ours.
    let _ = io::Write::write_all(&mut io::stdout(), &script);
    exit::OK
}

/// Writes `farmgate.1`, one page a command and `farmgate.toml.5` into `folder`.
pub(super) fn write(folder: &Path) -> u8 {
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        pages()?
            .into_iter()
            .try_for_each(|(name, page)| std::fs::write(folder.join(name), page))
    });
    match written {
        Ok(()) => exit::OK,
        Err(error) => {
            err!("farmgate: {}: {error}", folder.display());
            exit::FAILED
        }
    }
}

/// File name and text of each page. Nothing in them depends on the place or the time they are made.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let commands: Vec<Command> = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned()
        .collect();
    let mut names: Vec<String> = commands
        .iter()
        .map(|command| format!("farmgate-{}", command.get_name()))
        .collect();
    names.push("farmgate.toml".to_owned());
    let mut pages = vec![page(root, &names)?];
    for command in commands {
        pages.push(page(command, &["farmgate".to_owned()])?);
    }
    pages.push(configuration()?);
    Ok(pages)
}

/// What every page is headed with.
const SOURCE: &str = concat!("Farmgate ", env!("CARGO_PKG_VERSION"));

/// `farmgate.toml(5)`: the tables, and where each of their words is explained.
fn configuration() -> io::Result<(String, Vec<u8>)> {
    let text = super::schema::text().map_err(io::Error::other)?;
    let schema: serde_json::Value = serde_json::from_str(&text)?;
    let none = serde_json::Map::new();
    let tables = schema["properties"].as_object().unwrap_or(&none);

    let mut roff = Roff::new();
    roff.control("TH", ["farmgate.toml", "5", "", SOURCE, "Farmgate"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("farmgate.toml - configuration of the proxy farm")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in CONFIGURATION {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff.control("SH", ["TABLES"]);
    for (name, table) in tables {
        let is_list = table["type"] == "array";
        let written = if is_list {
            format!("[[{name}]]")
        } else {
            format!("[{name}]")
        };
        roff.control("TP", []);
        roff.text([bold(written)]);
        roff.text([roman(table["description"].as_str().unwrap_or_default())]);
    }
    listed(&mut roff, "EXAMPLES", EXAMPLES);
    listed(&mut roff, "FILES", REFERENCE);
    see(
        &mut roff,
        &["farmgate", "farmgate-check", "farmgate-upgrade"],
    );
    let mut out = Vec::new();
    roff.to_writer(&mut out)?;
    Ok(("farmgate.toml.5".to_owned(), out))
}

fn page(mut command: Command, see_also: &[String]) -> io::Result<(String, Vec<u8>)> {
    let is_root = command.has_subcommands();
    let usage = command.render_usage().to_string();
    let man = Man::new(command).source(SOURCE).manual("Farmgate");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage:").trim())]);
    roff.to_writer(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    let mut roff = Roff::new();
    if is_root {
        man.render_subcommands_section(&mut out)?;
        listed(&mut roff, "FILES", FILES);
        listed(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    }
    let codes = EXIT_STATUS.map(|(code, meaning)| (code.to_string(), meaning));
    listed(&mut roff, "EXIT STATUS", codes);
    see(&mut roff, see_also);
    roff.to_writer(&mut out)?;
    Ok((man.get_filename(), out))
}

fn see(roff: &mut Roff, pages: &[impl AsRef<str>]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut parts = Vec::new();
    for page in pages {
        if !parts.is_empty() {
            parts.push(roman(", "));
        }
        let (name, section) = match page.as_ref() {
            name if name.ends_with(".toml") => (name, "(5)"),
            name => (name, "(1)"),
        };
        parts.extend([bold(name), roman(section)]);
    }
    roff.text(parts);
}

fn listed<T: AsRef<str>>(
    roff: &mut Roff,
    title: &str,
    entries: impl IntoIterator<Item = (T, &'static str)>,
) {
    roff.control("SH", [title]);
    for (term, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(term.as_ref())]);
        roff.text([roman(meaning)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_is_shown_has_a_page_with_its_options() {
        let pages = pages().unwrap();
        let text = |name: &str| {
            let page = pages.iter().find(|(file, _)| file == name);
            String::from_utf8(page.unwrap_or_else(|| panic!("no {name}")).1.clone()).unwrap()
        };
        for command in Cli::command().get_subcommands() {
            let name = format!("farmgate-{}.1", command.get_name());
            let has_page = pages.iter().any(|(file, _)| *file == name);
            assert_eq!(has_page, !command.is_hide_set(), "{name}");
        }
        assert!(text("farmgate-run.1").contains("last\\-good"));
        let words = text("farmgate.toml.5");
        for part in ["[[listener]]", "[server]", "reference/configuration.md"] {
            assert!(words.contains(part), "{part} is not in:\n{words}");
        }
        let root = text("farmgate.1");
        for part in [
            "SH FILES",
            "SH ENVIRONMENT",
            "SH \"EXIT STATUS\"",
            "farmgate\\-reload",
            "farmgate.toml",
        ] {
            assert!(root.contains(part), "{part} is not in:\n{root}");
        }
    }
}
