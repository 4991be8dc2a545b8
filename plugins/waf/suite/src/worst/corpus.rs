//! Bad requests made by hand, of any size.

use super::{Case, bodies};

/// Most bytes of a request's head: what a server in front lets through.
const HEAD: usize = 60 * 1024;

/// Most arguments the engine takes; with one more, the request would be refused.
pub(super) const ARGUMENTS: usize = 1000;

/// The cases, each of about `size` bytes. `words` are those of the rules ([`super::words::of`]).
pub fn cases(size: usize, words: &[Vec<u8>]) -> Vec<Case> {
    let mut all = arguments(size);
    all.extend(values(size, words));
    all.extend(thrash(size));
    all.extend(bodies::documents(size, words));
    all.extend(bodies::parts(size));
    all.extend(heads(size.min(HEAD), words));
    all.extend(answers(size, words));
    all
}

fn case(name: &str, attacks: &'static str) -> Case {
    Case {
        name: name.to_owned(),
        attacks,
        method: "GET",
        target: b"/".to_vec(),
        fields: [
            ("Host", "shop.example.com"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)"),
            ("Accept", "*/*"),
        ]
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .to_vec(),
        body: Vec::new(),
        answer: Vec::new(),
    }
}

/// A request with a body of this type.
pub fn post(name: &str, attacks: &'static str, media: &str, body: Vec<u8>) -> Case {
    let mut case = case(name, attacks);
    case.method = "POST";
    for (name, value) in [
        ("Content-Type", media.to_owned()),
        ("Content-Length", body.len().to_string()),
    ] {
        case.fields.push((name.into(), value.into_bytes()));
    }
    case.body = body;
    case
}

/// One argument of a form; `&`, `%` and `+` in it are the caller's.
pub fn form(name: &str, attacks: &'static str, value: &[u8]) -> Case {
    let media = "application/x-www-form-urlencoded";
    post(name, attacks, media, [b"q=", value].concat())
}

/// `piece` again and again, this many bytes.
pub fn repeat(piece: &[u8], size: usize) -> Vec<u8> {
    piece.iter().copied().cycle().take(size).collect()
}

/// Pieces made by number until there are `size` bytes.
pub(super) fn numbered(
    size: usize,
    most: usize,
    mut piece: impl FnMut(usize) -> String,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 64);
    for number in 0..most {
        let next = piece(number);
        if out.len() + next.len() > size {
            break;
        }
        out.extend_from_slice(next.as_bytes());
    }
    out
}

/// A short name that differs for each number: letters.
pub(super) fn letters(mut number: usize) -> String {
    let mut out = String::new();
    loop {
        out.push(char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        number /= 26;
        if number == 0 {
            return out;
        }
    }
}

/// A generator of bytes that are the same in every run.
pub struct Noise(u64);

impl Noise {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number below `below`.
    pub fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % below.max(1) as u64).unwrap_or(0)
    }

    /// Bytes out of a choice.
    pub fn bytes(&mut self, of: &[u8], size: usize) -> Vec<u8> {
        (0..size)
            .filter_map(|_| of.get(self.below(of.len())).copied())
            .collect()
    }
}

fn arguments(size: usize) -> Vec<Case> {
    let media = "application/x-www-form-urlencoded";
    let tiny = numbered(size, ARGUMENTS, |n| format!("{}&", letters(n)));
    let pairs = numbered(size, ARGUMENTS, |n| {
        format!("{}={}&", letters(n), letters(n + 9))
    });
    let marks = numbered(size, ARGUMENTS, |n| format!("{}='{n}--&", letters(n)));
    let same = numbered(size, ARGUMENTS, |_| "a=<script>&".to_owned());
    let each = size / ARGUMENTS;
    let attacks = numbered(size, ARGUMENTS, |n| {
        let text = "' union select load_file(0x2f) -- <svg/onload=alert`1`> ;cat${IFS}/etc/passwd";
        let text: String = text.chars().cycle().take(each.saturating_sub(6)).collect();
        format!("{}={n}{text}&", letters(n))
    });
    vec![
        post("tiny arguments", "the cost of an argument", media, tiny),
        post("tiny pairs", "the cost of an argument", media, pairs),
        post(
            "tiny marks",
            "short strings that pass filters",
            media,
            marks,
        ),
        post(
            "one attack a thousand times",
            "lists of matches",
            media,
            same,
        ),
        post(
            "a thousand attacks",
            "matches, captures, records",
            media,
            attacks,
        ),
    ]
}

