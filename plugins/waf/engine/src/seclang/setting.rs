//! Directives that set something, or that something else does here.

use super::problem::{Notes, shown};
use super::read::ctl::ENGINE;
use super::read::{lookup, number, switch, utf8};
use super::rule::Settings;
use super::words::Word;

/// Media types, components: more make no sense.
const LIST: usize = 1_000;

/// Takes a setting.
pub(super) fn setting(
    settings: &mut Settings,
    word: Word,
    name: &'static str,
    arguments: &[Vec<u8>],
    notes: &mut Notes<'_>,
) {
    if let Word::Refused(why) = word {
        notes.error(format!("`{name}` is not supported: {why}"), "remove it");
        return;
    }
    if word == Word::MimeTypesClear {
        settings.response_types.clear();
        return;
    }
    let Some(first) = arguments.first() else {
        notes.error(
            format!("`{name}` needs a value"),
            format!("write `{name} VALUE`"),
        );
        return;
    };
    match word {
        Word::Moot => return,
        Word::Elsewhere(what) => {
            notes.warn(format!("`{name}` has no effect here"), what);
            return;
        }
        Word::MimeType => {
            let room = LIST.saturating_sub(settings.response_types.len());
            if arguments.len() > room {
                notes.error(format!("more than {LIST} media types"), "name fewer");
                return;
            }
            for kind in arguments {
                let Some(kind) = utf8(kind, notes) else {
                    continue;
                };
                let kind = kind.to_ascii_lowercase();
                if !settings.response_types.iter().any(|have| **have == *kind) {
                    settings.response_types.push(kind.into());
                }
            }
            return;
        }
        _ => {}
    }
    if arguments.len() > 1 {
        notes.error(
            format!("`{name}` takes one value, not {}", arguments.len()),
            "quote a value with spaces; a comment needs a line of its own",
        );
        return;
    }
    let value = first.as_slice();
    let expected = match word {
        Word::Engine => {
            settings.engine = lookup(ENGINE, value).or_else(|| {
                wrong(name, value, "On`, `DetectionOnly` or `Off", notes);
                None
            });
            return;
        }
        Word::RequestBody => match switch(value) {
            Some(on) => return settings.request_body = Some(on),
            None => "On` or `Off",
        },
        Word::ResponseBody => match switch(value) {
            Some(on) => return settings.response_body = Some(on),
            None => "On` or `Off",
        },
        Word::JsonDepth => match number(value).and_then(|n| u32::try_from(n).ok()) {
            Some(depth) => return settings.json_depth = depth,
            None => "512",
        },
        Word::Arguments => match number(value).and_then(|n| u32::try_from(n).ok()) {
            Some(arguments) => return settings.arguments = arguments,
            None => "1000",
        },
        Word::ArgumentSeparator => match value {
            [byte] => return settings.argument_separator = *byte,
            _ => "&",
        },
        Word::ComponentSignature => {
            let component = utf8(value, notes);
            settings.components.extend(component);
            if settings.components.len() > LIST {
                notes.error(format!("more than {LIST} components"), "name fewer");
                settings.components.pop();
            }
            return;
        }
        Word::CookieFormat => match value {
            b"0" => return,
            _ => "0",
        },
        Word::OnlyOff(why) => match switch(value) {
            Some(false) => return,
            _ => {
                notes.error(
                    format!("`{name} {}` is not supported: {why}", shown(value)),
                    format!("write `{name} Off`, or remove it"),
                );
                return;
            }
        },
        _ => return,
    };
    wrong(name, value, expected, notes);
}

fn wrong(name: &str, value: &[u8], expected: &str, notes: &mut Notes<'_>) {
    notes.error(
        format!("`{name} {}`", shown(value)),
        format!("write `{name} {expected}`"),
    );
}