fn values(size: usize, words: &[Vec<u8>]) -> Vec<Case> {
    let all_words: Vec<u8> = words.join(&b' ');
    let glued: Vec<u8> = words.concat();
    let nested: Vec<u8> = repeat(b"%252525252541", size);
    let base64 = Noise::new(1).bytes(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        size,
    );
    let mix = b"\\x41\\u0041&#x41;&lt;%u0041/**/\\41 ^\"'  ..//./\0\\n";
    vec![
        form(
            "plain text",
            "the floor",
            &repeat(b"the quick brown fox ", size),
        ),
        form("nested percent", "urlDecodeUni over and over", &nested),
        form(
            "all words",
            "every filter at once",
            &repeat(&all_words, size),
        ),
        form("glued words", "every filter at once", &repeat(&glued, size)),
        form(
            "every escape",
            "long chains of transformations",
            &repeat(mix, size),
        ),
        form("base64", "base64Decode", &base64),
        form(
            "entities",
            "htmlEntityDecode, jsDecode",
            &repeat(b"&#x26;&#35;x27;\\x26\\u0026", size),
        ),
        form(
            "comments",
            "replaceComments, libinjection",
            &repeat(b"/*", size),
        ),
        form(
            "comment pairs",
            "replaceComments, libinjection",
            &repeat(b"/**/1/*!5*/", size),
        ),
        form(
            "path up",
            "normalizePath",
            &repeat(b"/a/.././b\\..\\.", size),
        ),
        form(
            "blanks",
            "white space in regexes",
            &repeat(b"select  \t\n union   ", size),
        ),
        form("zero bytes", "removeNulls", &repeat(b"%00s%00e%00l", size)),
        form(
            "all bytes",
            "every class of a regex",
            &Noise::new(2).bytes(
                &(1..=255)
                    .filter(|byte| !b"&%+".contains(byte))
                    .collect::<Vec<u8>>(),
                size,
            ),
        ),
    ]
}

fn thrash(size: usize) -> Vec<Case> {
    let noise = |seed, of: &[u8]| Noise::new(seed).bytes(of, size);
    vec![
        form(
            "shell quotes",
            "932xxx: shell words with noise between letters",
            &noise(3, b"cat\\\"'$[]()*?ls;|"),
        ),
        form(
            "shell variables",
            "932xxx: nested variables",
            &noise(4, b"$@!#_-{}a|\\u'\"[]()"),
        ),
        form(
            "dollars",
            "944150: nested lookups",
            &repeat(b"${${lower:j}${::-n}", size),
        ),
        form(
            "dollar noise",
            "944150: nested lookups",
            &noise(5, b"${}:-jndi"),
        ),
        form(
            "handlers",
            "941120 and its kin: onxxx",
            &noise(6, b"on =/\"'<`ab"),
        ),
        form(
            "sql noise",
            "942xxx: quotes, words, numbers",
            &noise(7, b"or andxby'\"1=<> -("),
        ),
        form(
            "sql words",
            "942xxx: near misses",
            &repeat(
                b"select x from y where having 1 or 'a' group by order by limit ",
                size,
            ),
        ),
        form(
            "quotes and ticks",
            "942510: {2,29} between quotes",
            &noise(8, b"`'a1+=/"),
        ),
        form(
            "symbols",
            "942430: twelve symbols",
            &noise(9, b"!\"#$'()*,-./:;<>@[]^`{|}~a"),
        ),
        form(
            "mail commands",
            "932300: {1,255} repeats",
            &repeat(
                b"\r\nEHLO a-b.c\r\nMAIL FROM:<aaa@bbb\r\nRCPT TO:<x@y\r\nEXPN z ",
                size,
            ),
        ),
        form(
            "mail noise",
            "932310: {1,50} repeats",
            &noise(10, b"\r\n aAPEND\"\\(-:01"),
        ),
        form(
            "php calls",
            "933xxx: names of functions",
            &repeat(b"<?php $_GET[a](eval(base64_decode(str_rot13($x {${ ", size),
        ),
        form(
            "templates",
            "934xxx: prototypes, templates",
            &repeat(
                b"__proto__[constructor]{{7*7}}<%= ${x} #{y} process.env ",
                size,
            ),
        ),
        form(
            "addresses",
            "931xxx, 934xxx: addresses",
            &repeat(
                b"http://user@127.0.0.1:80/ file:///etc/ [::ffff:7f00:1] 0x7f.1 ",
                size,
            ),
        ),
        form(
            "java",
            "944xxx: classes",
            &repeat(
                b"java.lang.Runtime.getRuntime().exec processbuilder unmarshaller rO0AB",
                size,
            ),
        ),
        form(
            "long match",
            "captures over a long match",
            &[&b"<script "[..], &repeat(b"a onload=x ", size), b">"].concat(),
        ),
        form(
            "libinjection strings",
            "five readings of quotes",
            &noise(11, b"'\"\\ a1;,"),
        ),
        form(
            "libinjection folding",
            "folding of tokens",
            &repeat(b"1,(-+~!not binary ", size),
        ),
        form(
            "libinjection words",
            "look-ups of words",
            &repeat(b"in.not.like.select.@@a.$b$ ", size),
        ),
        form(
            "libinjection html",
            "five readings of tags",
            &noise(12, b"<>/='\"` a!-?"),
        ),
    ]
}

fn heads(size: usize, words: &[Vec<u8>]) -> Vec<Case> {
    let mut all = Vec::new();
    for (name, attacks, cookie) in [
        (
            "cookies",
            "the cost of a cookie",
            numbered(size, usize::MAX, |n| format!("{};", letters(n))),
        ),
        (
            "cookie attacks",
            "short attacks without a bound",
            numbered(size, usize::MAX, |n| format!("{}='{n}-;", letters(n))),
        ),
        (
            "one cookie",
            "every filter at once",
            repeat(&words.join(&b' '), size),
        ),
    ] {
        let mut case = case(name, attacks);
        case.fields.push((b"Cookie".to_vec(), cookie));
        all.push(case);
    }
    let mut fields = case("header fields", "the cost of a header field");
    let mut attacked = case("header attacks", "short attacks in many fields");
    for n in 0..size.min(32 * 1024) / 16 {
        fields.fields.push((letters(n).into_bytes(), b"v".to_vec()));
        let attack = format!("<a{n}'--");
        attacked
            .fields
            .push((letters(n).into_bytes(), attack.into_bytes()));
    }
    let mut agent = case("user agent", "932xxx on headers");
    if let Some(field) = agent.fields.get_mut(1) {
        field.1 = repeat(&words.join(&b' '), size);
    }
    let mut referer = case("referer", "every filter at once, in a header field");
    referer
        .fields
        .push((b"Referer".to_vec(), repeat(&words.concat(), size)));
    let mut path = case("path", "rules on the path and the request line");
    path.target = [b"/", &repeat(b"%2e%2e/..;/\\admin.php%00/", size)[..]].concat();
    let mut query = case("query", "the query in the line and as arguments");
    query.target = [b"/?q=", &repeat(&words.join(&b'+'), size)[..]].concat();
    all.extend([fields, attacked, agent, referer, path, query]);
    all
}

fn answers(size: usize, words: &[Vec<u8>]) -> Vec<Case> {
    let errors =
        b"Warning: mysql_fetch_array() ORA-0000 SQL syntax near Oracle error [SqlException \
        <?php Sybase message Warning.{1,20}pg_x <h1>Server Error in ' Application\n";
    let starts = b"Warning Warning oci_ ora_ pg_ maxdb Oracle( Server Error in a ";
    [
        (
            "answer plain",
            "the floor of answers",
            repeat(b"<p>the quick brown fox</p>\n", size),
        ),
        (
            "answer words",
            "every filter of answers",
            repeat(&words.join(&b' '), size),
        ),
        ("answer errors", "95xxxx: messages", repeat(errors, size)),
        (
            "answer near misses",
            "951xxx: {1,30} repeats",
            repeat(starts, size),
        ),
    ]
    .into_iter()
    .map(|(name, attacks, answer)| {
        let mut case = case(name, attacks);
        case.answer = answer;
        case
    })
    .collect()
}
